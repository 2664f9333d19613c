"""The options of sessions: ``--session`` of clients, ``--sessions`` of servers."""

from __future__ import annotations

import click

from .. import Sessions
from .sealing import Command

_LONGEST = 86400 * 365


def session_option(command: Command) -> Command:
    """Add ``--session`` to a client; the command gets it as ``session``."""
    return click.option(
        "--session",
        is_flag=True,
        help="Go on over the next connection when one is lost: what was on its way is sent "
        "again, and arrives once and in order. The server needs --sessions.",
    )(command)


def _sessions(_: click.Context, __: click.Parameter, value: float | None) -> Sessions | None:
    return None if value is None else Sessions(keep=value)


def sessions_option(command: Command) -> Command:
    """Add ``--sessions`` to a server; the command gets it as ``sessions``, None for none."""
    return click.option(
        "--sessions",
        metavar="SECONDS",
        type=click.FloatRange(0, _LONGEST, min_open=True),
        callback=_sessions,
        help="Keep what belongs to a client with --session for so long while it has no "
        "connection (120 is a good start). A restart of the server forgets it.",
    )(command)
