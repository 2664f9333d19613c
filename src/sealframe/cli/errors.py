"""Errors as one line on stderr, and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from enum import IntEnum

from sealframe import KeyFileError, KeyFormatError

from .text import visible


class Exit(IntEnum):
    """What the exit codes mean; ``sealframe --help`` says the same."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    KEY = 3
    INTERRUPTED = 130
    TERMINATED = 143


class Failure(Exception):  # noqa: N818 - the exit code is called that
    """A command cannot go on; the text says what to do."""


def complain(text: str) -> None:
    """Print one line on stderr."""
    print(f"sealframe: {visible(text)}", file=sys.stderr, flush=True)


def describe(error: Exception) -> str:
    """Return an error's text for somebody who types commands."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    text = text.replace("security=...", "--key FILE") or type(error).__name__
    advice = _ADVICE.get(error.errno or 0, "") if isinstance(error, OSError) else ""
    if isinstance(error.__cause__, socket.gaierror):
        advice = "check the name"
    return f"{text}; {advice}" if advice else text


def exit_code(error: Exception) -> Exit:
    """Return the exit code for an error that ends a command."""
    return Exit.KEY if isinstance(error, KeyFileError | KeyFormatError) else Exit.FAILED


_ADVICE = {
    errno.EACCES: "are you allowed to?",
    errno.EADDRINUSE: "stop what uses it, or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this machine, or 0.0.0.0 for all of them",
    errno.ECONNREFUSED: "is the server running there?",
    errno.ENOENT: "is the server running there?",
    errno.EHOSTUNREACH: "check the address and your network",
    errno.ENETUNREACH: "check the address and your network",
    errno.ETIMEDOUT: "check the address, and firewalls on the way",
}


class LogLines(logging.Handler):
    """Prints what the library logs, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record on stderr."""
        complain(log_text(record))


def log_text(record: logging.LogRecord) -> str:
    """Return a record as text without its traceback, but with the error's own text."""
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    return f"{text}: {type(error).__name__}: {error}" if error is not None else text


def close_stdout() -> None:
    """After a broken pipe: let nothing more, the interpreter's last flush included, fail."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
