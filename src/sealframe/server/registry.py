"""The connections of one server, each from its accept to the loss of its socket.

accept → (handshake) → registered as a client, its handler runs → handler done or socket gone (of a
session: that is over): unregistered → both: forgotten.
"""

from __future__ import annotations

import asyncio
import logging
import typing
from collections.abc import Hashable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from ..aio.addresses import address_of, show
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection, protocol_of
from ..aio.connection_owner import ConnectionOwner
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.hooks import Hooks
from ..aio.link_change import LinkChange
from ..aio.peer_handlers import PeerHandlers, UnwantedMessageError
from ..aio.program_faults import close_after
from ..aio.session_protocol import SessionProtocol
from ..aio.stats import ServerStats, Stats
from ..aio.user_timeout import UserTimeouts
from ..core.budget import Budget
from ..errors import (
    ConnectionClosedError,
    DecodeError,
    HandshakeError,
    HandshakeTimeoutError,
    TruncatedError,
)
from ..noise.handshake_driver import BUSY_REPLY
from ..options import ServerOptions
from ..wire import CloseCode
from ..wire.control import Close, Hello
from ..wire.proxy_header import Relayed
from .admission import Admission, Decision
from .clients import Clients
from .connection_log import ConnectionLog
from .connection_maker import ConnectionMaker
from .departure import close_all, finish_calls, go_away
from .handlers import Handler, Handlers
from .moving import FoundSession, SessionQuestion
from .rate_limit_key import network, rate_limit_key, relayed_key
from .reject import RejectedClient, RejectedClients
from .session_keeper import SessionKeeper
from .session_store import StoredSession

logger = logging.getLogger("sealframe.server")

_DROPPED: Final = ConnectionClosedError("the handshake was dropped to make room for a newcomer")
_CLOSED: Final = ConnectionClosedError("the server closed meanwhile")


class OtherServers(typing.Protocol):
    """What stands for the other servers of a cluster."""

    @property
    def others(self) -> bool: ...
    def client_joined(self, conn: AnyConnection) -> None: ...
    def client_left(self, conn: AnyConnection) -> None: ...
    async def find_session(self, question: SessionQuestion) -> FoundSession: ...
    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession: ...


class ConnectionRegistry(ConnectionOwner):
    """Accepts connections, runs the handler of each, and forgets them; owns them all.

    :param counters: the server's
    :param cluster: the other servers, which are told of clients before their handlers begin; None
        where there are none
    """

    def __init__(
        self,
        handler: Handler[Any, Any] | None,
        config: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        peer_handlers: PeerHandlers,
        counters: ServerStats,
        cluster: OtherServers | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._cluster = cluster
        self.counters = counters
        self.connections: dict[ConnectionProtocol, AnyConnection] = {}
        """Those whose socket is open, unfinished handshakes included, and detached sessions."""
        self.clients = Clients(config.clients_file)
        """The registered ones."""
        self.gone = Stats()
        """Sums over the connections that are forgotten."""
        self.admission: Admission[ConnectionProtocol] = Admission(
            options, handshakes=config.security is not None
        )
        reply = BUSY_REPLY if config.security is not None else b""
        self.rejected = RejectedClients(reply, options.handshake_timeout)
        self.budget = Budget(options.pause_limit, options.inbox_budget)
        self.log = ConnectionLog(counters)
        self.handlers = Handlers(handler, self.log, self._handler_done)
        self.peer_handlers = peer_handlers
        self.sessions = None if config.sessions is None else self._keep(config, options)
        """None unless the server keeps sessions."""
        self.takes_packets = config.security is None
        """Whether a client may be one that knows no PING."""
        self._options = options
        self._hooks = hooks
        self._accepting = True
        self._maker = ConnectionMaker(
            config, options, hooks, peer_handlers, self.clients.memberships, self.budget
        )
        self.user_timeouts = UserTimeouts(options, self.connections.keys())
        """Those of the connections, once they are TCP connections."""

    # What the listening socket calls

    def accept(
        self, transport: asyncio.Transport, relayed: Relayed | None = None
    ) -> ConnectionProtocol | RejectedClient | None:
        """Return the protocol for a new connection, None to drop it.

        :param relayed: on whose behalf a balancer has connected
        """
        if not self._accepting:
            return None
        who = address_of(transport, "peername")
        addresses, through = None, ""
        if relayed is None:
            key = rate_limit_key(transport)
        else:
            through = f", through {show(who)}"
            who = relayed.address
            key = relayed_key(who)
            addresses = who, address_of(transport, "sockname")
        match self.admission.check(key, self.loop.time()):
            case Decision.TOO_FAST:
                self.log.rejected_too_fast(who)
                return None
            case Decision.FULL:
                self.log.rejected_full(who, self._options.max_connections)
                return self.rejected.add()
        self.counters.accepted += 1
        protocol, conn = self._maker.make(self, addresses)
        self.connections[protocol] = conn
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("accepted connection %s from %s%s", protocol.id, show(who), through)
        dropped = self.admission.add(protocol, key)
        if dropped is not None:
            if dropped.receiver.error is None:
                self.log.dropped_handshake(who, self.admission.pending)
            dropped.closer.abort(_DROPPED)
        return protocol

    def _keep(self, config: ConnectionConfig, options: ServerOptions) -> SessionKeeper:
        assert config.sessions is not None
        cluster = self._cluster
        stored = config.sessions.store is not None and cluster is not None
        return SessionKeeper(
            config.sessions,
            options,
            self.counters,
            context=config.context_bytes,
            client_of=_client_of,
            replaced=self._replace,
            elsewhere=None if cluster is None else cluster.find_session,
            take_over=cluster.take_session_over if cluster is not None and stored else None,
        )

    def _replace(self, donor: SessionProtocol, session: SessionProtocol) -> None:
        """A session has taken over the link of a connection that is no more."""
        conn = self.connections.pop(donor)
        self.clients.memberships.end(conn)
        self.admission.replace(donor, session)

    # What the connections call

    def on_joining(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Begin a session, or have one go on."""
        assert self.sessions is not None
        assert isinstance(protocol, SessionProtocol)
        self.sessions.join(protocol, hello)

    def on_link_lost(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """Keep the session until its client comes back."""
        assert self.sessions is not None
        assert isinstance(protocol, SessionProtocol)
        self.admission.discard(protocol)
        self.sessions.link_lost(protocol, error)

    def on_queued(self, protocol: ConnectionProtocol) -> None:
        """Sessions without a link share a memory."""
        if self.sessions is not None and isinstance(protocol, SessionProtocol):
            self.sessions.grew(protocol)

    def on_link_changed(self, protocol: ConnectionProtocol, change: LinkChange) -> None:
        """Call the hook."""
        self._hooks.link_changed(self.connections[protocol], change)

    def on_established(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Register the client, and start its handler, or the calls of ``on_message``."""
        if not self._accepting or not self.admission.establish(protocol):
            protocol.closer.abort(_CLOSED)
            return
        conn = self.connections[protocol]
        self.clients.add(conn)
        self.budget.join()
        self._hooks.connected(conn)
        if self._cluster is not None:
            self._cluster.client_joined(conn)
        if self.peer_handlers.on_message is None:
            protocol.closer.handler = self.handlers.start(conn)
        else:
            protocol.receiver.start_calls(conn)

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """Log and count the error."""
        # A handshake that the server dropped, or that its close ended, is no fault.
        if error is _DROPPED or not (_was_registered(protocol) or self._accepting):
            return
        if self._is_probe(protocol, error):
            self.log.probed(protocol.id, protocol.remote_address)
        elif protocol in self._leaving and error.code == CloseCode.SESSION_LOST:
            self.log.moved(protocol.id, error)
        else:
            self.log.failed(protocol.id, protocol.remote_address, error)

    def _is_probe(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> bool:
        """Return whether a client came and went as the health check of a balancer does."""
        stats = protocol.stats
        if stats.bytes_received or stats.bytes_sent or isinstance(error, HandshakeTimeoutError):
            return False
        # One that has been there for longer is a client that was lost.
        young = self.loop.time() - protocol.since < self._options.handshake_timeout
        return young and isinstance(error, HandshakeError | TruncatedError)

    def on_callback_failed(self, protocol: ConnectionProtocol, error: BaseException) -> None:
        """Log the error, and close the connection."""
        if isinstance(error, UnwantedMessageError):
            self._refuse_messages(protocol)
            return
        conn = self.connections[protocol]
        close = close_after(error, conn, "on_message failed")
        if isinstance(error, DecodeError) and close.code == CloseCode.MALFORMED:
            self.log.failed(conn.id, protocol.remote_address, error)
        elif close.code == CloseCode.HANDLER:
            more = self.peer_handlers.note_failure()
            if more is not None:
                what = "on_message of client %s failed%s"
                logger.error(what, conn.id, more, exc_info=error)
        self._unregister(conn)
        protocol.closer.close(close)

    def _refuse_messages(self, protocol: ConnectionProtocol) -> None:
        protocol.stats.discarded += 1
        protocol.machine.refuse_messages()
        protocol.handle_events()

    def on_finished(self, protocol: ConnectionProtocol) -> None:
        """Forget the connection; its handler may still run."""
        conn = self.connections.pop(protocol)
        self.gone.add(conn.stats)
        self._unregister(conn)
        self.admission.discard(protocol)
        if self.sessions is not None and isinstance(protocol, SessionProtocol):
            self.sessions.ended(protocol)
        if not _was_registered(protocol):
            return
        self._hooks.disconnected(conn)
        if protocol.closer.handler not in self.handlers:
            self.budget.leave(protocol.receiver.borrowed)
            protocol.closer.handler = None

    def connection(self, protocol: ConnectionProtocol) -> AnyConnection:
        """Return what programs see of it."""
        return self.connections[protocol]

    def _handler_done(self, conn: AnyConnection, close: Close) -> None:
        protocol = protocol_of(conn)
        handler = protocol.closer.handler
        if isinstance(protocol, SessionProtocol) and handler is not None and _returned(handler):
            protocol.acknowledger.finish_taken()
        if protocol.closer.closed:
            # Until now its handler could read messages, which count in the budget.
            self.budget.leave(protocol.receiver.borrowed)
            protocol.closer.handler = None
        elif protocol not in self._leaving:
            self._unregister(conn)
            if not protocol.going_away or not protocol.busy:
                protocol.closer.close(close)

    def _unregister(self, conn: AnyConnection) -> None:
        # Called when the handler is done, and when the socket is gone.
        if self.clients.remove(conn) and self._cluster is not None:
            self._cluster.client_left(conn)
        self.clients.memberships.end(conn)

    @property
    def _leaving(self) -> AbstractSet[ConnectionProtocol]:
        """Sessions that end here, and go on at another server."""
        return frozenset() if self.sessions is None else self.sessions.leaving

    # Closing

    def stop_accepting(self) -> None:
        """Take in nobody from now on, unfinished handshakes included."""
        self._accepting = False

    def exclude(self, task: asyncio.Task[Any] | None) -> None:
        """Do not wait for a task that waits itself for :meth:`close`."""
        for tasks in (self.handlers, self._hooks, self.peer_handlers.tasks):
            tasks.exclude(task)
        if self.sessions is not None:
            self.sessions.exclude(task)
        for protocol in list(self.connections):
            protocol.close_if_idle()

    async def close(self, close: Close, deadline: float) -> int:
        """Close every connection, and wait until all is over.

        :param close: what the clients are told
        :param deadline: until when handlers and the like may run, by the event loop's clock
        :return: how many tasks did not finish in time and were cancelled
        """
        self.rejected.abort()
        moving: set[SessionProtocol] = set()
        keeper = self.sessions
        if self._cluster is None or not self._cluster.others:
            keeper = None
        if keeper is not None:
            moving = keeper.moves.begin(deadline)
        # Those that are leaving have a handler that still answers, for a moment.
        go_away(self.connections.keys() - moving - self._leaving, close)
        if keeper is not None:
            await keeper.moves.wait(len(moving), deadline)
            go_away((self.connections.keys() & moving) - self._leaving, close)
        if self.sessions is not None:
            await self.sessions.stop_asking()
        cancelled = await self.peer_handlers.tasks.finish(deadline)
        cancelled += await self.handlers.finish(deadline)
        await finish_calls(self.connections, deadline)
        await close_all(self.connections, close)
        if self.sessions is not None:
            await self.sessions.logs.stop(deadline)
            self.sessions.close()
        cancelled += await self._hooks.finish(deadline)
        if self.clients.revocation is not None:
            await self.clients.revocation.stop()
        self.user_timeouts.stop()
        return cancelled

    def lost(self) -> tuple[int, int]:
        """Return how many messages were left unsent, and how many discarded, until now."""
        counted = [self.gone, *(protocol.stats for protocol in self.connections)]
        return sum(s.unsent for s in counted), sum(s.discarded for s in counted)


def _client_of(protocol: SessionProtocol) -> Hashable:
    """Return whose sessions count together: those of a key, else of an address."""
    records = protocol.machine.records
    if records is not None and records.peer_key:
        return records.peer_key
    address = protocol.remote_address
    if isinstance(address, tuple):
        return network(address[0])
    return None if protocol.transport is None else rate_limit_key(protocol.transport)


def _returned(handler: asyncio.Task[None]) -> bool:
    return not handler.cancelled() and handler.exception() is None


def _was_registered(protocol: ConnectionProtocol) -> bool:
    return protocol.closer.handler is not None or protocol.receiver.calls_back
