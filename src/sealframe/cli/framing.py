"""``--framing``: plain messages in the layout of another program."""

from __future__ import annotations

import functools
from typing import Any, TypeAlias

import click

import sealframe

from .. import ConfigurationError
from .sealing import Command

Layout: TypeAlias = sealframe.framing.FrameLayout

_LAYOUT = (
    "Speak the frames of another program, plain and messages only: a layout as in a program, "
    "such as 'Framing(width=2, byteorder=\"big\")', or the name of one, such as INT32_BE "
    "or modbus-tcp; sealframe layouts lists them."
)


def layout_option(ctx: click.Context, param: click.Parameter, value: str | None) -> Layout | None:
    """Return the layout that ``--framing`` names or describes, None for none."""
    if value is None:
        return None
    try:
        return _parsed(value)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def _parsed(text: str) -> Layout:
    if not text.strip().startswith(("Sized(", "layouts.")):
        return sealframe.framing.parse_layout(text)
    # Imported late: only what the doctor prints, to be pasted, needs it.
    from ..framing.inference import parse_pasted

    return parse_pasted(text)


def server_framing(command: Command) -> Command:
    """Add ``--framing`` to a server; the command gets it as ``framing``, None for none."""
    return click.option("--framing", metavar="LAYOUT", callback=layout_option, help=_LAYOUT)(
        command
    )


def client_framing(command: Command) -> Command:
    """Add ``--framing`` and ``--no-pipelining`` to a client; the command gets ``framing``, None for
    none, and ``pipelining``."""

    @server_framing
    @click.option(
        "--no-pipelining",
        is_flag=True,
        help="With --framing: send each message only after one has come for the one before, as "
        "peers need that take one request at a time.",
    )
    @functools.wraps(command)
    def wrapped(no_pipelining: bool, **options: Any) -> None:
        if no_pipelining and options["framing"] is None:
            raise click.UsageError("--no-pipelining needs --framing")
        command(pipelining=not no_pipelining, **options)

    return wrapped


def check_framing(framing: Layout | None, **others: object) -> None:
    """Refuse beside ``--framing`` what needs a sealframe peer.

    :param others: the value of each such option, by its name
    :raises click.UsageError: one of them is given
    """
    if framing is None:
        return
    for name, value in others.items():
        if value:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"--framing and {option} cannot work together: a foreign framing carries "
                "messages only, and plain"
            )
