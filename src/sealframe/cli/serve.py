"""``sealframe serve``: a relay."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sealframe

from .. import (
    CloseCode,
    ClusterUnavailableError,
    Connection,
    Invitation,
    Server,
    ServerIdentity,
    ServerOptions,
    Sessions,
    SharedKey,
    ShutdownReport,
)
from .address import DEFAULT, HELP, Address, listening_address, proxy_option, shown
from .announcing import announce
from .cluster import cluster_option, clustered
from .control import control_option, controlled
from .errors import EXIT_CODES, Exit, LogLines, complain
from .exporting import check_installed, exporting, metrics_address
from .framing import Layout, check_framing, server_framing
from .output import Output
from .running import run
from .server_sealing import ServerSealing, server_sealing
from .sessions import sessions_option
from .status import Board
from .stopping import stop_signals

if TYPE_CHECKING:
    from ..cluster import Cluster

_JOINING = "chat {address}"
"""The command of a client that is invited."""

_SHOWN = 200
"""Bytes of each message that the relay's own output shows."""

_OPTIONS = ServerOptions(outbox_limit=8 * 1024 * 1024)

_LEAST_GRACE = 0.1
"""Seconds that clients have to confirm a close in any case."""


@click.command(epilog=f"{HELP}\n\n{EXIT_CODES}")
@click.argument("address", callback=listening_address, default=DEFAULT)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0, 86400),
    default=5.0,
    show_default=True,
    help="How long clients have to take what was accepted for them, once Ctrl-C or SIGTERM "
    "has come. What they did not get is told.",
)
@click.option(
    "--status",
    is_flag=True,
    help="Show a table of the clients, each second, in place of what they say: what goes in and "
    "out, what waits in their queues, the round trip of a PING (where they know of it).",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=metrics_address,
    help="Serve figures for Prometheus over HTTP there, to whoever asks. Needs the extra "
    "sealframe[metrics].",
)
@proxy_option
@control_option
@sessions_option
@cluster_option
@server_framing
@server_sealing
def serve(
    address: Address,
    grace: float,
    status: bool,
    metrics: Address | None,
    balancers: tuple[str, ...],
    control: Path | None,
    sessions: Sessions | None,
    cluster: str | None,
    framing: Layout | None,
    sealing: ServerSealing,
) -> None:
    """Run a relay at ADDRESS: what one client says, all others get.

    They get "<id>: " and then the message as it was sent; the id is the sender's,
    with --identity its name too: "<name>/<id>: ".
    With --cluster so do the clients of all relays of that cluster.
    With --framing they get the message alone, as other programs expect.
    A client that falls 8 MiB behind is disconnected.

    ADDRESS is 127.0.0.1:1234 unless given, which this machine alone can reach.
    0.0.0.0:1234 is reached over every IPv4 network that the machine is on, [::]:1234
    over every IPv6 network, and port 0 takes a free port. Ctrl-C or SIGTERM ends it,
    a second one at once.
    """
    check_framing(framing, sessions=sessions, **sealing.ways)
    if status and not sys.stdout.isatty():
        raise click.UsageError("--status needs a terminal; for programs there is --metrics")
    if metrics is not None:
        check_installed()
    logging.getLogger("sealframe").addHandler(LogLines())
    security = sealing.open()
    invitations = sealing.invitations(security)
    work = _serve(
        address,
        security,
        invitations,
        grace,
        status,
        metrics,
        balancers,
        control,
        sessions,
        cluster,
        framing,
    )
    sys.exit(run(work, terminated=Exit.DONE))


async def _serve(
    address: Address,
    security: SharedKey | ServerIdentity | None,
    invitations: list[tuple[str, Invitation]],
    grace: float,
    status: bool,
    metrics: Address | None,
    balancers: tuple[str, ...],
    control: Path | None,
    sessions: Sessions | None,
    url_of_nats: str | None,
    framing: Layout | None,
) -> Exit:
    output = Output(asyncio.current_task())
    stopped = stop_signals(lambda: output.console.show_cursor(True))
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(clustered(url_of_nats, output))
        relay = Relay(output, cluster, quiet=status, named=framing is None)
        controls = await stack.enter_async_context(controlled(control, output, security, _JOINING))
        server = await stack.enter_async_context(
            sealframe.serve(
                relay.handle,
                address.host,
                address.port,
                path=address.path,
                proxy_protocol=balancers or False,
                security=security,
                sessions=sessions,
                cluster=cluster,
                framing=framing,
                options=replace(_OPTIONS, close_timeout=max(grace, _LEAST_GRACE)),
            )
        )
        url = None
        if metrics is not None:
            url = await stack.enter_async_context(exporting(server, metrics))
        announce(
            server,
            output,
            security,
            invitations,
            what="relay",
            joining=_JOINING,
            allowed="read and join",
            metrics=url,
            control=control,
        )
        controls.start(server)
        relay.start(server)
        await _until(stopped, Board(server, output) if status else None)
        if server.clients and output.terminal:
            output.line(f"closing, {grace:g} s at most; Ctrl-C again ends it at once", "dim")
        complain_of(await server.close(timeout=grace))
    return stopped.result()


async def _until(stopped: asyncio.Future[Exit], board: Board | None) -> None:
    if board is None:
        await stopped
        return
    showing = asyncio.create_task(board.run())
    try:
        either: set[asyncio.Future[Any]] = {stopped, showing}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            await showing
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)


def complain_of(report: ShutdownReport) -> None:
    """Say what the end of the relay has left undone, if anything."""
    counts = (
        (report.unsent, "messages not sent"),
        (report.discarded, "messages that came too late"),
        (report.cancelled, "handlers cut short"),
    )
    undone = ", ".join(f"{count} {what}" for count, what in counts if count)
    if undone:
        complain(f"closed: {undone}")


class Relay:
    """Passes every message on to all clients but its sender, and shows what happens.

    :param cluster: what reaches the clients of other relays too
    :param quiet: whether it shows nothing of what clients do
    :param named: whether the others get the sender's name before a message
    """

    def __init__(
        self,
        output: Output,
        cluster: Cluster | None = None,
        *,
        quiet: bool = False,
        named: bool = True,
    ) -> None:
        self.output = output
        self._cluster = cluster
        self._named = named
        self._quiet = quiet
        self._started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    def start(self, server: Server) -> None:
        """Begin to serve clients; those that came before have waited."""
        self._started.set_result(server)

    async def handle(self, conn: Connection) -> None:
        """Serve one client."""
        server = await asyncio.shield(self._started)
        here = len(server.clients)
        who = conn.id if conn.peer is None else f"{conn.peer.name}/{conn.id}"
        self._say(f"{who} joined from {shown(conn.remote_address)} ({here} here)", "green")
        try:
            async for message in conn:
                if not self._quiet:
                    self.output.message(message, who=who, limit=_SHOWN)
                said = who.encode() + b": " + message if self._named else message
                if len(said) > _OPTIONS.max_message_size:
                    complain(f"a message of {len(message)} bytes from {who} is too large")
                    await conn.close(CloseCode.TOO_LARGE, "too large to be passed on")
                    return
                await self._broadcast(server, conn, said)
        finally:
            self._say(f"{who} left", "yellow")

    async def _broadcast(self, server: Server, sender: Connection, said: bytes) -> None:
        if self._cluster is None:
            server.broadcast(said, exclude=sender)
            return
        try:
            await self._cluster.broadcast(said, exclude=sender)
        except ClusterUnavailableError as error:
            complain(f"a message from {sender.id} did not reach the other relays: {error}")

    def _say(self, text: str, style: str) -> None:
        if not self._quiet:
            self.output.line(text, style)
