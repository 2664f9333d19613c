"""A connection as programs see it.

Longer than other modules: two thirds of it are the documentation of the public methods.
"""

from __future__ import annotations

import os
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from functools import partial
from operator import attrgetter, index
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, cast

from ..buffers import BytesLike, as_bytes
from ..errors import ConnectionClosed, NotSupportedError
from ..trust.peer import Peer
from ..wire import MAX_METADATA, CloseCode, StreamKind
from ..wire.control import Close
from .addresses import Address, show
from .channels import Channels
from .connection_protocol import ConnectionProtocol
from .session_info import SessionInfo
from .stats import Stats
from .stream import Stream
from .time_limit import TimeLimit, check_timeout
from .transfers import OnProgress, Receipt

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    Sent = TypeVar("Sent", contravariant=True, default=BytesLike)
    Received = TypeVar("Received", covariant=True, default=bytes)
else:
    from typing import TypeVar

    Sent = TypeVar("Sent")
    Received = TypeVar("Received")


_NOT_COUNTED: Final = (
    "only a server that acknowledges what is taken counts messages: "
    "serve(sessions=Sessions(position=...)) or Sessions(acknowledge='taken')"
)


class MessageQueue(typing.Protocol):
    """Where the messages go that the program sends."""

    def send(self, owner: Any, message: Any) -> Coroutine[Any, Any, None]: ...
    def send_nowait(self, owner: Any, message: Any) -> None: ...
    def offer(self, messages: list[Any]) -> bool: ...
    async def send_many_slow_path(self, owner: Any, messages: list[bytes]) -> None: ...


class Memberships(typing.Protocol):
    """The groups that a server's connections may join."""

    def join(self, conn: AnyConnection, name: str) -> None: ...
    def leave(self, conn: AnyConnection, name: str) -> None: ...


class Hooks(typing.Protocol):
    """What the program does when its connections come and go."""

    async def settle(self, conn: AnyConnection, deadline: float) -> None: ...


class Connection(Generic[Sent, Received]):
    """One connection to a peer, made by :func:`sealframe.connect` and :func:`sealframe.serve`.

    It belongs to the event loop that made it: its methods raise
    :exc:`~sealframe.WrongLoopError` anywhere else. Any number of tasks may send
    and receive on it at once. Cancelling an await loses nothing.

    ``async for message in conn`` yields ``bytes`` until the peer closes. It ends
    quietly on a clean close and raises :exc:`~sealframe.ConnectionClosedError`
    on any other end, after all messages that came before it.

    With a session (``connect(session=True)`` to ``serve(sessions=...)``) it goes over any number
    of *links*, one after the other, and is one connection throughout: with its :attr:`id`,
    :attr:`state`, :attr:`groups`, counters and, on a server, its handler. While there is no link,
    what waits goes on waiting, and what is sent waits for the next one (docs/PROTOCOL.md,
    section 12).

    Where ``codec=`` was given, objects stand wherever bytes do here, and type checkers
    know which: ``Connection[Sent, Received]``. ``Connection`` alone is one of bytes.
    """

    __slots__ = (
        "__weakref__",
        "_groups",
        "_hooks",
        "_joined",
        "_protocol",
        "_receive_queue",
        "_receiver",
        "_send_queue",
        "_sender",
        "_state",
    )

    def __init__(
        self,
        protocol: ConnectionProtocol,
        *,
        groups: Memberships | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        self._protocol = protocol
        # Four look-ups less for each message.
        self._receiver = protocol.receiver
        self._receive_queue = protocol.receiver.queue
        self._sender = protocol.sender
        self._send_queue: MessageQueue = protocol.sender.queue
        protocol.since = protocol.loop.time()
        # Idle connections are many: what few of them use is made at its first use.
        self._groups = groups
        self._hooks = hooks
        self._joined: set[str] | frozenset[str] | None = None
        self._state: SimpleNamespace | None = None

    def __repr__(self) -> str:
        closer = self._protocol.closer
        state = "closing" if closer.closing else "open"
        if not self.connected:
            state = "closed" if closer.closed else "detached"
        return f"<Connection {self.id} {state} {show(self._protocol.remote_address)}>"

    @property
    def id(self) -> str:
        """A short string. On a server it is the key in ``Server.clients``, unique and
        never reused; an extended or sealed client has the id that the server gave it,
        any other one of its own. A session keeps it."""
        return self._protocol.id

    @property
    def remote_address(self) -> Address:
        """``(host, port)`` of the peer, a Unix socket's path, None if it has none. With
        ``serve(proxy_protocol=...)`` it is that of the client behind the balancer. Of a session
        this and :attr:`local_address` are those of the present link, or of the last one."""
        return self._protocol.remote_address

    @property
    def local_address(self) -> Address:
        """``(host, port)`` of this end, a Unix socket's path, None if it has none."""
        return self._protocol.local_address

    @property
    def sealed(self) -> bool:
        """Whether what goes over this connection is encrypted and authenticated."""
        return self._protocol.machine.sealed

    @property
    def post_quantum(self) -> bool:
        """Whether its keys come of ML-KEM-768 beside X25519, so that it stays closed to who
        records it now and has a quantum computer later. Of a session that of the present link,
        or of the last one."""
        return self._protocol.machine.post_quantum

    @property
    def channel_binding(self) -> bytes:
        """The handshake hash of a sealed connection: 32 bytes, the same at both
        ends and different for each connection (Noise revision 34, section 11.2), and
        for each link of a session. Empty on a plain connection."""
        return self._protocol.machine.channel_binding

    @property
    def peer(self) -> Peer | None:
        """Who is at the other end, as it has proved: a name and a public key. None
        on a plain connection and where a shared key is used."""
        # What ConnectionConfig gave the machine as `identify` returns nothing else.
        return cast("Peer | None", self._protocol.machine.peer)

    @property
    def stats(self) -> Stats:
        """The connection's counters; they go on counting."""
        return self._protocol.stats

    @property
    def max_send_size(self) -> int:
        """The largest message that can be sent here, in bytes. With an outbox, before its first
        link, it is what this end accepts: what the server takes is not known yet."""
        return self._protocol.machine.send_limit

    @property
    def going_away(self) -> bool:
        """Whether the peer announced that it will close soon (GOAWAY), or has closed. What
        only sends can stop by it: a client that has closed may read on, or be gone."""
        return self._protocol.closer.peer_leaving

    @property
    def closed(self) -> bool:
        """Whether the socket is gone, and of a session none comes in its place. Messages may
        still be there to be received."""
        return self._protocol.closer.closed

    @property
    def connected(self) -> bool:
        """Whether there is a link to the peer: False once :attr:`closed`, and as long as a
        session has none, from when it learns of the loss; with an outbox also before its first
        one. What is sent meanwhile waits."""
        return not (self._protocol.closer.closed or self._protocol.detached)

    @property
    def close_code(self) -> int | None:
        """The code of the peer's CLOSE (:class:`sealframe.CloseCode`), None
        while there is none. Where only packets flow there never is."""
        close = self._protocol.closer.peer_close
        return None if close is None else close.code

    @property
    def close_reason(self) -> str:
        """The text of the peer's CLOSE."""
        close = self._protocol.closer.peer_close
        return "" if close is None else close.reason

    # What the program knows about it

    @property
    def state(self) -> SimpleNamespace:
        """A place for the program's own data about this connection, empty at first:
        ``conn.state.user = ...``."""
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    @property
    def groups(self) -> frozenset[str]:
        """The names of the groups that it is in; once it has ended, of those that it
        was in until then. Always empty on a client."""
        return frozenset(self._joined or ())

    def join(self, name: str) -> None:
        """Become a member of a group, which exists as long as it has members.

        What is sent to ``server.group(name)`` goes to this connection too, until it
        leaves or ends. To join again is harmless.

        :param name: any text but ``""``
        :raises NotSupportedError: this is a client's end; groups belong to a server's
        :raises ConnectionClosed: nothing more can be sent on it
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty
        :raises WrongLoopError: called from another thread or event loop
        """
        groups = self._checked_groups(name)
        if self._sender.error is not None:
            raise self._sender.error.fresh()
        if self._joined is None:
            self._joined = set()
        if isinstance(self._joined, set) and name not in self._joined:
            self._joined.add(name)
            groups.join(self, name)

    def leave(self, name: str) -> None:
        """Be a member of a group no longer; harmless if it was none, and once it has ended.

        :param name: any text but ``""``
        :raises NotSupportedError: this is a client's end; groups belong to a server's
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty
        :raises WrongLoopError: called from another thread or event loop
        """
        groups = self._checked_groups(name)
        if isinstance(self._joined, set) and name in self._joined:
            self._joined.remove(name)
            groups.leave(self, name)

    def _checked_groups(self, name: object) -> Memberships:
        self._protocol.check_loop()
        if not isinstance(name, str):
            raise TypeError(f"the name of a group is text, not {type(name).__name__}")
        if not name:
            raise ValueError("the name of a group is empty: use any other text")
        if self._groups is None:
            raise NotSupportedError(
                "groups belong to a server's connections, and this is a client's end: "
                "have the server's handler call join() on its own"
            )
        return self._groups

    # Sending

    def send(self, message: Sent) -> Coroutine[Any, Any, None]:
        """Send one message.

        Returns once the message is accepted: at once, unless messages worth
        ``outbox_limit`` are waiting. Then it waits its turn, first come first
        served; if it is cancelled there, the message was not accepted. With an
        :class:`~sealframe.Outbox` it returns once the message is stored; one that is cancelled may
        have stored it.

        :param message: any bytes-like object; what is not ``bytes`` is copied
        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises MessageTooLargeError: it is over the limit; nothing was sent
        :raises MessageTooSmallError: it is below the minimum of ``framing=``; nothing was sent
        :raises MessageFormatError: that layout cannot carry it, for what is in it; nothing was sent
        :raises ConnectionClosed: nothing more can be sent
        :raises OutboxError: there is an outbox, and it cannot be stored
        :raises WrongLoopError: called from another thread or event loop
        """
        return self._send_queue.send(self._sender, message)

    def send_nowait(self, message: Sent) -> None:
        """Send one message, at once or not at all.

        It never waits, so it can be used in plain functions such as ``on_message``. It is
        written as with :meth:`send`: the first of a turn of the event loop at once, those
        that follow it together.

        :param message: any bytes-like object; what is not ``bytes`` is copied
        :raises NotSupportedError: there is an outbox: this would have to wait for the disk
        :raises SendQueueFullError: messages worth ``outbox_limit`` wait to be sent, or others
            wait in :meth:`send` for room; this message was not accepted
        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises MessageTooLargeError: it is over the limit; nothing was sent
        :raises MessageTooSmallError: it is below the minimum of ``framing=``; nothing was sent
        :raises MessageFormatError: that layout cannot carry it, for what is in it; nothing was sent
        :raises ConnectionClosed: nothing more can be sent
        :raises WrongLoopError: called from another thread or event loop
        """
        self._send_queue.send_nowait(self._sender, message)

    async def send_many(self, messages: Iterable[Sent]) -> None:
        """Send messages in order, all or none.

        Waits as :meth:`send` does, once for all of them, so that together they
        may pass ``outbox_limit``. Raises what :meth:`send` raises, and then
        none was accepted.

        :param messages: bytes-like objects
        """
        if isinstance(messages, bytes | bytearray | memoryview | str):
            raise TypeError("send_many takes an iterable of messages; send takes one message")
        batch: list[Any] = list(messages)
        self._protocol.check_loop()
        if self._send_queue.offer(batch):
            self._sender.flush_soon()
        else:
            data = [m if type(m) is bytes else as_bytes(m) for m in batch]
            await self._send_queue.send_many_slow_path(self._sender, data)

    async def ping(self, *, timeout: float | None = None) -> float:
        """Send PING, wait for PONG and return the round trip in seconds.

        Where the link of a session is lost meanwhile, or there is none, it asks over the next
        one, and returns the round trip of that.

        :param timeout: seconds until PONG is here. None leaves a dead connection to the keepalive,
            which ends it. A session without a link has no keepalive: with None this waits until
            there is a link, or until the session is over
        :raises ValueError: ``timeout`` is not a number above 0
        :raises TimeoutError: PONG did not come in time
        :raises NotSupportedError: this connection carries packets only
        :raises ConnectionClosed: it closed before PONG came
        :raises WrongLoopError: called from another thread or event loop
        """
        self._protocol.check_loop()
        check_timeout(timeout)
        async with TimeLimit(timeout):
            return await self._protocol.ping()

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip of PING and PONG, of the keepalive's probes
        too; None before there was one on the present link, and always where only packets
        flow."""
        pings = self._protocol.pings
        return None if pings is None else pings.latency

    # Requests and streams

    async def request(self, payload: Sent, *, timeout: float | None = None) -> Received:
        """Ask the other end; return what its ``on_request`` answers.

        It needs an extended or sealed connection, and ``on_request=`` at the other end.
        Any number may be under way at once, both ways and beside messages; the answers come
        in any order. A request may overtake messages that wait to be sent. Where the other
        end has as many running as its ``max_requests`` allows, this call waits its turn.

        If this call is cancelled or times out, the other end is told to stop; it may have
        done what was asked all the same, as it may when the connection is lost.

        :param payload: any bytes-like object, at most :attr:`max_send_size` bytes; with a
            codec, what that encodes
        :param timeout: seconds until the whole answer is here; None waits for ever
        :return: the answer, at most this end's ``max_message_size`` bytes; with a codec,
            decoded
        :raises TypeError: the payload is not bytes-like
        :raises ValueError: ``timeout`` is not a number above 0
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises DecodeError: the codec cannot decode the answer; the connection goes on
        :raises MessageTooLargeError: it is over the limit; nothing was sent
        :raises NotSupportedError: this connection carries packets only, or the other end
            has no ``on_request``
        :raises RequestTimeoutError: no answer in time
        :raises RemoteError: ``on_request`` at the other end raised an exception
        :raises RequestCancelledError: the other end gave it up, and the connection goes on
        :raises ConnectionClosed: the connection ended before the answer came, or is about to:
            the other end is shutting down
        :raises WrongLoopError: called from another thread or event loop
        """
        requests = self._channels().requests
        codec = self._protocol.handlers.codec
        answer = await requests.request(codec.encode(payload), timeout)
        reply: Received = codec.decode(answer, self)
        return reply

    async def open_stream(self, metadata: BytesLike = b"") -> Stream:
        """Open a stream: bytes each way, beside messages, with a flow control of its own.

        It needs an extended or sealed connection. The other end's ``on_stream`` gets the
        stream, at once if there is room. Where the other end has as many open as its
        ``max_streams`` allows, this call waits until one is over. A stream is open until
        both directions have ended, so use ``async with await conn.open_stream() as stream:``.

        :param metadata: what the stream is for, at most 4,096 bytes; ``on_stream`` reads it
            as ``stream.metadata``
        :return: the stream; the other end may still refuse it, which reading and writing
            then raise as :exc:`~sealframe.StreamResetError`, or, where it is shutting down,
            as :exc:`~sealframe.ConnectionClosed`
        :raises TypeError: the metadata is not bytes-like
        :raises ValueError: it is too long
        :raises NotSupportedError: this connection carries packets only, or the other end
            has no ``on_stream``
        :raises ConnectionClosed: nothing more can be sent
        :raises WrongLoopError: called from another thread or event loop
        """
        data = metadata if type(metadata) is bytes else as_bytes(metadata)
        if len(data) > MAX_METADATA:
            raise ValueError(f"{len(data)} bytes of metadata are over {MAX_METADATA}")
        return await self._channels().streams.open(StreamKind.APPLICATION, data)

    async def send_file(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        below: str | os.PathLike[str] | None = None,
        progress: OnProgress | None = None,
    ) -> Receipt:
        """Send a file, or a directory with all that is in it.

        Returns when the other end has it whole, verified and on its disk. Messages,
        requests and other files go on meanwhile. What broke off (a lost connection, a
        cancelled call, a killed program) is resumed by calling it again, as long as the file
        was not written to since.

        Of a directory a few files go at a time, empty directories too, each under the
        directory's name. Symbolic links in it are not followed; what is skipped stands in
        the receipt. If some of its files do not go over, the others are sent all the same.

        :param path: of a regular file or a directory; it may itself be a symbolic link
        :param name: what it is called at the other end, a relative path with ``/`` between
            the parts; the file's own name where nothing is said
        :param below: a directory that ``path`` is relative to, as the names of
            :func:`sealframe.files.walk`: then it is a file, and no symbolic link below that
            directory is followed
        :param progress: called with a :class:`sealframe.files.Progress` at most ten times a
            second, and at the end. What it raises ends the transfer.
        :return: what has arrived
        :raises FileRefusedError: the other end does not take it; ``code`` says why
        :raises FileChangedError: the file was written to meanwhile
        :raises FileUnreadableError: it cannot be read, or is no file or directory
        :raises DirectoryTransferError: this or the like happened to some of a directory
        :raises FileTransferError: the other end stopped the transfer
        :raises NotSupportedError: this connection carries packets only, or the other end
            has no ``files``
        :raises ConnectionClosed: the connection ended before all was there
        :raises WrongLoopError: called from another thread or event loop
        """
        streams = self._channels().streams
        files = self._protocol.handlers.files
        assert files is not None, "connect() and serve() always give it"
        open_stream = partial(streams.open, StreamKind.FILE)
        return await files.send(open_stream, path, name, below, progress)

    def _channels(self) -> Channels:
        self._protocol.check_loop()
        if self._sender.error is not None:
            raise self._sender.error.fresh()
        channels = self._protocol.channels
        return self._protocol.open_channels() if channels is None else channels

    # Receiving

    def recv(self) -> Coroutine[Any, Any, Received]:
        """Return the next message, waiting for one if there is none.

        Messages that came before the connection ended stay readable after it, unless this end
        put the peer out.

        :raises DecodeError: the codec cannot decode this message; the next call goes on
            with the next one
        :raises ConnectionClosedOK: the peer closed properly and all was read
        :raises ConnectionClosedError: it ended in another way; the class says how
        :raises WrongLoopError: called from another thread or event loop
        """
        return self._receive_queue.recv(self._receiver)  # type: ignore[return-value]  # without a codec: bytes

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        """Return all messages that are there, waiting for one if there is none.

        Before a message that the codec cannot decode it stops, so that the next call
        raises :exc:`~sealframe.DecodeError`, and nothing else is lost.

        :param limit: return at most so many, from 1 up; None means all
        :raises ValueError: the limit is less than 1
        :raises DecodeError: the first message cannot be decoded
        :raises ConnectionClosed: as :meth:`recv`
        :raises WrongLoopError: called from another thread or event loop
        """
        check_limit(limit)
        self._protocol.check_loop()
        if len(self._receive_queue):
            messages = self._receive_queue.pop_many(limit)
        else:
            first = await self._receive_queue.recv_slow_path(self._receiver, False)
            messages = self._receive_queue.pop_many(None if limit is None else limit - 1)
            messages.insert(0, first)
        self._receiver.after_pop()
        return messages  # type: ignore[return-value]  # without a codec: bytes

    def __aiter__(self) -> AsyncIterator[Received]:
        self._protocol.check_loop()
        return self._iterate()  # type: ignore[return-value]  # without a codec: bytes

    def _iterate(self) -> AsyncIterator[bytes]:
        return self._receive_queue.iterate(self._receiver)

    @property
    def position(self) -> int:
        """The number of the message being handled: the one that ``recv``, ``async for`` or
        ``on_message`` has handed out last, of ``recv_many`` the last one of the list. The first
        message of a session is number 1, and what a session that goes on after the server was
        started again had stored counts. Before the first one it is how many were stored; it is the
        same until the program asks for the next one.

        Only on a server with ``Sessions(position=...)``, ``Sessions(store=...)`` or
        ``Sessions(acknowledge="taken")``, for a client with a session.

        :raises NotSupportedError: on any other connection
        """
        raise NotSupportedError(_NOT_COUNTED)

    @property
    def session(self) -> SessionInfo:
        """Which session this is: under its name the program keeps :attr:`position`, of which
        ``Sessions(position=...)`` asks with the same.

        :raises NotSupportedError: as :attr:`position`
        """
        raise NotSupportedError(_NOT_COUNTED)

    # Closing

    async def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> bool:
        """Close the connection; return once it is closed, ``close_timeout`` at most.

        What was accepted is sent first. What still comes stays readable up to
        ``inbox_limit``; the peer is held back as long as another task, or ``on_message``,
        takes messages. Once none was taken for a tenth of ``close_timeout``, what finds no
        room is discarded, and receiving ends with :exc:`~sealframe.ConnectionClosedError`.
        The close goes on even if this call is cancelled;
        calling it again only waits. A hook that is a coroutine is waited for too,
        as far as ``close_timeout`` goes, and then cancelled.

        A session ends by this for good. Where it has no link, a client goes on connecting and a
        server waits for its client, ``close_timeout`` at most; a code other than ``NORMAL`` and
        ``GOING_AWAY`` ends it at once. With an :class:`~sealframe.Outbox` it ends once all that is
        stored is acknowledged; where ``close_timeout`` comes first, the link is dropped, and the
        session goes on with the next start from the file.

        :param code: :class:`sealframe.CloseCode`, told to the peer unless
            only packets flow; any but 0 also discards what the peer still sends, and any but
            that and ``GOING_AWAY`` puts the peer out: what came before and was not taken is
            discarded too, of messages, streams and files, and no request begins
        :param reason: text for the peer, cut to 255 bytes of UTF-8
        :return: whether the close was clean: all went to the network (of a session: the peer
            has acknowledged it), the peer closed too, and nothing that it sent was discarded
            for want of room
        :raises ValueError: the code is none of them
        :raises TypeError: the reason is not text
        :raises WrongLoopError: called from another thread or event loop
        """
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        if code not in CloseCode.__members__.values():
            raise ValueError(f"code is {code!r}; use a CloseCode, such as CloseCode.NORMAL, 0")
        self._protocol.check_loop()
        deadline = self._protocol.loop.time() + self._protocol.options.close_timeout
        self._protocol.closer.close(Close(code, reason))
        await self._protocol.closer.wait_closed()
        if self._hooks is not None:
            await self._hooks.settle(self, deadline)
        return self._protocol.closer.clean

    async def wait_closed(self) -> None:
        """Wait until the connection is closed and its socket gone; of a session, until it is
        over. For another link of it there is :meth:`wait_connected`.

        It does not close anything itself, and the peer's close ends one direction only:
        as long as this end does not close, this waits. To learn that the peer has closed,
        receive.

        A server's handler that waits for this has nothing more to send: the connection is
        closed once the client has closed its end, as if the handler had returned.

        :raises WrongLoopError: called from another thread or event loop
        """
        self._protocol.check_loop()
        await self._protocol.closer.wait_closed()

    async def wait_connected(self) -> None:
        """Wait until a session has a link; return at once where there is one, as there always
        is without a session. Before the first link of an outbox, requests, streams, files and
        :meth:`ping` raise :exc:`~sealframe.NotSupportedError`: wait for it first.

        It has no time-out of its own: wrap it in ``asyncio.timeout()``.

        :raises ConnectionClosed: there will be none: the connection is closed
        :raises WrongLoopError: called from another thread or event loop
        """
        self._protocol.check_loop()
        await self._protocol.wait_attached()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Close. What a group of tasks in the block raised because the connection ended leaves
        it as one :exc:`~sealframe.ConnectionClosed`."""
        await self.close()
        _, error, _ = exception
        if isinstance(error, BaseExceptionGroup):
            ended = _only_ended(error)
            if ended is not None:
                raise ended from error


OnRequest: TypeAlias = Callable[
    [Connection[Sent, Received], Received], Awaitable[Sent | None] | Sent | None
]
"""``def on_request(conn, payload)``, or an ``async def``: returns what answers the request."""
OnMessage: TypeAlias = Callable[[Connection[Sent, Received], Received], object]
"""``def on_message(conn, message)``, or an ``async def``."""
AnyConnection: TypeAlias = Connection[Any, Any]
"""One of bytes or of objects, whatever the codec."""

# What the server and the client need of a connection beside its public interface.

protocol_of: Callable[[AnyConnection], ConnectionProtocol] = attrgetter("_protocol")
"""Return the transport protocol of a connection."""


def send_through(conn: AnyConnection, queue: MessageQueue) -> None:
    """Have what the program sends go into another queue than that of the connection."""
    conn._send_queue = queue


async def request_bytes(conn: AnyConnection, data: bytes, timeout: float | None) -> bytes:
    """Make a request of bytes that a codec has made, and return those of the answer."""
    return await conn._channels().requests.request(data, timeout)


def end_memberships(conn: AnyConnection) -> frozenset[str]:
    """Let a connection join no group any more; return the groups that it is now to leave."""
    joined = conn._joined
    if isinstance(joined, frozenset):
        return frozenset()
    # A frozenset refuses members from now on, also where none was ever joined (None): what
    # serves the last requests of a connection outlives its handler.
    conn._joined = frozenset(joined or ())
    return conn._joined


def _only_ended(group: BaseExceptionGroup[BaseException]) -> ConnectionClosed | None:
    """Return one of the errors of a group, if all of them are of connections that ended."""
    _, others = group.split(ConnectionClosed)
    if others is not None:
        return None
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, ConnectionClosed)
    return first.fresh()


def check_limit(limit: int | None) -> None:
    """Refuse a ``limit`` of ``recv_many`` that is none."""
    if limit is not None and index(limit) < 1:
        raise ValueError(f"limit is {limit}; use None or a whole number from 1 up")
