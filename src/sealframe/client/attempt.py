"""One attempt to connect: the socket, the handshake, and the end of the connection."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

from ..aio.addresses import show
from ..aio.callback_connection import awaiting_each
from ..aio.caller import current_caller
from ..aio.cancelling import cancel_once
from ..aio.connection import AnyConnection, protocol_of, send_through
from ..aio.connection_owner import ConnectionOwner
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.endpoint import Endpoint
from ..aio.hooks import Hooks
from ..aio.link_change import LinkChange
from ..aio.lockstep import LockstepProtocol
from ..aio.peer_handlers import PeerHandlers
from ..aio.program_faults import close_after
from ..aio.session_protocol import SessionProtocol
from ..aio.tasks import start_task
from ..aio.time_limit import wait_for_task
from ..aio.user_timeout import unwatch, watch
from ..core.protocol import ProtocolMachine
from ..errors import ConnectionClosed, ConnectionClosedError, HandshakeError
from ..options import ClientOptions
from ..wire import CloseCode
from ..wire.control import Close, Hello
from .dialing import dial
from .links import Links
from .outbox_feed import OutboxFeed

logger = logging.getLogger("sealframe.client")

_GIVEN_UP: Final = ConnectionClosedError("the attempt to connect was given up")

_PREFIX: Final = secrets.token_hex(3)
_NUMBERS: Final = itertools.count(1)


def next_id() -> str:
    """Return an id for a connection that has none from a server yet."""
    return f"{_PREFIX}-{next(_NUMBERS)}"


class Attempt(ConnectionOwner):
    """Connects; then it is the owner of the connection, and calls the hooks.

    :param make_connection: returns what programs see of a transport protocol
    :param links: makes the further links of a session; None where there is none
    """

    # The owner lives as long as the connection, of which there may be many.
    __slots__ = ("_conn", "_established", "_hooks", "_links", "_make_connection", "_serving")

    def __init__(
        self,
        make_connection: Callable[..., AnyConnection],
        hooks: Hooks,
        links: Links | None = None,
    ) -> None:
        self._make_connection = make_connection
        self._hooks = hooks
        self._links = links
        self._conn: AnyConnection | None = None
        # The task of an async on_message.
        self._serving: asyncio.Task[None] | None = None
        # None once the program has the connection.
        self._established: asyncio.Future[AnyConnection] | None = None

    @property
    def _feed(self) -> OutboxFeed | None:
        return None if self._links is None else self._links.feed

    async def connect(
        self,
        endpoint: Endpoint,
        machine: ProtocolMachine,
        options: ClientOptions,
        peer_handlers: PeerHandlers,
        id: str,
        *,
        pipelining: bool,
    ) -> AnyConnection:
        """Connect and shake hands.

        :param id: what the connection is called until the server gives it another id
        :param pipelining: whether messages may be sent before those before them are answered
        :raises ConnectError: there is no connection to be had within ``connect_timeout``
        :raises ConnectionClosed: the handshake failed
        """
        established: asyncio.Future[AnyConnection] = asyncio.get_running_loop().create_future()
        self._established = established
        make: type[ConnectionProtocol]
        if self._links is not None:
            make = SessionProtocol
        else:
            make = ConnectionProtocol if pipelining else LockstepProtocol
        protocol = make(
            machine,
            options,
            self,
            id=id,
            handlers=peer_handlers,
        )
        try:
            await dial(endpoint, protocol, options.connect_timeout)
            return await established
        except ConnectionClosed:
            # A refusal may still be on its way to the peer.
            try:
                await protocol.closer.wait_closed()
            finally:
                protocol.closer.abort(_GIVEN_UP)
            raise
        except BaseException:
            established.cancel()
            protocol.closer.abort(_GIVEN_UP)
            raise

    def connect_detached(
        self,
        machine: ProtocolMachine,
        options: ClientOptions,
        peer_handlers: PeerHandlers,
        id: str,
        *,
        error: Exception,
        is_fatal: Callable[[Exception], bool],
    ) -> AnyConnection:
        """Begin the session of an outbox without a link.

        :param machine: stands in until there is one
        :param error: why there is none
        :param is_fatal: says of an error, before the first link, that no retry cures it
        """
        assert self._links is not None
        protocol = SessionProtocol(machine, options, self, id=id, handlers=peer_handlers)
        conn = self._make(protocol)
        self._links.begin_detached(protocol, error, is_fatal)
        return conn

    async def begin_feed(self) -> None:
        """Have what is stored sent, where there is an outbox.

        :raises OutboxError: it cannot be
        """
        if self._feed is not None:
            assert self._conn is not None
            protocol = protocol_of(self._conn)
            assert isinstance(protocol, SessionProtocol)
            await self._feed.begin(protocol)

    def hand_over(self) -> None:
        """Note that the program gets the connection: from now on the hooks are called."""
        assert self._conn is not None
        self._hooks.connected(self._conn)
        self._established = None
        protocol = protocol_of(self._conn)
        if protocol.detached:
            assert self._links is not None
            assert self._links.error is not None
            self._hooks.link_changed(self._conn, LinkChange.lost(self._links.error))
        protocol.receiver.start_calls(self._conn)
        each_message = protocol.handlers.each_message
        if each_message is not None:
            self._start(awaiting_each(each_message), self._conn)
        if self._conn.closed:
            protocol.receiver.finish()
            self._disconnected()

    def give_up(self) -> None:
        """Drop the connection that the program is not to get."""
        assert self._conn is not None
        protocol_of(self._conn).closer.abort(_GIVEN_UP)

    def _start(
        self, serve: Callable[[AnyConnection], Coroutine[Any, Any, None]], conn: AnyConnection
    ) -> None:
        self._serving = start_task(serve, conn, name=f"on_message {conn.id}")
        self._serving.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        assert self._conn is not None
        protocol = protocol_of(self._conn)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.on_callback_failed(protocol, error)
        else:
            code = CloseCode.GOING_AWAY if task.cancelled() else CloseCode.NORMAL
            protocol.closer.close(Close(code))

    async def settle(self, conn: AnyConnection, deadline: float) -> None:
        """Wait for an async ``on_message``, and for the hooks; cancel what still runs at the
        deadline. Whichever of them calls this is not waited for.

        :param deadline: a time of the event loop's clock
        """
        task = self._serving
        if task is not None and task is not current_caller():
            await wait_for_task(task, deadline)
            if not task.done():
                logger.warning("on_message of connection %s did not end in time", conn.id)
                cancel_once(task)
                await asyncio.wait([task])
        await self._hooks.settle(conn, deadline)
        if self._feed is not None:
            # Else the next connection would find the file in use.
            await self._feed.close()

    # What the connection calls

    def on_established(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Make the connection that the program gets."""
        if hello.client_id:
            protocol.rename(hello.client_id)
        watch(protocol)
        conn = self._make(protocol)
        if self._established is not None and not self._established.done():
            self._established.set_result(conn)

    def _make(self, protocol: ConnectionProtocol) -> AnyConnection:
        conn = self._conn = self._make_connection(protocol, hooks=self)
        if self._feed is not None:
            send_through(conn, self._feed)
        return conn

    def on_joining(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        """Begin the session."""
        assert self._links is not None
        assert isinstance(protocol, SessionProtocol)
        self._links.begin(protocol, hello)

    def on_link_lost(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """Make the next link."""
        assert self._links is not None
        assert isinstance(protocol, SessionProtocol)
        self._links.lost(protocol, error)

    def on_link_changed(self, protocol: ConnectionProtocol, change: LinkChange) -> None:
        """Call the hook, if the program has the connection."""
        if self._established is None and self._conn is not None:
            self._hooks.link_changed(self._conn, change)

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        """End the handshake."""
        if self._established is not None and not self._established.done():
            if self._feed is not None:
                self._feed.refusal = protocol.machine.refusal
            self._established.set_exception(error.fresh())
        elif isinstance(error, HandshakeError):
            # The program has the connection, and may never look at it again.
            logger.warning("%s: %s", show(protocol.remote_address), error)

    def on_callback_failed(self, protocol: ConnectionProtocol, error: BaseException) -> None:
        """Log the error, and end the connection with it."""
        assert self._conn is not None
        close = close_after(error, self._conn, "on_message failed")
        if close.code == CloseCode.NORMAL:
            protocol.closer.close(close)
            return
        more = protocol.handlers.note_failure()
        if more is not None:
            what = "on_message of connection %s failed%s"
            logger.error(what, self._conn.id, more, exc_info=error)
        text = f"on_message failed, and the connection is closed: {type(error).__name__}: {error}"
        failure = ConnectionClosedError(text, code=close.code, reason=close.reason)
        failure.__cause__ = error
        protocol.closer.put_out(failure, close)

    def on_finished(self, protocol: ConnectionProtocol) -> None:
        """Call the hook, if the program had the connection."""
        unwatch(protocol)
        if self._links is not None:
            self._links.stop()
        if self._established is None and self._conn is not None:
            self._disconnected()

    def _disconnected(self) -> None:
        assert self._conn is not None
        if self._feed is not None:
            self._feed.end(clean=protocol_of(self._conn).closer.clean)
        self._hooks.disconnected(self._conn)

    def connection(self, protocol: ConnectionProtocol) -> AnyConnection:
        """Return what programs see of it."""
        assert self._conn is not None
        return self._conn
