"""Errors as one line on stderr, and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import socket
import sys
from enum import IntEnum

from .. import (
    CloseCode,
    ConnectError,
    ConnectionClosed,
    KeyFileError,
    KeyFormatError,
    ListenError,
    SealframeError,
    ServerKeyChangedError,
    SessionLostError,
    UnknownServerError,
)
from . import INTERRUPTED
from .text import labelled, visible


class Exit(IntEnum):
    """How a command ended, for its exit code."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    KEY = 3
    WAITING = 4
    # Of the doctor, whose 0, 1 and 2 say what it found; the numbers are those of sysexits.h.
    WRONG_CALL = 64
    NO_INPUT = 66
    INTERRUPTED = INTERRUPTED
    TERMINATED = 143


EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed: no connection, refused, cut, not closed cleanly,
       or a file has not arrived
  2    wrong arguments
  3    trouble with a key: file, none, wrong key, not let in, server unknown or changed
  4    send --outbox: all is stored, and not all has arrived yet
  130  ended by Ctrl-C
  143  ended by SIGTERM (serve, receive: 0)"""
"""For the end of a help page."""


class CommandError(Exception):
    """A command cannot go on; the text says what to do."""

    def __init__(self, text: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(text)
        self.code = code


def complain(text: str) -> None:
    """Print one line on stderr."""
    print(f"sealframe: {labelled(visible(text))}", file=sys.stderr, flush=True)


def describe(error: Exception) -> str:
    """Return an error's text for somebody who types commands."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    text = _as_typed(text) or type(error).__name__
    # Of a copy of an outbox only the other one's file knows what has arrived.
    if isinstance(error, SessionLostError) and error.code != CloseCode.SUPERSEDED:
        text += (
            f"; of this end's messages {error.arrived} have arrived, {error.unsent} have not, "
            f"and of {error.unknown} it is not known"
        )
    advice = _advice(error)
    return f"{text}; {advice}" if advice else text


def more(error: Exception) -> str:
    """Return where a person reads on about the error that ends a command.

    It is empty where a program reads stderr: what it gets stays short.
    """
    cause = error.__cause__ if isinstance(error, CommandError) else error
    if isinstance(cause, SealframeError) and sys.stderr.isatty():
        return f"; more: sealframe explain {cause.topic}"
    return ""


def _as_typed(text: str) -> str:
    """Return an error's text with what is typed in place of what a program gives."""
    for given, typed in _TYPED.items():
        text = text.replace(given, typed)
    return text


_TYPED = {
    "security=...": "--key or --identity",
    "sessions=...": "--sessions SECONDS",
    "give patterns= without hfs": "serve without --post-quantum-only",
    "post_quantum=False": "--classic",
}


def _advice(error: Exception) -> str:
    if isinstance(error.__cause__, socket.gaierror):
        return "check the name"
    for kind, table in ((ConnectError, _CONNECTING), (ListenError, _LISTENING)):
        if isinstance(error, kind):
            return table.get(error.errno or 0, "")
    return ""


def exit_code(error: Exception) -> Exit:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, ConnectionClosed) and error.code in _KEY_CODES:
        return Exit.KEY
    return Exit.KEY if isinstance(error, _KEY_ERRORS) else Exit.FAILED


_KEY_ERRORS = (KeyFileError, KeyFormatError, ServerKeyChangedError, UnknownServerError)

_KEY_CODES = (CloseCode.REFUSED, CloseCode.UNAUTHORIZED, CloseCode.SEALED)


_CONNECTING = {
    errno.ECONNREFUSED: "is the server running there?",
    errno.ENOENT: "is the server running there?",
    errno.EHOSTUNREACH: "check the address and your network",
    errno.ENETUNREACH: "check the address and your network",
    errno.ETIMEDOUT: "check the address, and firewalls on the way",
}

_LISTENING = {
    errno.EACCES: "are you allowed to? Ports below 1024 are for the administrator",
    errno.EADDRINUSE: "stop what uses it, or choose another",
    errno.EADDRNOTAVAIL: "choose an address of this machine, or 0.0.0.0 for all of them",
    errno.ENOENT: "make the folder first",
}


def log_text(record: logging.LogRecord) -> str:
    """Return a record as text without its traceback, but with the error's own text."""
    text = _as_typed(record.getMessage())
    error = record.exc_info[1] if record.exc_info else None
    return f"{text}: {type(error).__name__}: {_as_typed(str(error))}" if error is not None else text


def close_stdout() -> None:
    """After a broken pipe: let nothing more, the interpreter's last flush included, fail."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
