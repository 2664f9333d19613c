"""What :func:`sealframe.connect` takes, checked."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from typing import Final, overload

from ..aio.config import ConnectionConfig
from ..aio.connection import OnMessage, OnRequest, Received, Sent
from ..aio.endpoint import Endpoint, OpenSocket
from ..aio.hooks import Hooks, OnConnect, OnDisconnect, OnLink
from ..aio.payload_codec import payload_codec
from ..aio.peer_handlers import OnStream, PeerHandlers
from ..buffers import BytesLike
from ..codecs import Codec, check_codec
from ..errors import ConfigurationError
from ..files.receiving import OnOffer
from ..files.transfers import Transfers
from ..framing import FrameLayout
from ..options import ClientOptions
from ..outbox import Outbox
from ..trust.identity import ClientIdentity
from ..trust.keys import SharedKey
from .connecting import Connecting

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
        texts and in the file of known servers; a :class:`~sealframe.srv.Service` has a name
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
