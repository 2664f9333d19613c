"""``sealframe receive``: a directory that takes files."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click

import sealframe

from .. import (
    Connection,
    ConnectionClosed,
    Disconnect,
    DisconnectKind,
    FileTransferError,
    Inbox,
    Invitation,
    ServerIdentity,
    ServerOptions,
    Sessions,
    SharedKey,
)
from .address import (
    DEFAULT,
    LISTENING,
    ListenAddress,
    listen_at,
    listening_address,
    proxy_option,
    shown,
)
from .announcing import announce
from .control import control_option, controlled
from .errors import EXIT_CODES, Exit
from .logs import print_log
from .notifying import READY, STOPPING, notify
from .output import Output
from .running import run
from .sealing import FILE
from .server_sealing import ServerSealing, server_sealing
from .sessions import sessions_option
from .stopping import stop_signals
from .text import size
from .transfers import Transfers

_OPTIONS = ServerOptions(close_timeout=2.0)

_JOINING = "send-file PATH {address}"
"""The command of a client that is invited."""

_MAX_FILES = 100_000
_MAX_TOTAL = "100G"
_KEEP_PARTIAL = 7
"""Days."""
_CLEANING = 3600.0
"""Seconds between two looks for partial files that are too old."""
_DAY = 86400.0

_SHIFTS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def _bytes(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,15}) ?([KMGT]?)(?:i?B)?", value, re.ASCII | re.IGNORECASE)
    if match is None:
        text = f"{value!r} is no size: use bytes, or a number and K, M, G or T, such as 20G"
        raise click.BadParameter(text, ctx, param)
    return int(match[1]) << _SHIFTS[match[2].upper()]


def _mode(ctx: click.Context, param: click.Parameter, value: str) -> int:
    if re.fullmatch(r"0?[0-7]{3}", value, re.ASCII) is None:
        text = f"{value!r} are no permissions: use three octal digits, such as 640"
        raise click.BadParameter(text, ctx, param)
    return int(value, 8)


@click.command(epilog=f"{LISTENING}\n\n{EXIT_CODES}")
@click.argument("directory", type=FILE)
@click.argument("address", callback=listening_address, default=DEFAULT)
@click.option(
    "--overwrite", is_flag=True, help="Let files take the place of those that have their names."
)
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=_bytes,
    help="The largest file that is taken: bytes, or a number and K, M, G or T (20G).",
)
@click.option(
    "--max-total",
    metavar="SIZE",
    callback=_bytes,
    default=_MAX_TOTAL,
    show_default=True,
    help="All files together, from the start of this command.",
)
@click.option(
    "--max-files",
    metavar="NUMBER",
    type=click.IntRange(0),
    default=_MAX_FILES,
    show_default=True,
    help="Files and directories in all, from the start of this command.",
)
@click.option(
    "--hidden",
    is_flag=True,
    help="Take names that begin with a dot, or have such a directory, too: .profile, "
    ".ssh/authorized_keys.",
)
@click.option(
    "--mode",
    metavar="MODE",
    callback=_mode,
    default="600",
    show_default=True,
    help="Permissions of what arrives, as far as the umask lets. Directories that are made may "
    "be entered by those who may read.",
)
@click.option(
    "--keep-partial",
    metavar="DAYS",
    type=click.FloatRange(0),
    default=_KEEP_PARTIAL,
    show_default=True,
    help="How long what broke off waits to be resumed. Older ones are removed, at the start "
    "and every hour.",
)
@click.option(
    "--once",
    is_flag=True,
    help="End when the first sender has closed in order; then 0 means that all that it "
    "offered has arrived.",
)
@proxy_option
@control_option
@sessions_option
@server_sealing
def receive(
    directory: Path,
    address: ListenAddress,
    overwrite: bool,
    max_size: int | None,
    max_total: int,
    max_files: int,
    hidden: bool,
    mode: int,
    keep_partial: float,
    once: bool,
    balancers: tuple[str, ...],
    control: Path | None,
    sessions: Sessions | None,
    sealing: ServerSealing,
) -> None:
    """Receive files into DIRECTORY, from each "sealframe send-file" that comes to ADDRESS.

    Files keep their names, and whatever these are, they are below DIRECTORY, which is
    made if it is missing. A file has its name once it is whole, compared by its digest,
    and on the disk; nobody but you may read it. What broke off waits under a name like
    .photo.jpg.0123456789abcdef.part, to be resumed when it is sent again.

    ADDRESS is 127.0.0.1:1234 unless given, which this machine alone can reach; 0.0.0.0:1234
    is reached over every IPv4 network that the machine is on. Ctrl-C or SIGTERM ends it.
    """
    print_log()
    security = sealing.open()
    inbox = Inbox(
        directory,
        overwrite=overwrite,
        hidden=hidden,
        mode=mode,
        max_file_size=max_size,
        max_total=max_total,
        max_files=max_files,
    )
    invitations = sealing.invitations(security)
    work = _receive(
        address,
        inbox,
        keep_partial * _DAY,
        security,
        invitations,
        once,
        balancers,
        control,
        sessions,
    )
    sys.exit(run(work, terminated=Exit.DONE))


async def _receive(
    address: ListenAddress,
    inbox: Inbox,
    keep_partial: float,
    security: SharedKey | ServerIdentity | None,
    invitations: list[tuple[str, Invitation]],
    once: bool,
    balancers: tuple[str, ...],
    control: Path | None,
    sessions: Sessions | None,
) -> Exit:
    output = Output(asyncio.current_task())
    stopped = stop_signals(lambda: output.console.show_cursor(True))
    reception = Reception(inbox, output)

    def left(conn: Connection, reason: Disconnect) -> None:
        in_order = reason.kind is DisconnectKind.CLOSED
        outcome = reception.left(conn)
        # Whoever was cut off comes back.
        if once and in_order and outcome is not None and not stopped.done():
            stopped.set_result(outcome)

    async with (
        controlled(control, output, security, _JOINING) as controls,
        sealframe.serve(
            None,
            **listen_at(address),
            proxy_protocol=balancers or False,
            security=security,
            sessions=sessions,
            files=reception,
            options=_OPTIONS,
            on_disconnect=left,
        ) as server,
    ):
        announce(
            server.addresses,
            output,
            security,
            invitations,
            what=f"files for {inbox.directory}",
            joining=_JOINING,
            allowed="send files here",
            control=control,
        )
        controls.start(server)
        async with reception.transfers.shown(), _cleaned(inbox, keep_partial):
            notify(READY)
            await stopped
            notify(STOPPING)
            # What is on its way waits to be resumed.
            await server.close("the receiving end was stopped", timeout=0)
    return stopped.result()


@asynccontextmanager
async def _cleaned(inbox: Inbox, keep_partial: float) -> AsyncIterator[None]:
    """Remove partial files that are older than so many seconds, now and every hour."""

    async def clean() -> None:
        while True:
            await asyncio.to_thread(inbox.clean, keep_partial)
            await asyncio.sleep(_CLEANING)

    cleaning = asyncio.create_task(clean())
    try:
        yield
    finally:
        cleaning.cancel()


class Reception:
    """Takes what is offered, and shows it; the argument ``files`` of the server."""

    def __init__(self, inbox: Inbox, output: Output) -> None:
        self._inbox = inbox
        self._outcomes: dict[Connection, Exit] = {}
        self.transfers = Transfers(output)

    def left(self, conn: Connection) -> Exit | None:
        """Note that a connection is over.

        :return: whether all that was offered on it has arrived; None if nothing was
        """
        return self._outcomes.pop(conn, None)

    async def __call__(self, offer: sealframe.files.Offer) -> None:
        """Receive one file."""
        conn: Connection = offer.connection
        self._outcomes.setdefault(conn, Exit.DONE)
        who = _sender(conn)
        what = f"{offer.name}/" if offer.is_directory else f"{offer.name} ({size(offer.size)})"
        transfer = self.transfers.begin(
            offer.name, offer.size, lambda: offer.received, f"{who} sends {what}"
        )
        try:
            path = await offer.accept(self._inbox)
        except FileTransferError as error:
            self._outcomes[conn] = Exit.FAILED
            transfer.failed(f"{offer.name} from {who} has not arrived: {error}")
        except (ConnectionClosed, asyncio.CancelledError) as error:
            self._outcomes[conn] = Exit.FAILED
            why = "the connection was lost" if isinstance(error, ConnectionClosed) else "stopped"
            transfer.failed(
                f"{offer.name} from {who} has not arrived yet: {why} "
                f"after {size(offer.received)} of {size(offer.size)}"
            )
            raise
        except BaseException:
            self._outcomes[conn] = Exit.FAILED
            transfer.paused()
            raise
        else:
            transfer.arrived(f"received {what} from {who}: {path}")


def _sender(conn: Connection) -> str:
    address = shown(conn.remote_address)
    return address if conn.peer is None else f"{conn.peer.name}, {address}"
