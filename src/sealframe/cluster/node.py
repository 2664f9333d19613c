"""One server's part in a cluster while it runs: what :class:`~.cluster.Cluster` is made of."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from ..aio.connection import AnyConnection
from ..errors import ClusterUnavailableError, UnknownClientError, WrongLoopError
from ..server.cluster_member import LocalServer
from . import events
from .chunks import ID_SIZE, encode_ack
from .clients import ClusterClient, ClusterServer
from .events import Event
from .hooks import ClusterHooks
from .incoming import Incoming
from .membership import Membership
from .messages import RosterRequest, encode, encode_message
from .nats_link import NatsLink
from .nats_servers import NatsServers
from .node_sessions import NodeSessions
from .outgoing import Outgoing
from .requests import IncomingRequests, OutgoingRequests
from .roster import NamePolicy, Roster
from .status import Traffic
from .subjects import Subjects

logger = logging.getLogger("sealframe.cluster")

_OPEN_TIMEOUT: Final = 5.0
"""Seconds for the first connection to NATS."""
_HOOKS_TIMEOUT: Final = 5.0
"""Seconds for hooks that still run when the server leaves."""
_MESSAGE_COST: Final = 64
"""Bytes that a local message counts for beside its length."""


class Node:
    """This server in the cluster.

    :param local: what the server offers
    :ivar id: of this server
    :ivar connected: whether what this server publishes goes through NATS. A link that is lost is
        seen at once, heartbeats that do not come back within a second with the next heartbeat
    """

    def __init__(
        self,
        local: LocalServer,
        servers: NatsServers,
        subjects: Subjects,
        policy: NamePolicy,
        hooks: ClusterHooks,
        replicas: int = 3,
    ) -> None:
        self.id = secrets.token_hex(ID_SIZE)
        self.local = local
        self.policy = policy
        self._loop = asyncio.get_running_loop()
        self._hooks = hooks
        self._subjects = subjects
        self._label = f"{socket.gethostname()}:{os.getpid()}"[:128]
        self._started = time.time()
        self._connections = 0
        self.roster = Roster(
            self.id, self._label, wall=self._started, now=time.monotonic(), names=policy
        )
        self._clients = self.roster.clients
        self._traffic = Traffic(local)
        self.link = NatsLink(
            servers,
            name=f"sealframe {self._label}",
            presence=subjects.presence,
            subject=subjects.of(self.id),
            on_presence=self._take_presence,
            on_message=self._take_message,
            on_connected=self._connected,
            on_question=self._traffic.answer,
        )
        self.outgoing = Outgoing(self.id, self.link, subjects)
        self.requests = OutgoingRequests(self.outgoing, self.check_connected)
        self._serving = IncomingRequests(local, self.outgoing)
        self._membership = Membership(
            self.roster, self.link, subjects, self._handle, self._before_heartbeat
        )
        self.sessions = NodeSessions(
            local, self.outgoing, lambda: self.others, self.check_connected, self._membership.probe
        )
        self._replicas = replicas
        self._incoming = Incoming(
            local,
            self._membership,
            self.requests,
            self._serving,
            self.outgoing,
            self._send_ack,
            self.sessions.search,
            self.sessions.answers,
            self._send_roster,
        )
        self.leaving = False
        self.connected = False
        self._stopping = False

    # Beginning and end

    async def start(self) -> None:
        """Connect, and learn who is there.

        :raises ClusterError: it cannot
        """
        try:
            await self.link.open(_OPEN_TIMEOUT)
            await self.sessions.open_logs(self.link, self._subjects, self._replicas)
            await self._membership.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave, also where NATS hangs."""
        self._stopping = True
        self._look_whether_connected()
        self.requests.close()
        await self.sessions.close()
        await self._serving.close()
        await self.outgoing.close()
        await self._membership.stop()
        await self.link.close()
        await self._hooks.finish(_HOOKS_TIMEOUT)

    # Who is there

    def check_loop(self) -> None:
        """Refuse calls from other threads and event loops."""
        if asyncio._get_running_loop() is not self._loop:
            raise WrongLoopError(
                "a cluster belongs to the event loop of its server; from another thread use "
                "asyncio.run_coroutine_threadsafe()"
            )

    def check_connected(self) -> None:
        """Refuse what needs other servers while they cannot be reached.

        :raises ClusterUnavailableError: NATS is away
        """
        if not self.connected:
            raise ClusterUnavailableError(
                "NATS is away, and with it all other servers: nothing was sent; it is looked for, "
                "try again once cluster.connected is True"
            )

    @property
    def servers(self) -> dict[str, ClusterServer]:
        """All servers by id, this one first."""
        own = ClusterServer(self.id, self._label, self._started, self._figures())
        return {own.id: own} | {server.id: server for server in self.roster.servers}

    @property
    def others(self) -> Sequence[str]:
        """The ids of all other servers."""
        return [server.id for server in self.roster.servers]

    def find(self, target: str) -> Sequence[ClusterClient]:
        """Return who has that id, or else that name: the newest, or with "many" all of them.

        :raises UnknownClientError: nobody
        :raises ClusterUnavailableError: nobody here, and NATS is away
        """
        client = self.roster.clients.get(target)
        if client is not None:
            return (client,)
        if self.policy is NamePolicy.MANY:
            named: Sequence[ClusterClient] = self.roster.named(target)
        else:
            newest = self.roster.newest(target)
            named = () if newest is None else (newest,)
        if not named:
            self.check_connected()
            raise UnknownClientError(target, "cluster")
        return named

    # This server's clients

    def joined(self, conn: AnyConnection) -> None:
        """A client was registered."""
        name = None if conn.peer is None else conn.peer.name
        now = time.time()
        try:
            changes = self.roster.join(conn.id, name or None, now)
        except ValueError as error:
            logger.warning("client %s has no name in the cluster: %s", conn.id, error)
            changes = self.roster.join(conn.id, None, now)
        self._membership.changed(changes)

    def left(self, conn: AnyConnection) -> None:
        """A client is registered no more."""
        self._traffic.left(conn)
        self._membership.changed(self.roster.leave(conn.id))

    def rename(self, conn: AnyConnection, name: str | None) -> None:
        """Give a client of this server another name."""
        if self.local.clients.get(conn.id) is not conn:
            raise UnknownClientError(conn.id, "cluster")
        self._membership.changed(self.roster.rename(conn.id, name, time.time()))

    # Sending

    def send(self, target: str, data: bytes) -> None:
        """Send a message to who has that id, or else that name.

        :raises UnknownClientError: nobody
        :raises ClusterUnavailableError: one of them is elsewhere, and NATS is away
        """
        client = self._clients.get(target)
        if client is None and self.policy is NamePolicy.NEWEST:
            client = self.roster.newest(target)
        if client is not None and client.server != self.id and self.connected:
            # The most frequent way.
            self.outgoing.add(client.server, encode_message(client.id, data))
            return
        clients = self.find(target)
        if any(client.server != self.id for client in clients):
            self.check_connected()
        for client in clients:
            if client.server == self.id:
                self.count_local(data)
                self.local.send(client.id, data)
            else:
                self.outgoing.add(client.server, encode_message(client.id, data))

    def count_local(self, data: bytes) -> None:
        """Count a message to this server's own clients: a loop of them gives way too."""
        self.outgoing.count(len(data) + _MESSAGE_COST)

    # What happens

    def _take_presence(self, data: bytes) -> None:
        self._membership.take_presence(data)

    def _take_message(self, data: bytes) -> None:
        self._incoming.take(data)

    def _connected(self, connected: bool) -> None:
        self._look_whether_connected()
        if connected:
            self._connections += 1
            self.outgoing.connected()
            self._membership.announce()
        else:
            self.outgoing.reset()
            self.requests.all_may_be_lost()

    def _look_whether_connected(self) -> None:
        self.connected = self.link.connected and self.roster.hears_itself and not self._stopping

    def _before_heartbeat(self) -> None:
        self._look_whether_connected()
        self.roster.set_figures(self._figures())
        if self.connected:
            self.requests.look()
        self.outgoing.look()

    def _handle(self, event: Event) -> None:
        match event:
            case events.OwnHeartbeatSeen():
                self._look_whether_connected()
            case events.Joined(client):
                self._hooks.joined(client)
            case events.Left(client):
                self._hooks.left(client)
            case events.Renamed(client, before):
                self._hooks.renamed(client, before.name)
            case events.Moved(client, before):
                self._hooks.left(before)
                self._hooks.joined(client)
            case events.Superseded(id, by):
                self._supersede(id, by)
            case events.ServerJoined(server):
                logger.info("server %s (%s) is in the cluster", server.id, server.label)
            case events.ServerGone(server, reason):
                self._server_gone(server, reason)
            case events.AskRoster(server=id):
                if self.link.connected:
                    self.outgoing.add(id, encode(RosterRequest()))
            case events.UnknownVersion(version):
                logger.warning(
                    "another server of this cluster speaks version %d of the protocol between "
                    "servers, which this one does not know: it is ignored",
                    version,
                )

    def _supersede(self, id: str, by: ClusterClient) -> None:
        if by.id == id:
            reason = "the client goes on at another server"
        else:
            reason = f"another client of the name {by.name!r} has come"
        self.local.kick(id, reason)

    def _server_gone(self, server: ClusterServer, reason: events.GoneReason) -> None:
        text = reason.name.lower().replace("_", " ")
        logger.info("server %s (%s) has left the cluster: %s", server.id, server.label, text)
        self.outgoing.forget(server.id)
        self._incoming.forget(server.id)
        self.requests.server_gone(server.id)
        self._serving.server_gone(server.id)
        self.sessions.search.server_gone(server.id, reason)

    def _send_ack(self, server: str, position: tuple[int, int]) -> None:
        """Not in the stream: there it would wait for an acknowledgement itself."""
        with contextlib.suppress(ClusterUnavailableError):
            ack = encode_ack(bytes.fromhex(self.id), position)
            self.link.publish(self._subjects.of(server), ack)

    def _send_roster(self, server: str) -> None:
        for part in self.roster.roster_parts():
            self.outgoing.add(server, encode(part))

    # Figures

    def _figures(self) -> dict[str, float]:
        return {
            "clients": len(self.local.clients),
            "connections": self._connections,
            "sent": self.outgoing.sent,
            "received": self._incoming.received,
            "lost": self._incoming.lost + self.outgoing.lost + self.link.dropped,
            "waiting_bytes": self.outgoing.waiting_bytes,
            "leaving": int(self.leaving),
        }

    def stats(self) -> dict[str, Any]:
        """Return what the cluster is doing, as plain data."""
        own = self._figures()
        return {
            "connected": self.connected,
            "server_id": self.id,
            "clients": len(self.roster.clients),
            "requests": len(self.requests),
            "messages_sent": own["sent"],
            "messages_received": own["received"],
            "messages_lost": own["lost"],
            "waiting_bytes": own["waiting_bytes"],
            "nats_connections": own["connections"],
            "servers": {
                server.id: {
                    "label": server.label,
                    "started": server.started,
                    **server.figures,
                    "clients": len(self.roster.of_server(server.id)),
                }
                for server in self.servers.values()
            },
        }
