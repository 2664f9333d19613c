"""The client: connects, and connects again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, Final, Generic

from ..aio.codec_connection import connection_maker
from ..aio.config import ConnectionConfig
from ..aio.connection import AnyConnection, Connection, OnRequest, Received, Sent
from ..aio.connection_protocol import ConnectionProtocol
from ..aio.endpoint import Endpoint, reason
from ..aio.hooks import Hooks, OnConnect, OnDisconnect
from ..aio.peer_handlers import OnStream, PeerHandlers
from ..codecs import Codec, check_codec
from ..errors import (
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectTimeoutError,
    HandshakeError,
    KeyFileError,
    KeyFormatError,
    ServerKeyChangedError,
    UnauthorizedError,
    UnknownServerError,
)
from ..files.receiving import OnOffer
from ..files.transfers import Transfers
from ..framing import Framing
from ..options import ClientOptions
from ..trust.identity import ClientIdentity
from ..trust.keys import PublicKey, SharedKey
from ..wire import RETRY_CODES
from ..wire.control import Hello
from .backoff import Backoff

logger = logging.getLogger("sealframe.client")


def connect(
    host: str | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: Framing | None = None,
    extended: bool = False,
    codec: Codec[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
) -> Connecting[Sent, Received]:
    """Connect to a server.

    ``conn = await connect(...)`` and ``async with connect(...) as conn`` try once; the
    latter closes the connection at its end, the former leaves that to you.
    ``async for conn in connect(...)`` keeps trying until it is connected, and
    connects again whenever the body ends or goes on to its next round::

        async for conn in connect(host, port):
            try:
                async for message in conn:
                    ...
            except ConnectionClosed:
                continue

    Between attempts it waits, longer each time and with jitter, as ``options``
    say; a connection that lasted longer than the wait before it starts the
    waits anew. Use the connection inside the loop only: whoever leaves the loop,
    by ``break`` too, leaves it to be closed.

    With a codec, a :exc:`~sealframe.DecodeError` that leaves ``async with`` closes the
    connection with ``CloseCode.MALFORMED``. An ``async for`` is not told what its body
    raises: write ``async with conn:`` in it, if the server is to know.

    :param host: address or name of the server
    :param port: its TCP port
    :param path: its Unix socket, instead of host and port
    :param security: a shared key, or an identity, seals the connection; it never
        falls back to plain
    :param context: the server's name for its service, the same at both ends
        (sealed only)
    :param framing: a foreign frame layout, messages only
    :param extended: on a plain connection, speak control frames (``ping``, requests,
        streams, reasons for closing); the server must be sealframe too. Sealed connections
        always do.
    :param codec: what makes messages of objects and objects of messages, see
        :mod:`sealframe.codecs`; None leaves them ``bytes``
    :param on_request: ``async def on_request(conn, payload)`` returns the answer to a
        request of the server, as :func:`sealframe.serve` describes it
    :param on_stream: ``async def on_stream(stream)`` serves a stream that the server opens,
        likewise
    :param files: takes, or decides about, the files that the server sends, likewise
    :param options: limits, time-outs and back-off
    :param is_fatal: for ``async for``: says of an error whether to give up and
        raise it; the default is :func:`is_fatal` until the first success, and after
        it only :exc:`~sealframe.UnauthorizedError` ends the loop
    :param on_connect: called with each connection before the program gets it. A
        function, or a coroutine function, which runs in a task beside the program.
        What a hook raises is logged, and ends nothing.
    :param on_disconnect: called with the connection and a :class:`Disconnect` once its
        socket is gone, after ``on_connect``. :meth:`Connection.close` waits for both.
    :raises ConfigurationError: the arguments cannot work together
    :raises ConnectError: when awaited: refused, no such host, or
        :exc:`~sealframe.ConnectTimeoutError`
    :raises HandshakeError: when awaited: the server refused or is of another kind;
        :exc:`~sealframe.UnauthorizedError` if it does not let this identity in,
        :exc:`~sealframe.UnknownServerError` or
        :exc:`~sealframe.ServerKeyChangedError` if its own is not the known one
    :raises KeyFileError: when awaited: the file of known servers cannot be used
    :raises KeyFormatError: when awaited: a line of that file is wrong
    """
    options = ClientOptions() if options is None else options
    if not isinstance(options, ClientOptions):
        raise ConfigurationError("options for a client are ClientOptions(...)")
    check_codec(codec)
    services = PeerHandlers(on_request=on_request, on_stream=on_stream, files=Transfers(files))
    mode = ConnectionConfig(
        client=True,
        security=security,
        context=context,
        framing=framing,
        extended=extended,
        options=options,
        takes_streams=services.takes_streams,
        takes_requests=services.takes_requests,
    )
    hooks = Hooks(on_connect, on_disconnect, timeout=options.close_timeout)
    return Connecting(
        Endpoint.of(host, port, path), mode, options, is_fatal, hooks, services, codec
    )


def is_fatal(error: Exception) -> bool:
    """Return whether trying again cannot help: wrong key, wrong kind of server.

    A server that is not there, is busy, or vanished meanwhile may come back. One
    that merely closes, as a server of another kind may, looks the same.
    """
    if isinstance(error, UnknownServerError | ServerKeyChangedError):
        return True
    if isinstance(error, HandshakeError):
        return error.code is not None and error.code not in RETRY_CODES
    return not isinstance(error, ConnectError | ConnectionClosed)


class Connecting(Generic[Sent, Received]):
    """What :func:`sealframe.connect` returns: await it, or use ``async with`` or ``async for``."""

    def __init__(
        self,
        endpoint: Endpoint,
        mode: ConnectionConfig,
        options: ClientOptions,
        is_fatal: Callable[[Exception], bool] | None,
        hooks: Hooks,
        services: PeerHandlers,
        codec: Codec[Sent, Received] | None,
    ) -> None:
        self._endpoint = endpoint
        self._mode = mode
        self._options = options
        self._is_fatal = is_fatal
        self._hooks = hooks
        self._services = services
        self._make_connection = connection_maker(codec)
        self._conn: Connection[Sent, Received] | None = None
        # Where trust came by first use: another key is never first.
        self._server_key: PublicKey | None = None

    def __await__(self) -> Generator[Any, None, Connection[Sent, Received]]:
        return self._open().__await__()

    async def __aenter__(self) -> Connection[Sent, Received]:
        self._conn = await self._open()
        return self._conn

    async def __aexit__(self, *exception: object) -> None:
        assert self._conn is not None
        await self._conn.__aexit__(*exception)

    async def __aiter__(self) -> AsyncIterator[Connection[Sent, Received]]:
        loop = asyncio.get_running_loop()
        backoff = Backoff(self._options)
        delay = 0.0
        decide = self._is_fatal or is_fatal
        while True:
            try:
                conn = await self._open()
            except (OSError, ConnectionClosed, KeyFormatError) as error:
                if decide(error):
                    raise
                delay = backoff.next_delay()
                level = logging.WARNING if _is_alarming(error) else logging.INFO
                logger.log(level, "%s; next attempt in %.1f s", error, delay)
            else:
                if self._is_fatal is None:
                    # Whoever has been there once knows that key and server are
                    # right; most refusals after that may be anyone's forgery.
                    decide = _is_proven
                started = loop.time()
                try:
                    yield conn
                finally:
                    await conn.close()
                if loop.time() - started > delay:
                    backoff.reset()
                delay = backoff.next_delay()
            await asyncio.sleep(delay)

    async def _open(self) -> Connection[Sent, Received]:
        loop = asyncio.get_running_loop()
        address = self._endpoint.name
        introduction = self._mode.introduction(address)
        if introduction is not None:
            await asyncio.to_thread(introduction.look_up, self._server_key)
        verify = introduction.verify_server_key if introduction is not None else None
        established: asyncio.Future[Hello] = loop.create_future()
        machine = self._mode.protocol(address=address, verify_server_key=verify)
        attempt = _Attempt(established, self._hooks)
        protocol = ConnectionProtocol(
            machine,
            self._options,
            attempt,
            id=f"{_PREFIX}-{next(_NUMBERS)}",
            handlers=self._services,
        )
        conn = self._make_connection(protocol, hooks=self._hooks)
        attempt.conn = conn
        try:
            await self._dial(loop, protocol)
            hello = await established
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
        if introduction is not None and conn.peer is not None:
            try:
                await asyncio.to_thread(introduction.record, conn.peer.key)
                self._server_key = conn.peer.key
            except BaseException:
                protocol.closer.abort(_GIVEN_UP)
                raise
        if hello.client_id:
            protocol.id = hello.client_id
        attempt.succeed(conn)
        return conn

    async def _dial(self, loop: asyncio.AbstractEventLoop, protocol: ConnectionProtocol) -> None:
        endpoint, timeout = self._endpoint, self._options.connect_timeout
        try:
            async with asyncio.timeout(timeout):
                if endpoint.path:
                    await loop.create_unix_connection(lambda: protocol, endpoint.path)
                else:
                    await loop.create_connection(lambda: protocol, endpoint.host, endpoint.port)
        except TimeoutError as error:
            raise ConnectTimeoutError(
                f"cannot connect to {endpoint} within connect_timeout, {timeout:g} s"
            ) from error
        except UnicodeError as error:
            # Host names are encoded by IDNA before they are looked up.
            raise ConnectError(f"cannot connect to {endpoint}: this is no host name") from error
        except OSError as error:
            number, why = reason(error)
            raise ConnectError(number, f"cannot connect to {endpoint}: {why}") from error


class _Attempt:
    """Hands the outcome of a handshake to who waits for it; later tells of the end."""

    __slots__ = ("_established", "_hooks", "_succeeded", "conn")

    def __init__(self, established: asyncio.Future[Hello], hooks: Hooks) -> None:
        self._established = established
        self._hooks = hooks
        self._succeeded = False
        self.conn: AnyConnection | None = None

    def succeed(self, conn: AnyConnection) -> None:
        """Take note that the program is about to get the connection."""
        self._hooks.connected(conn)
        self._succeeded = True
        if conn.closed:
            self._hooks.disconnected(conn)

    def on_established(self, protocol: ConnectionProtocol, hello: Hello) -> None:
        if not self._established.done():
            self._established.set_result(hello)

    def on_failed(self, protocol: ConnectionProtocol, error: ConnectionClosedError) -> None:
        if not self._established.done():
            self._established.set_exception(error.fresh())

    def on_finished(self, protocol: ConnectionProtocol) -> None:
        if self._succeeded and self.conn is not None:
            self._hooks.disconnected(self.conn)

    def connection(self, protocol: ConnectionProtocol) -> AnyConnection:
        assert self.conn is not None
        return self.conn


def _is_proven(error: Exception) -> bool:
    return isinstance(error, UnauthorizedError)


def _is_alarming(error: Exception) -> bool:
    # Trying again is right, but somebody should look.
    kinds = ServerKeyChangedError | UnknownServerError | KeyFileError | KeyFormatError
    return isinstance(error, kinds)


_GIVEN_UP: Final = ConnectionClosedError("the attempt to connect was given up")

_PREFIX: Final = secrets.token_hex(3)
_NUMBERS: Final = itertools.count(1)
"""Ids of connections that got none from a server."""
