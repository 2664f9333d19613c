"""``sealframe doctor``: works out how the messages of unknown bytes are framed."""

from __future__ import annotations

from typing import Any, Final

import click

from .. import SealframeError
from ..framing import FrameLayout
from .address import Address, parse
from .captures.stream import CaptureError
from .errors import CommandError, Exit, describe
from .framing import layout_option

CODES: Final = """\b
Exit codes:
  0    known: a layout is sure, --framing fits, NUMBER is something known
  1    a guess: a layout is likely and not sure
  2    no: nothing fits, or the bytes are of another kind
  64   wrong arguments
  66   nothing was looked at: no such file, no bytes in it, no connection
  130  ended by Ctrl-C (not while it listens)"""
"""For the end of the help page; the last three are those of sysexits.h and of shells."""


class _WrongCallError(click.UsageError):
    """Wrong arguments; 2, the exit code for them elsewhere, says here what was found."""

    exit_code = Exit.WRONG_CALL


class _Command(click.Command):
    """A command whose exit codes 0, 1 and 2 say what was found: errors have others."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except click.UsageError as error:
            # Some of the parser's have no context.
            context = error.ctx or click.Context(self, parent, info_name)
            raise _WrongCallError(error.format_message(), context) from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _WrongCallError(error.format_message(), ctx) from None
        except BrokenPipeError:
            raise
        except (CaptureError, SealframeError, OSError) as error:
            raise CommandError(describe(error), Exit.NO_INPUT) from error


def _addresses(
    ctx: click.Context, param: click.Parameter, value: tuple[str, str] | None
) -> tuple[Address, Address] | None:
    if value is None:
        return None
    try:
        listening, target = map(parse, value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return listening, target


@click.command(cls=_Command, epilog=CODES)
@click.argument("targets", metavar="FILE...|-|HOST:PORT|NUMBER", nargs=-1)
@click.option(
    "--framing",
    "layout",
    metavar="EXPR",
    callback=layout_option,
    help="Check this layout: an expression as in a program, 'Framing(width=2)', or a name that "
    '"sealframe layouts" lists. Says why it does not fit, and what would.',
)
@click.option(
    "--stream",
    "number",
    metavar="N",
    type=click.IntRange(1),
    help="Which TCP connection of a capture; without it the one with most bytes, and the others "
    "are listed.",
)
@click.option(
    "--raw", is_flag=True, help="Take the bytes of FILE as they are, though they look like a dump."
)
@click.option(
    "--proxy",
    metavar="LISTEN TARGET",
    nargs=2,
    callback=_addresses,
    help="Listen on an address, pass every connection on to another one, and look at what both "
    "ends say.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    help="How long to listen, or to be a proxy; without it until Ctrl-C.",
)
@click.option("--json", "for_programs", is_flag=True, help="Print one JSON object, for programs.")
def doctor(
    targets: tuple[str, ...],
    layout: FrameLayout | None,
    number: int | None,
    raw: bool,
    proxy: tuple[Address, Address] | None,
    seconds: float | None,
    for_programs: bool,
) -> None:
    """Work out how messages are framed in bytes of which nobody has a description.

    \b
    FILE       bytes of one direction of a connection, as they came; a capture of
               packets (pcap, pcapng); or a text with a dump: xxd, hexdump -C,
               tcpdump -X, Wireshark, hex digits, literals of programs
    -          the same on standard input: paste, then Ctrl-D
    HOST:PORT  a server, to which nothing is sent: what it says by itself
    NUMBER     a length that cannot be one, such as 1195725856 or 0x47455420

    Several files are several streams of the same protocol. Prints the layout as an expression
    for framing=, with what speaks for it, and the first frames with their lengths in [ ].
    """
    # Imported late: of all commands this one alone needs the search.
    from .diagnosis import consulting

    consulting.consult(
        consulting.Question(
            targets=targets,
            layout=layout,
            number=number,
            raw=raw,
            proxy=proxy,
            seconds=seconds,
        ),
        for_programs=for_programs,
    )
