"""From :func:`sealframe.connect` to a connection: each address in turn, once or again and again."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, Generic

from ..aio.callback_connection import connection_maker
from ..aio.config import ConnectionConfig
from ..aio.connection import Connection, Received, Sent, protocol_of
from ..aio.endpoint import Endpoint
from ..aio.hooks import Hooks
from ..aio.peer_handlers import PeerHandlers
from ..aio.trace_log import seal_name
from ..core.protocol import ProtocolMachine
from ..errors import ConfigurationError, ConnectionClosed, HandshakeError, KeyFormatError
from ..options import ClientOptions
from ..outbox import Outbox
from ..trust.known_servers import ServerVerifier
from ..wire.control import SessionHello
from .attempt import Attempt, next_id
from .backoff import Backoff
from .fatal import is_fatal, is_hopeless, is_proven
from .links import Links
from .machines import Machines
from .outbox_feed import OutboxFeed
from .targets import Targets, is_alarming, joined

logger = logging.getLogger("sealframe.client")


class Connecting(Generic[Sent, Received]):
    """What :func:`sealframe.connect` returns: await it, or use ``async with`` or ``async for``."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        config: ConnectionConfig,
        options: ClientOptions,
        is_fatal: Callable[[Exception], bool] | None,
        hooks: Hooks,
        peer_handlers: PeerHandlers,
        *,
        session: bool | Outbox,
    ) -> None:
        self._targets = Targets(endpoints)
        self._machines = Machines(config)
        self._config = config
        self._options = options
        self._is_fatal = is_fatal
        self._hooks = hooks
        self._peer_handlers = peer_handlers
        self._session = session
        self._make_connection = connection_maker(
            peer_handlers.codec, calls_back=peer_handlers.calls_back
        )
        self._conn: Connection[Sent, Received] | None = None

    def __await__(self) -> Generator[Any, None, Connection[Sent, Received]]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection[Sent, Received]:
        self._conn = await self._open()
        return self._conn

    async def __aexit__(self, *exception: object) -> None:
        assert self._conn is not None
        await self._conn.__aexit__(*exception)

    async def __aiter__(self) -> AsyncIterator[Connection[Sent, Received]]:
        if isinstance(self._targets.first.sock, socket.socket):
            raise ConfigurationError(
                "a socket serves one connection: to reconnect, give an async function as sock, "
                "which returns a new one each time"
            )
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._options)
        delay = 0.0
        decide = self._is_fatal or is_fatal
        while True:
            conn, failures = await self._try_all()
            if conn is None:
                conn = await self._open_detached(failures)
            if conn is None:
                error = joined(failures)
                if all(decide(failure) for failure in failures):
                    raise error
                delay = backoff.next_delay()
                level = logging.WARNING if any(map(is_alarming, failures)) else logging.INFO
                logger.log(level, "%s; next attempt in %.1f s", error, delay)
            else:
                started = loop.time()
                try:
                    yield conn
                finally:
                    await conn.close()
                ended = protocol_of(conn).receiver.error
                if isinstance(ended, HandshakeError):
                    # To a client of packets a refusal comes once it has its connection.
                    if decide(ended):
                        raise ended.fresh()
                elif self._is_fatal is None and protocol_of(conn).links:
                    decide = is_proven
                if loop.time() - started > delay:
                    backoff.reset()
                delay = backoff.next_delay()
                logger.debug("connection %s is over; next attempt in %.1f s", conn.id, delay)
            await asyncio.sleep(delay)

    async def _open(self) -> Connection[Sent, Received]:
        conn, failures = await self._try_all()
        if conn is None:
            conn = await self._open_detached(failures)
        if conn is None:
            raise joined(failures)
        return conn

    async def _open_detached(self, failures: list[Exception]) -> Connection[Sent, Received] | None:
        """Return a connection that has no link yet and accepts messages into its outbox; None
        where there is none, or no retry cures what became of the attempts."""
        decide = self._is_fatal or is_hopeless
        if not isinstance(self._session, Outbox) or all(map(decide, failures)):
            return None
        feed = await OutboxFeed.open(self._session)
        id = next_id()
        links = Links(
            Targets(self._targets.endpoints, self._targets.first),
            self._options,
            self._make_next_machine,
            feed,
        )
        attempt = Attempt(self._make_connection, self._hooks, links)
        machine = self._machines.make(self._targets.first, None, id, None)
        conn = attempt.connect_detached(
            machine,
            self._options,
            self._peer_handlers,
            id,
            error=joined(failures),
            is_fatal=decide,
        )
        attempt.hand_over()
        return conn

    async def _try_all(self) -> tuple[Connection[Sent, Received] | None, list[Exception]]:
        """Return a connection to the first address that lets this client in; None, and what
        became of each, if none does."""
        failures: list[Exception] = []
        for endpoint in self._targets.in_turn():
            logger.debug("connecting to %s", endpoint)
            try:
                conn = await self._connect(endpoint)
            except Exception as error:
                logger.debug("connecting to %s failed: %s", endpoint, error)
                if not isinstance(error, OSError | ConnectionClosed | KeyFormatError):
                    raise
                failures.append(error)
            else:
                how = seal_name(protocol_of(conn).machine)
                logger.debug("connected to %s as %s, %s", endpoint, conn.id, how)
                self._targets.prefer(endpoint)
                for failure in filter(is_alarming, failures):
                    logger.warning("%s", failure)
                return conn, failures
        return None, failures

    async def _connect(self, endpoint: Endpoint) -> Connection[Sent, Received]:
        if not isinstance(self._session, Outbox):
            return await self._connect_with(endpoint, None)
        while True:
            # Opened for each attempt: each is a start of its own, whose HELLO counts from 1.
            feed = await OutboxFeed.open(self._session)
            conn = None
            try:
                conn = await self._connect_with(endpoint, feed)
            except ConnectionClosed as error:
                lost = feed.judge(feed.refusal)
                if lost is None:
                    raise
                if not await feed.renew_ended(feed.refusal):
                    raise lost from error
            finally:
                if conn is None:
                    await feed.close()
            if conn is not None:
                return conn

    async def _connect_with(
        self, endpoint: Endpoint, feed: OutboxFeed | None
    ) -> Connection[Sent, Received]:
        verifier = await self._machines.look_up(endpoint)
        id = next_id()
        links = None
        if self._session:
            targets = Targets(self._targets.endpoints, endpoint)
            links = Links(targets, self._options, self._make_next_machine, feed)
        hello = None if links is None else links.first_hello(self._config.window)
        verify = None if verifier is None else verifier.verify_server_key
        machine = self._machines.make(endpoint, verify, id, hello)
        attempt = Attempt(self._make_connection, self._hooks, links)
        conn = await attempt.connect(
            endpoint,
            machine,
            self._options,
            self._peer_handlers,
            id,
            pipelining=self._config.pipelining,
        )
        try:
            if verifier is not None and conn.peer is not None:
                await self._machines.record(endpoint, verifier, conn.peer.key)
            await attempt.begin_feed()
        except BaseException:
            attempt.give_up()
            raise
        attempt.hand_over()
        return conn

    async def _make_next_machine(
        self, endpoint: Endpoint, hello: SessionHello, server_key: bytes
    ) -> tuple[ProtocolMachine, ServerVerifier | None]:
        return await self._machines.make_next(endpoint, next_id(), hello, server_key)
