"""The relay that ``sealframe serve`` runs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

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
from ..dashboard.source import ServerSource
from .address import ListenAddress, TcpAddress, listen_at, shown
from .announcing import announce
from .cluster import clustered
from .control import controlled
from .dashboard import shown_at
from .errors import Exit, complain
from .exporting import exporting
from .framing import Layout
from .notifying import READY, STOPPING, notify
from .output import Output
from .status import Board
from .stopping import say_closing, stop_signals, until_stopped

if TYPE_CHECKING:
    from ..cluster import Cluster
    from .workers.worker import Worker

JOINING = "chat {address}"
"""The command of a client that is invited."""

ALLOWED = "read and join"
"""What whoever reaches a plain relay can do."""

_SHOWN = 200
"""Bytes of each message that the relay's own output shows."""

_OPTIONS = ServerOptions(outbox_limit=8 * 1024 * 1024)

_LEAST_GRACE = 0.1
"""Seconds that clients have to confirm a close in any case."""


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """What the options of ``sealframe serve`` say.

    :ivar nats: the URL of NATS
    """

    address: ListenAddress
    security: SharedKey | ServerIdentity | None
    invitations: list[tuple[str, Invitation]]
    grace: float
    status: bool
    metrics: TcpAddress | None
    dashboard: TcpAddress | None
    balancers: tuple[str, ...]
    control: Path | None
    sessions: Sessions | None
    nats: str | None = field(repr=False)
    framing: Layout | None


async def run_relay(settings: RelaySettings, worker: Worker | None = None) -> Exit:
    """Run a relay until it is told to stop.

    :param worker: of several processes that are one relay, this one
    """
    output = Output(asyncio.current_task())
    stopped = stop_signals(lambda: output.console.show_cursor(True))
    security = settings.security
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(clustered(settings.nats, output))
        relay = Relay(output, cluster, quiet=settings.status, named=settings.framing is None)
        controls = await stack.enter_async_context(
            controlled(settings.control, output, security, JOINING)
        )
        server = await stack.enter_async_context(
            sealframe.serve(
                relay.handle,
                **listen_at(settings.address),
                reuse_port=worker is not None,
                proxy_protocol=settings.balancers or False,
                security=security,
                sessions=settings.sessions,
                cluster=cluster,
                framing=settings.framing,
                options=replace(_OPTIONS, close_timeout=max(settings.grace, _LEAST_GRACE)),
            )
        )
        figures = None
        if settings.metrics is not None:
            figures = await stack.enter_async_context(exporting(server, settings.metrics))
        page = None
        if settings.dashboard is not None:
            page = await stack.enter_async_context(
                shown_at(ServerSource(server), settings.dashboard)
            )
        controls.start(server)
        relay.start(server)
        if worker is None:
            announce(
                server.addresses,
                output,
                security,
                settings.invitations,
                what="relay",
                joining=JOINING,
                allowed=ALLOWED,
                metrics=figures,
                dashboard=page,
                control=settings.control,
            )
            notify(READY)
            if settings.status:
                await until_stopped(stopped, Board(server, output).run())
            else:
                await stopped
            notify(STOPPING)
            if server.clients:
                say_closing(output, settings.grace)
        else:
            assert cluster is not None
            await worker.serve(cluster, stopped)
        complain_of(await server.close(timeout=settings.grace))
    return stopped.result()


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
