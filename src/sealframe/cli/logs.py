"""What the commands show of the library's log, and where: this module alone decides it.

Without ``-v`` each command says what it shows, by one of :func:`tell_errors_once`,
:func:`print_log` and :func:`log_to`; with ``-v`` all of it is on stderr, whatever they say.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .errors import complain, log_text
from .text import labelled, visible
from .versions import versions

if TYPE_CHECKING:
    import click

_LOG = logging.getLogger("sealframe")
_TOLD_HERE_ALONE = (
    # That keys are written to a file.
    logging.getLogger("sealframe.keylog"),
    # Why a dashboard fails: its page says that the log has the reason.
    logging.getLogger("sealframe.dashboard"),
)
"""What the log has to say, and no command itself."""
_CLOCK = logging.Formatter()


class _Lines(logging.Handler):
    """Prints what the library logs, one line each, as errors are printed."""

    def emit(self, record: logging.LogRecord) -> None:
        # A stderr that nobody reads is no reason for a connection to fail.
        with contextlib.suppress(OSError):
            self.print(record)

    def print(self, record: logging.LogRecord) -> None:
        """Print one record on stderr."""
        complain(log_text(record))


class _VerboseLines(_Lines):
    """Prints them with the time and the logger."""

    def print(self, record: logging.LogRecord) -> None:
        """Print one record on stderr."""
        when = f"{_CLOCK.formatTime(record, '%H:%M:%S')}.{int(record.msecs):03}"
        text = labelled(visible(log_text(record)))
        print(f"{when} {record.name}: {text}", file=sys.stderr, flush=True)


_NOWHERE = logging.NullHandler()
_LINES = _Lines()


@contextlib.contextmanager
def log_of_a_command(verbosity: int) -> Iterator[None]:
    """Show the log as one command wants it, until the end of the block.

    :param verbosity: 0 leaves it to the command; 1 prints INFO and what is worse on stderr, after
        a line with what ``--version`` says; 2 or more prints DEBUG too
    """
    before = [(log, log.handlers[:]) for log in (_LOG, *_TOLD_HERE_ALONE)]
    level = _LOG.level
    try:
        if verbosity:
            _LOG.addHandler(_VerboseLines())
            _LOG.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
            _LOG.info("%s", "; ".join(versions()))
        yield
    finally:
        _LOG.setLevel(level)
        for log, handlers in before:
            for handler in set(log.handlers).difference(handlers):
                log.removeHandler(handler)


def verbose_options(context: click.Context) -> tuple[str, ...]:
    """Return the options that make another process as verbose as this command."""
    verbosity: int = context.find_root().params.get("verbosity", 0)
    return ("-v",) * verbosity


def tell_errors_once() -> None:
    """Keep what the library logs off stderr, where the command itself says it."""
    log_to(_NOWHERE)
    if not _all_is_shown():
        for log in _TOLD_HERE_ALONE:
            log.addHandler(_LINES)


def print_log() -> None:
    """Print what the library logs at WARNING and above on stderr, a line each."""
    log_to(_LINES)


def log_to(handler: logging.Handler) -> None:
    """Let a handler have what the library logs at WARNING and above, unless all of it is shown."""
    if not _all_is_shown():
        _LOG.addHandler(handler)


def _all_is_shown() -> bool:
    return any(isinstance(handler, _VerboseLines) for handler in _LOG.handlers)
