"""``sealframe decrypt``: reads one's own sealed connections in a capture of packets."""

from __future__ import annotations

from pathlib import Path

import click

from .captures.stream import CaptureError
from .errors import CommandError, describe

CODES = """\b
Exit codes:
  0    every connection of sealframe was read from its beginning to its end
  1    failed: something could not be read, or the capture lacks the end of a
       connection; a line says what
  2    wrong arguments
  3    the key log has no keys
  130  ended by Ctrl-C"""


@click.command(epilog=CODES)
@click.argument(
    "capture", metavar="CAPTURE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--keylog",
    "key_log",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What a client or a server wrote that ran with SEALFRAME_KEYLOG=FILE. Without it plain "
    "connections alone can be read.",
)
@click.option("--json", "for_programs", is_flag=True, help="Print one JSON object for each frame.")
@click.option(
    "-w",
    "--write",
    "written",
    metavar="OUT",
    type=click.Path(path_type=Path),
    help="Write the frames to a new pcapng, for Wireshark with the dissector of sealframe, and "
    "print none.",
)
@click.pass_context
def decrypt(
    context: click.Context,
    capture: Path,
    key_log: Path | None,
    for_programs: bool,
    written: Path | None,
) -> None:
    """Print the frames of the connections in CAPTURE, a pcap or pcapng.

    A line for each frame: the connection, the time, who sent it (> the client, < the server),
    what it is and says. Sealed connections need their keys, which either end writes down if it
    runs with SEALFRAME_KEYLOG=FILE.
    """
    if for_programs and written is not None:
        raise click.UsageError("--json prints, and -w does not: give one of them")
    # Imported late: the other commands do without.
    from .decryption import decrypting

    try:
        code = decrypting.decrypt(capture, key_log, for_programs=for_programs, written=written)
    except CaptureError as error:
        raise CommandError(describe(error)) from error
    context.exit(code)
