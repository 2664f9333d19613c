"""What :func:`sealframe.connect` takes and returns: one attempt to connect, or many."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, Final, Generic, overload

from ..aio.callback_connection import connection_maker
from ..aio.config import ConnectionConfig
from ..aio.connection import (
    Connection,
    OnMessage,
    OnRequest,
    Received,
    Sent,
    protocol_of,
)
from ..aio.endpoint import Endpoint, OpenSocket
from ..aio.hooks import Hooks, OnConnect, OnDisconnect, OnLink
from ..aio.payload_codec import payload_codec
from ..aio.peer_handlers import OnStream, PeerHandlers
from ..aio.trace_log import trace_log
from ..buffers import BytesLike
from ..codecs import Codec, check_codec
from ..core.protocol import ProtocolMachine
from ..errors import (
    ConfigurationError,
    ConnectError,
    ConnectionClosed,
    HandshakeError,
    KeyFormatError,
    ServerKeyChangedError,
    SessionLostError,
    UnauthorizedError,
    UnknownServerError,
)
from ..files.receiving import OnOffer
from ..files.transfers import Transfers
from ..framing import FrameLayout
from ..options import ClientOptions
from ..outbox import Outbox
from ..trust.identity import ClientIdentity
from ..trust.keys import PublicKey, SharedKey
from ..trust.known_servers import ServerVerifier
from ..wire import RETRY_CODES
from .attempt import Attempt, next_id
from .backoff import Backoff
from .links import Links
from .next_link import VerifyServerKey, verify_same_key
from .outbox_feed import OutboxFeed
from .targets import Targets, is_alarming, joined

logger = logging.getLogger("sealframe.client")

_DEFAULT_OPTIONS: Final = ClientOptions()


# Apart: else pyright takes what on_request returns for all that can be sent. None as a codec is
# bytes, so the overlap is harmless.
@overload
def connect(  # type: ignore[overload-overlap]
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | OpenSocket | None = None,
    local_address: tuple[str, int] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: FrameLayout | None = None,
    pipelining: bool = True,
    extended: bool = False,
    session: bool | Outbox = False,
    codec: None = None,
    on_message: OnMessage[BytesLike, bytes] | None = None,
    on_request: OnRequest[BytesLike, bytes] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
) -> Connecting[BytesLike, bytes]: ...
@overload
def connect(
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | OpenSocket | None = None,
    local_address: tuple[str, int] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: FrameLayout | None = None,
    pipelining: bool = True,
    extended: bool = False,
    session: bool | Outbox = False,
    codec: Codec[Sent, Received] | None,
    on_message: OnMessage[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
) -> Connecting[Sent, Received]: ...
def connect(
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | OpenSocket | None = None,
    local_address: tuple[str, int] | None = None,
    security: SharedKey | ClientIdentity | None = None,
    context: bytes | str = b"",
    framing: FrameLayout | None = None,
    pipelining: bool = True,
    extended: bool = False,
    session: bool | Outbox = False,
    codec: Codec[Sent, Received] | None = None,
    on_message: OnMessage[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ClientOptions | None = None,
    is_fatal: Callable[[Exception], bool] | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
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

    :param host: address or name of the server; or a list of several, each ``"host:port"``,
        ``"[IPv6]:port"`` or ``"unix:/path"``, and then no port. An attempt to connect begins with
        a random one, so that many clients spread, goes on to the next where one does not let
        this client in, and fails if none does. To connect again it begins with the last
        that did. Each has ``connect_timeout`` to itself, and its own line in the file of known
        servers
    :param port: its TCP port
    :param path: its Unix socket, instead of host and port. On Linux ``"\\0name"`` is one in the
        abstract namespace, which has no file (unix(7)); logs show ``@name``
    :param sock: a socket that is connected already, and belongs to the connection from then on;
        or an async function that returns one, for example through a proxy, and is called for
        each attempt, within ``connect_timeout``. Host and port beside it name the server, in
        texts and in the file of known servers
    :param local_address: ``(host, port)`` of this machine to connect from; port 0 is any
    :param security: a shared key, or an identity, seals the connection; it never
        falls back to plain
    :param context: the server's name for its service, the same at both ends
        (sealed only)
    :param framing: a foreign frame layout, messages only: any
        :class:`~sealframe.framing.FrameLayout`. What it cannot carry, ``send`` refuses. A preamble
        that it has for the client is sent at once
    :param pipelining: with ``framing`` alone: False sends one message at a time, for a peer that
        takes no further request before it has answered. Each message waits, in the order of
        ``send``, until a message has come since the one before was written; any message counts as
        the answer. ``send`` returns as ever, once the message is accepted. There is no time-out:
        end the connection if an answer does not come, or set ``idle_timeout``. Messages that still
        wait when the server has ended are dropped: :meth:`Connection.close` returns False, and
        ``stats.unsent`` counts them
    :param extended: on a plain connection, speak control frames (``ping``, requests,
        streams, reasons for closing); the server must be sealframe too. Sealed connections
        always do.
    :param session: the connection outlives its links: when one is lost, the library connects
        again, and everything goes on where it was, each message once and in order
        (docs/PROTOCOL.md, section 12). The server must keep sessions
        (:func:`sealframe.serve`); on a plain connection it implies ``extended``. The first link
        is tried once, as without. A session that cannot go on ends with
        :exc:`~sealframe.SessionLostError`, which says how many messages have arrived. Until then
        :attr:`Connection.closed` is False, and neither ``async for`` nor ``on_disconnect`` learns
        of a link that was lost: :attr:`Connection.connected` and ``on_link`` do.
        With ``async for`` each round is a session of its own. An :class:`~sealframe.Outbox` keeps
        what is sent in a file until the server has it, and the session with it: the next
        connection from the same file goes on with it, after the program was killed too. Then
        ``send`` and ``send_many`` return once that is stored, and ``send_nowait`` raises
        :exc:`~sealframe.NotSupportedError`. Where the first attempt fails, and another one may
        not, the connection is there all the same, without a link
        (:attr:`Connection.connected` is False): it stores what is sent, and goes on connecting.
        An error that no retry cures, as a wrong key, ends it then: every call raises it, and all
        that was accepted stays in the file
    :param codec: what makes messages of objects and objects of messages, see
        :mod:`sealframe.codecs`; None leaves them ``bytes``
    :param on_message: ``def on_message(conn, message)`` gets the messages in place of ``recv``,
        as :func:`sealframe.serve` describes it; it may be called before the connection is
        returned. Once the server has closed and the last call is done, the connection is
        closed, so ``await conn.wait_closed()`` waits for that. What it raises is logged, and
        ends the connection: later calls raise :exc:`~sealframe.ConnectionClosedError`, with
        that as its cause. :meth:`Connection.close` waits for the task of an ``async def``, up
        to ``close_timeout``.
    :param on_request: ``def on_request(conn, payload)``, or an ``async def``, returns the answer
        to a request of the server, as :func:`sealframe.serve` describes it
    :param on_stream: ``async def on_stream(stream)`` serves a stream that the server opens,
        likewise
    :param files: takes, or decides about, the files that the server sends, likewise
    :param options: limits, time-outs and back-off
    :param is_fatal: for ``async for``, and with an outbox until there is a first link: says of an
        error whether to give up and raise it; the default is :func:`is_fatal` until the first
        success, and after it only :exc:`~sealframe.UnauthorizedError` ends the loop
    :param on_connect: called with each connection before the program gets it. A
        function, or a coroutine function, which runs in a task beside the program.
        What a hook raises is logged, and ends nothing.
    :param on_disconnect: called with the connection and a :class:`Disconnect` once its
        socket is gone (of a session: once that is over), after ``on_connect``.
        :meth:`Connection.close` waits for both.
    :param on_link: called with the connection and a :class:`LinkChange` when a session
        has lost its link, or begins without one, and when it goes on over the next one, before
        anything that came over that. Hooks of one connection run one after the other: where a loss
        and a return both came while another hook ran, it is told neither. It is not called at the
        session's end.
    :raises ConfigurationError: the arguments cannot work together
    :raises ConnectError: when awaited: refused, no such host, or
        :exc:`~sealframe.ConnectTimeoutError`; with an outbox only where ``is_fatal`` says so
    :raises HandshakeError: when awaited: the server refused or is of another kind;
        :exc:`~sealframe.UnauthorizedError` if it does not let this identity in,
        :exc:`~sealframe.UnknownServerError` or
        :exc:`~sealframe.ServerKeyChangedError` if its own is not the known one
    :raises SessionLostError: when awaited: the server says that the session of the outbox is over.
        It says so each time until :meth:`Outbox.begin_anew`
    :raises OutboxError: when awaited: the file of the outbox cannot be used; the class says why
    :raises KeyFileError: when awaited: the file of known servers cannot be used
    :raises KeyFormatError: when awaited: a line of that file is wrong
    """
    options = _DEFAULT_OPTIONS if options is None else options
    if not isinstance(options, ClientOptions):
        raise ConfigurationError("options for a client are ClientOptions(...)")
    check_codec(codec)
    peer_handlers = PeerHandlers(
        on_message=on_message,
        on_request=on_request,
        on_stream=on_stream,
        files=Transfers(files),
        codec=payload_codec(codec),
    )
    config = ConnectionConfig(
        client=True,
        security=security,
        context=context,
        framing=framing,
        pipelining=pipelining,
        extended=extended or (bool(session) and security is None and framing is None),
        options=options,
        takes_streams=peer_handlers.takes_streams,
        takes_requests=peer_handlers.takes_requests,
    )
    if not isinstance(session, bool | Outbox):
        raise ConfigurationError(f"session is {session!r}; use True, False or Outbox(...)")
    hooks = Hooks(on_connect, on_disconnect, on_link, timeout=options.close_timeout)
    endpoints = Endpoint.all_of(host, port, path, sock, local_address)
    if session and framing is not None:
        raise ConfigurationError("a foreign framing carries messages only: no session")
    if session and isinstance(sock, socket.socket):
        raise ConfigurationError(
            "a socket serves one connection: for a session, give an async function as sock, "
            "which returns a new one each time"
        )
    return Connecting(endpoints, config, options, is_fatal, hooks, peer_handlers, session=session)


def is_fatal(error: Exception) -> bool:
    """Return whether trying again cannot help: wrong key, wrong kind of server.

    A server that is not there, is busy, or vanished meanwhile may come back. One
    that merely closes, as a server of another kind may, looks the same.
    """
    if isinstance(error, UnknownServerError | ServerKeyChangedError | SessionLostError):
        return True
    if isinstance(error, HandshakeError):
        return error.code is not None and error.code not in RETRY_CODES
    return not isinstance(error, ConnectError | ConnectionClosed)


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
        # Verified once, a key stays the known one, even if its line is taken out of the file.
        self._server_keys: dict[str, PublicKey] = {}

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
                    # The first success has shown that key and server are right; a later
                    # refusal, unless it came in a record, may be forged.
                    decide = _is_proven
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
        decide = self._is_fatal or _is_hopeless
        if not isinstance(self._session, Outbox) or all(map(decide, failures)):
            return None
        feed = await OutboxFeed.open(self._session)
        id = next_id()
        links = Links(
            Targets(self._targets.endpoints, self._targets.first),
            self._options,
            self._next_machine,
            feed,
        )
        attempt = Attempt(self._make_connection, self._hooks, links)
        machine = self._machine(self._targets.first, None, id, b"")
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
                logger.debug("connected to %s as %s", endpoint, conn.id)
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
        verifier = await self._look_up(endpoint)
        id = next_id()
        links = None
        if self._session:
            targets = Targets(self._targets.endpoints, endpoint)
            links = Links(targets, self._options, self._next_machine, feed)
        hello = b"" if links is None else links.first_hello(self._config.window)
        verify = None if verifier is None else verifier.verify_server_key
        machine = self._machine(endpoint, verify, id, hello)
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
                await asyncio.to_thread(verifier.record, conn.peer.key)
                self._server_keys[endpoint.name] = conn.peer.key
            await attempt.begin_feed()
        except BaseException:
            attempt.give_up()
            raise
        attempt.hand_over()
        return conn

    async def _look_up(self, endpoint: Endpoint) -> ServerVerifier | None:
        """Return what verifies the server's key, having read what is known of it."""
        verifier = self._config.server_verifier(endpoint.name)
        if verifier is not None:
            before = self._server_keys.get(endpoint.name)
            await asyncio.to_thread(verifier.look_up, before)
        return verifier

    def _machine(
        self, endpoint: Endpoint, verify: VerifyServerKey | None, id: str, session: bytes
    ) -> ProtocolMachine:
        return self._config.protocol(
            address=endpoint.name,
            verify_server_key=verify,
            session=session,
            trace=trace_log(id),
        )

    async def _next_machine(
        self, endpoint: Endpoint, session: bytes, server_key: bytes
    ) -> tuple[ProtocolMachine, ServerVerifier | None]:
        verifier = await self._look_up(endpoint)
        verify = None if verifier is None else verify_same_key(verifier, server_key, endpoint.name)
        return self._machine(endpoint, verify, next_id(), session), verifier


def _is_hopeless(error: Exception) -> bool:
    """Return whether the session of an outbox does not begin without a link after this: the server
    was there, and has ended the link for a reason that stays."""
    if is_fatal(error):
        return True
    code = error.code if isinstance(error, ConnectionClosed) else None
    return code is not None and code not in RETRY_CODES


def _is_proven(error: Exception) -> bool:
    return isinstance(error, UnauthorizedError | SessionLostError)
