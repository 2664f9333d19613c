"""What :func:`sealframe.serve` takes, checked before anything is opened."""

from __future__ import annotations

import os
import socket
from collections.abc import Generator, Sequence
from typing import Any, Generic, overload

from ..aio.callback_connection import awaiting_each
from ..aio.config import ConnectionConfig
from ..aio.connection import OnMessage, OnRequest, Received, Sent
from ..aio.endpoint import Binding
from ..aio.hooks import Hooks, OnConnect, OnDisconnect, OnLink
from ..aio.payload_codec import payload_codec
from ..aio.peer_handlers import OnStream, PeerHandlers
from ..buffers import BytesLike
from ..codecs import Codec, check_codec
from ..errors import ConfigurationError
from ..files.receiving import OnOffer
from ..files.transfers import Transfers
from ..framing import FrameLayout
from ..options import ServerOptions, Sessions
from ..trust.identity import ServerIdentity
from ..trust.keys import SharedKey
from .balancers import TrustedPeers
from .cluster_member import ClusterMember
from .handlers import Handler
from .server import Server, listen_at


# Apart: else pyright takes what on_request returns for all that can be sent. None as a codec is
# bytes, so the overlap is harmless.
@overload
def serve(  # type: ignore[overload-overlap]
    handler: Handler[BytesLike, bytes] | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    reuse_port: bool = False,
    proxy_protocol: bool | str | Sequence[str] = False,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    sessions: Sessions | None = None,
    framing: FrameLayout | None = None,
    codec: None = None,
    on_message: OnMessage[BytesLike, bytes] | None = None,
    on_request: OnRequest[BytesLike, bytes] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ServerOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
    cluster: ClusterMember | None = None,
) -> Serving[BytesLike, bytes]: ...
@overload
def serve(
    handler: Handler[Sent, Received] | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    reuse_port: bool = False,
    proxy_protocol: bool | str | Sequence[str] = False,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    sessions: Sessions | None = None,
    framing: FrameLayout | None = None,
    codec: Codec[Sent, Received] | None,
    on_message: OnMessage[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ServerOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
    cluster: ClusterMember | None = None,
) -> Serving[Sent, Received]: ...
def serve(
    handler: Handler[Sent, Received] | None = None,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    path: str | os.PathLike[str] | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    reuse_port: bool = False,
    proxy_protocol: bool | str | Sequence[str] = False,
    security: SharedKey | ServerIdentity | None = None,
    context: bytes | str = b"",
    sessions: Sessions | None = None,
    framing: FrameLayout | None = None,
    codec: Codec[Sent, Received] | None = None,
    on_message: OnMessage[Sent, Received] | None = None,
    on_request: OnRequest[Sent, Received] | None = None,
    on_stream: OnStream | None = None,
    files: OnOffer | None = None,
    options: ServerOptions | None = None,
    on_connect: OnConnect | None = None,
    on_disconnect: OnDisconnect | None = None,
    on_link: OnLink | None = None,
    cluster: ClusterMember | None = None,
) -> Serving[Sent, Received]:
    """Listen, and run ``handler`` in a task of its own for each client.

    Use ``async with serve(...) as server``, which closes it at the end, or
    ``server = await serve(...)``.

    What a client may do beside sending messages is what the arguments provide for: requests
    need ``on_request``, streams ``on_stream``, files ``files``.

    A client is listed, and its handler started, when it can receive: at once
    where packets flow, after the handshake on a sealed server. When the handler
    returns, the connection is closed; when it raises, that is logged with the
    client's id, and that client alone is closed with a reason. A handler may
    let :exc:`~sealframe.ConnectionClosed` pass: it only ends the handler. It may let
    :exc:`~sealframe.DecodeError` pass too: the client is closed with
    ``CloseCode.MALFORMED``, and that gets a line in the log, as other faults of clients do.

    :param handler: ``async def handler(conn)``, which serves one client from beginning to
        end; most of them are one ``async for message in conn:``. None where ``on_message``
        takes its place, or ``on_request``, ``on_stream`` or ``files`` does all there is to do:
        a client that sends a message is then told ``CloseCode.NO_MESSAGES``, and closed. Each
        other connection lives until its client closes it, and has no task
    :param host: address or name to listen on; ``"127.0.0.1"`` is reached from this
        machine alone, ``"0.0.0.0"`` from every IPv4 network it is on, ``"::"``
        from every IPv6 one. A list of them, ``["0.0.0.0", "::"]``, listens on each
    :param port: TCP port; 0 takes a free one, see :attr:`Server.port`
    :param path: a Unix socket to listen on, instead of host and port. On Linux ``"\\0name"``
        is one in the abstract namespace, which has no file (unix(7)); logs show ``@name``
    :param sock: a socket that is bound already, or several, instead of host and port: those of
        systemd, see :func:`sealframe.activated_sockets`, or of a process that has given up
        its privileges. They belong to the server, which closes them, and does not shut them
        down: whoever else has them can go on accepting
    :param reuse_port: let further processes listen on the same address, each of them with
        this argument (``SO_REUSEPORT``); the kernel shares the clients out
    :param proxy_protocol: the load balancers that tell the addresses of their clients by the PROXY
        protocol, version 1 or 2 (HAProxy, "The PROXY protocol"): a network or address, or several,
        ``["10.0.0.0/8", "2001:db8::7"]``, and ``"unix"`` for whoever comes over a Unix socket. True
        is this machine: ``["127.0.0.0/8", "::1", "unix"]``. ``remote_address``, logs and limits per
        address are then the client's. Whoever is not named here, or sends no such header within
        ``options.handshake_timeout``, is refused
    :param security: a shared key, or an identity with the clients that it lets in,
        seals every connection; unsealed clients are refused
    :param context: name of this service, the same at both ends (sealed only). Give
        each service that shares a key its own.
    :param sessions: keeps the sessions of clients that connect with ``session=True``: one
        connection, with its handler and id, goes on over one link after the other
        (docs/PROTOCOL.md, section 12). While it has none it stays in :attr:`Server.clients`, and
        what is sent to it, broadcasts too, waits in its outbox. It is over once its client has
        not come back for ``Sessions.keep``, or for want of room: then ``send`` and ``recv`` raise
        :exc:`~sealframe.SessionLostError`, which says how many messages have arrived.
        :meth:`Server.kick` and :meth:`Server.close` end it at once. Other clients are served as
        without, but one of a plain server that sends nothing is not served before a second has
        passed: it could still be one that comes back
    :param framing: a foreign frame layout, messages only: any
        :class:`~sealframe.framing.FrameLayout`. What it cannot carry, ``send`` refuses. A preamble
        that it has for the server is sent to each client at once
    :param codec: what makes messages of objects and objects of messages, see
        :mod:`sealframe.codecs`; None leaves them ``bytes``
    :param on_message: in place of a handler: ``def on_message(conn, message)`` is called with
        each message as it comes in, without a task, and sends by
        :meth:`Connection.send_nowait`. It holds up the event loop while it runs. While the
        connection's own send queue is full it is not called: messages wait, and the client
        gets no more credit, as it does with a handler that waits in ``send``. What it raises
        is logged, and that client alone closed, with ``CloseCode.HANDLER``, as for a handler,
        and what else came is dropped; ``KeyboardInterrupt`` and ``SystemExit`` also go on to
        the event loop. Once the client has closed and has got its last call, the connection
        is closed. An ``async def`` runs in one task for each client, which awaits it with one
        message after the other.
    :param on_request: ``def on_request(conn, payload)``, or an ``async def``, returns the answer
        to a request of a client (:meth:`Connection.request`), bytes-like, or None for an empty
        one. A plain function answers within the read that brought the request, and holds up
        the event loop meanwhile. An async one runs in a task of its own, beside the handler;
        its first step, up to where it waits, is run within the read too, unless the program
        has set a task factory that makes no eager tasks. What it raises reaches the client as
        :exc:`~sealframe.RemoteError` with the name of the type and the text, and is logged;
        a ``RemoteError`` raised on purpose keeps its own type and is not. The task is
        cancelled when the client gives the request up or is gone. With a codec, payload
        and answer are objects, None too; one whose payload cannot be decoded gets a
        ``RemoteError`` of type ``"DecodeError"``, and the program does not see it.
    :param on_stream: ``async def on_stream(stream)`` serves a stream that a client opens
        (:meth:`Connection.open_stream`), in a task of its own. When it returns, the stream
        is over; when it raises, the client's end is reset, and the error logged.
    :param files: an :class:`Inbox`, the directory that receives the files of clients
        (:meth:`Connection.send_file`), or ``async def on_offer(offer)``, which decides about
        each :class:`sealframe.files.Offer`, in a task of its own. Without it none are taken.
    :param options: limits and time-outs
    :param on_connect: called with each client's connection before its handler starts.
        A function, or a coroutine function, which runs in a task beside the handler.
        What a hook raises is logged, and ends nothing.
    :param on_disconnect: called with the connection and a :class:`Disconnect` once the
        socket of such a client is gone (of a session: once that is over), after
        ``on_connect``. The server no longer
        lists the client then; its handler may still run. One that waits for what is
        not to come is cancelled at the end, see :meth:`Server.close`.
    :param on_link: called with a client's connection and a :class:`LinkChange` when a session
        has lost its link, and when it goes on over the next one, before anything that came over
        that. Hooks of one connection run one after the other: where a loss and a return both
        came while another hook ran, it is told neither. It is not called at the session's end.
    :param cluster: a :class:`sealframe.cluster.Cluster`, which this server joins before it
        listens, and leaves when it is closed: the servers of a cluster know each other's clients,
        and send to them. Each has the same ``codec``. :attr:`Server.clients`,
        :meth:`Server.broadcast` and :meth:`Server.group` stay those of this server
    :raises ConfigurationError: the arguments cannot work together
    :raises ClusterError: when awaited: the cluster cannot be joined
    :raises ListenError: when awaited: the address is in use, forbidden or unknown
    """
    peer_handlers = PeerHandlers(
        on_message=on_message,
        on_request=on_request,
        on_stream=on_stream,
        files=Transfers(files),
        codec=payload_codec(codec),
    )
    if handler is None:
        if peer_handlers.each_message is not None:
            handler = awaiting_each(peer_handlers.each_message)
        elif not peer_handlers.calls_back:
            if framing is not None:
                raise ConfigurationError(
                    "a foreign framing carries messages only: give a handler or on_message"
                )
            if not (peer_handlers.takes_requests or peer_handlers.takes_streams):
                raise ConfigurationError(
                    "handler is None, and so nothing would be served: "
                    "give a handler, on_message, on_request, on_stream or files"
                )
            peer_handlers.refuse_messages()
    elif peer_handlers.calls_back:
        raise ConfigurationError(
            "messages go to the handler or to on_message: give one of them, not both"
        )
    elif not callable(handler):
        raise ConfigurationError("handler is an async function that takes the connection")
    options = ServerOptions() if options is None else options
    if not isinstance(options, ServerOptions):
        raise ConfigurationError("options for a server are ServerOptions(...)")
    check_codec(codec)
    config = ConnectionConfig(
        client=False,
        security=security,
        context=context,
        sessions=sessions,
        framing=framing,
        options=options,
        takes_streams=peer_handlers.takes_streams,
        takes_requests=peer_handlers.takes_requests,
    )
    hooks = Hooks(on_connect, on_disconnect, on_link, timeout=options.close_timeout)
    binding = Binding.of(host, port, path, sock, reuse_port)
    balancers = TrustedPeers.of(proxy_protocol)
    if not (cluster is None or isinstance(cluster, ClusterMember)):
        raise ConfigurationError("cluster is a sealframe.cluster.Cluster, or None")
    if sessions is not None and sessions.store is not None and cluster is None:
        raise ConfigurationError(
            "Sessions(store='cluster') keeps sessions in the log of a cluster: give cluster="
        )
    return Serving(handler, binding, balancers, config, options, hooks, peer_handlers, cluster)


class Serving(Generic[Sent, Received]):
    """What :func:`sealframe.serve` returns: await it, or use it in ``async with``."""

    def __init__(
        self,
        handler: Handler[Sent, Received] | None,
        binding: Binding,
        balancers: TrustedPeers | None,
        config: ConnectionConfig,
        options: ServerOptions,
        hooks: Hooks,
        peer_handlers: PeerHandlers,
        cluster: ClusterMember | None,
    ) -> None:
        self._handler = handler
        self._binding = binding
        self._balancers = balancers
        self._config = config
        self._options = options
        self._hooks = hooks
        self._peer_handlers = peer_handlers
        self._cluster = cluster
        self._server: Server[Sent, Received] | None = None

    async def _start(self) -> Server[Sent, Received]:
        server = Server(
            self._handler,
            self._config,
            self._options,
            self._hooks,
            self._peer_handlers,
            self._cluster,
        )
        await listen_at(server, self._binding, self._balancers)
        return server

    def __await__(self) -> Generator[Any, None, Server[Sent, Received]]:
        return self._start().__await__()

    async def __aenter__(self) -> Server[Sent, Received]:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await self._server.close()
