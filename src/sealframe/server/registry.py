"""The connections of one server, each from its accept to the loss of its socket.

accept → (handshake) → registered as a client, its handler runs → handler done or socket gone (of a
session: that is over): unregistered → both: forgotten.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
import typing
from collections.abc import Hashable, Iterable
from typing import Any, Final

from ..aio.addresses import address_of, show
from ..aio.callback_connection import connection_maker
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection, protocol_of
from ..aio.connection_owner import ConnectionOwner
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.hooks import Hooks
from ..aio.keepalive_timer import keepalive_wheel
from ..aio.link_change import LinkChange
from ..aio.peer_handlers import PeerHandlers, UnwantedMessageError
from ..aio.program_faults import close_after
from ..aio.session_protocol import SessionProtocol
from ..aio.stats import ServerStats, Stats
from ..aio.taking_connection import taking_connection_maker
from ..aio.time_limit import TimeLimit
from ..aio.trace_log import trace_log
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
from .connection_log import ConnectionLog
from .groups import Memberships
from .handlers import Handler, Handlers
from .moving import FoundSession, SessionQuestion
from .rate_limit_key import network, rate_limit_key, relayed_key
from .reject import RejectedClient, RejectedClients
from .revocation import Revocation
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
        self.clients: dict[str, AnyConnection] = {}
        """The registered ones, by id."""
        self.gone = Stats()
        """Sums over the connections that are forgotten."""
        self.admission: Admission[ConnectionProtocol] = Admission(
            options, handshakes=config.security is not None
        )
        reply = BUSY_REPLY if config.security is not None else b""
        self.rejected = RejectedClients(reply, options.handshake_timeout)
        self.memberships = Memberships()
        self.budget = Budget(options.pause_limit, options.inbox_budget)
        self.log = ConnectionLog(counters)
        self.handlers = Handlers(handler, self.log, self._handler_done)
        self.peer_handlers = peer_handlers
        clients_file = config.clients_file
        self.revocation = None if clients_file is None else Revocation(clients_file)
        """None unless the clients are in a file."""
        self.sessions = None if config.sessions is None else self._keep(config, options)
        """None unless the server keeps sessions."""
        self._config = config
        self._options = options
        self._hooks = hooks
        self._accepting = True
        counts = config.sessions is not None and config.sessions.counts_taken
        make_connection = taking_connection_maker if counts else connection_maker
        self._make_connection = make_connection(
            peer_handlers.codec, calls_back=peer_handlers.calls_back
        )
        self._keepalive_wheel = keepalive_wheel(options)
        # A counter behind a random prefix: unique over restarts and over several servers.
        self.user_timeouts = UserTimeouts(options, self.connections.keys())
        """Those of the connections, once they are TCP connections."""
        self._ids = map(f"{secrets.token_hex(3)}-{{}}".format, itertools.count(1))

    @property
    def takes_packets(self) -> bool:
        """Whether a client may be one that knows no PING."""
        return self._config.security is None

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
        client_id = next(self._ids)
        make = ConnectionProtocol if self.sessions is None else SessionProtocol
        protocol = make(
            self._config.protocol(client_id=client_id, trace=trace_log(client_id)),
            self._options,
            self,
            id=client_id,
            handlers=self.peer_handlers,
            budget=self.budget,
            keepalive_wheel=self._keepalive_wheel,
            addresses=addresses,
        )
        self.connections[protocol] = self._make_connection(
            protocol, groups=self.memberships, hooks=self._hooks
        )
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("accepted connection %s from %s%s", client_id, show(who), through)
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
        self.memberships.end(conn)
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
        self.clients[conn.id] = conn
        logger.debug("registered client %s", conn.id)
        if self.revocation is not None:
            self.revocation.add(conn)
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
        elif self.sessions is not None and self.sessions.goes_on_elsewhere(protocol):
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
        else:
            self._unregister(conn)
            if not protocol.going_away or not protocol.busy:
                protocol.closer.close(close)

    def _unregister(self, conn: AnyConnection) -> None:
        # Called when the handler is done, and when the socket is gone.
        if self.clients.pop(conn.id, None) is not None:
            logger.debug("unregistered client %s", conn.id)
            if self._cluster is not None:
                self._cluster.client_left(conn)
        self.memberships.end(conn)

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
            moving = keeper.moves.begin()
        self._go_away(close, self.connections.keys() - moving)
        if keeper is not None:
            await keeper.moves.wait(len(moving), deadline)
            self._go_away(close, self.connections.keys() & moving)
        if self.sessions is not None:
            await self.sessions.stop_asking()
        cancelled = await self.peer_handlers.tasks.finish(deadline)
        cancelled += await self.handlers.finish(deadline)
        await self._finish_calls(deadline)
        for protocol in list(self.connections):
            protocol.closer.close(close)
        for protocol in list(self.connections):
            await protocol.closer.wait_closed()
        if self.sessions is not None:
            await self.sessions.logs.stop(deadline)
            self.sessions.close()
        cancelled += await self._hooks.finish(deadline)
        if self.revocation is not None:
            await self.revocation.stop()
        self.user_timeouts.stop()
        return cancelled

    def _go_away(self, close: Close, protocols: Iterable[ConnectionProtocol]) -> None:
        for protocol in protocols:
            if isinstance(protocol, SessionProtocol) and protocol.detached:
                # Nobody is waited for who may not come.
                text = "the server was closed while the client had no link"
                lost = protocol.lost(text, code=close.code, reason=close.reason)
                protocol.end_session(lost)
            else:
                protocol.closer.go_away(close)

    async def _finish_calls(self, deadline: float) -> None:
        """Wait for messages that ``on_message`` has not got, since their clients read too slowly
        what it sends; drop those that are left at the deadline."""
        waiting = [
            protocol
            for protocol in self.connections
            if protocol.receiver.calls_back and not protocol.receiver.all_called
        ]
        with contextlib.suppress(TimeoutError):
            async with TimeLimit.until(deadline):
                for protocol in waiting:
                    # It closes by itself after the last one.
                    await protocol.closer.wait_closed()
        for protocol in waiting:
            protocol.receiver.drop_queue()

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
