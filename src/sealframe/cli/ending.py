"""The one place where the errors of commands end: as one line, and an exit code."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import sealframe

from .errors import CommandError, Exit, close_stdout, complain, describe, exit_code, more


def show_all_characters() -> None:
    """Print an escape for what a terminal cannot show: that is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def ended(command: Callable[[], int | None]) -> int:
    """Run a command, print an error of it as one line, and return its exit code.

    :param command: returns the code, or None for one that is done
    """
    try:
        return command() or Exit.DONE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        close_stdout()
        return Exit.FAILED
    except (sealframe.SealframeError, CommandError, OSError) as error:
        complain(describe(error) + more(error))
        return exit_code(error)
