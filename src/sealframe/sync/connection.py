"""A connection for programs without asyncio.

Longer than other modules, as :mod:`sealframe.aio.connection` is: its methods are documented again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sized
from types import SimpleNamespace, TracebackType
from typing import Any, Generic, Self, TypeAlias, TypeVar

from ..aio.addresses import Address
from ..aio.caller import acting_for
from ..aio.connection import Connection as AsyncConnection
from ..aio.connection import Received, Sent
from ..aio.session_info import SessionInfo
from ..aio.stats import Stats
from ..aio.stream import Stream as AsyncStream
from ..aio.transfers import OnProgress, Receipt
from ..buffers import BytesLike
from ..errors import ConnectionClosedOK, DecodeError
from ..trust.peer import Peer
from ..wire import CloseCode
from .loop_thread import LoopThread
from .stream import Stream
from .workers import task_of_thread

T = TypeVar("T")


class Connection(Generic[Sent, Received]):
    """One connection to a peer, made by :func:`sealframe.sync.connect` and
    :func:`sealframe.sync.serve`: the blocking wrapper of :class:`sealframe.Connection`.

    Any number of threads may send and receive on it at once. ``with conn:`` closes it at
    the end of the block. ``for message in conn`` yields ``bytes`` until the peer closes. It
    ends quietly on a clean close and raises :exc:`~sealframe.ConnectionClosedError` on any
    other end, after all messages that came before it.

    Whatever may wait takes ``timeout=``, seconds or None for no limit, and raises
    :exc:`~sealframe.WaitTimeoutError`, a ``TimeoutError``, after it. Nothing is lost then:
    a ``recv`` left the message for the next one, a ``send`` was not accepted. The same
    holds for a ``recv`` that Ctrl-C interrupts; of an interrupted ``send`` nobody knows.

    With a session it goes over any number of links, one after the other: see
    :class:`sealframe.Connection`.

    Where ``codec=`` was given, objects stand wherever bytes do here.

    It belongs to the process that made it. Its methods raise
    :exc:`~sealframe.WrongLoopError` in a thread whose event loop runs, which they would
    stop, and in a child process after :func:`os.fork`.
    """

    def __init__(self, thread: LoopThread, conn: AsyncConnection[Sent, Received]) -> None:
        self._thread = thread
        self._conn = conn
        # Messages of interrupted calls. Only the loop's thread touches it.
        self._kept: deque[Received] = deque()
        self._state: SimpleNamespace | None = None

    def __repr__(self) -> str:
        return repr(self._conn).replace("<", "<sync.", 1)

    @property
    def id(self) -> str:
        """As :attr:`sealframe.Connection.id`: on a server the key in ``Server.clients``."""
        return self._conn.id

    @property
    def remote_address(self) -> Address:
        """``(host, port)`` of the peer, a Unix socket's path, None if it has none. With
        ``serve(proxy_protocol=...)`` it is that of the client behind the balancer."""
        return self._conn.remote_address

    @property
    def local_address(self) -> Address:
        """``(host, port)`` of this end, a Unix socket's path, None if it has none."""
        return self._conn.local_address

    @property
    def sealed(self) -> bool:
        """Whether what goes over this connection is encrypted and authenticated."""
        return self._conn.sealed

    @property
    def post_quantum(self) -> bool:
        """As :attr:`sealframe.Connection.post_quantum`: whether ML-KEM-768 made its keys too."""
        return self._conn.post_quantum

    @property
    def channel_binding(self) -> bytes:
        """As :attr:`sealframe.Connection.channel_binding`: 32 bytes where it is sealed."""
        return self._conn.channel_binding

    @property
    def peer(self) -> Peer | None:
        """Who is at the other end, as it has proved; None where keys do not tell."""
        return self._conn.peer

    @property
    def stats(self) -> Stats:
        """The connection's counters; they go on counting."""
        return self._conn.stats

    @property
    def max_send_size(self) -> int:
        """The largest message that can be sent here, in bytes."""
        return self._conn.max_send_size

    @property
    def going_away(self) -> bool:
        """Whether the peer announced that it will close soon (GOAWAY)."""
        return self._conn.going_away

    @property
    def closed(self) -> bool:
        """Whether the socket is gone, and of a session none comes in its place. Messages may
        still be there to be received."""
        return self._conn.closed

    @property
    def connected(self) -> bool:
        """Whether there is a link to the peer, as :attr:`sealframe.Connection.connected`."""
        return self._conn.connected

    @property
    def close_code(self) -> int | None:
        """The code of the peer's CLOSE (:class:`sealframe.CloseCode`), None without one."""
        return self._conn.close_code

    @property
    def close_reason(self) -> str:
        """The text of the peer's CLOSE."""
        return self._conn.close_reason

    @property
    def latency(self) -> float | None:
        """Seconds of the last round trip of PING and PONG, None before there was one."""
        return self._conn.latency

    @property
    def position(self) -> int:
        """The number of the message being handled, as :attr:`sealframe.Connection.position`.

        :raises NotSupportedError: the server does not count what is taken, or the client has no
            session
        """
        return self._conn.position

    @property
    def session(self) -> SessionInfo:
        """Which session this is, as :attr:`sealframe.Connection.session`.

        :raises NotSupportedError: as :attr:`position`
        """
        return self._conn.session

    # What the program knows about it

    @property
    def state(self) -> SimpleNamespace:
        """A place for the program's own data about this connection, empty at first:
        ``conn.state.user = ...``.

        :raises WrongLoopError: at the first use: an event loop runs in this thread
        """
        if self._state is None:
            self._state = self._thread.call(lambda: self._conn.state)
        return self._state

    @property
    def groups(self) -> frozenset[str]:
        """The names of the groups that it is in, as :attr:`sealframe.Connection.groups`.

        :raises WrongLoopError: an event loop runs in this thread
        """
        return self._thread.call(lambda: self._conn.groups)

    def join(self, name: str) -> None:
        """Become a member of a group, as :meth:`sealframe.Connection.join`.

        :param name: any text but ``""``
        :raises NotSupportedError: this is a client's end; groups belong to a server's
        :raises ConnectionClosed: nothing more can be sent on it
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty
        """
        self._thread.call(lambda: self._conn.join(name))

    def leave(self, name: str) -> None:
        """Be a member of a group no longer; harmless if it was none, and once it has ended.

        :param name: any text but ``""``
        :raises NotSupportedError: this is a client's end; groups belong to a server's
        :raises TypeError: the name is not text
        :raises ValueError: the name is empty
        """
        self._thread.call(lambda: self._conn.leave(name))

    # Sending

    def send(self, message: Sent, *, timeout: float | None = None) -> None:
        """Send one message.

        Returns once the message is accepted: at once, unless messages worth
        ``outbox_limit`` are waiting.

        :param message: any bytes-like object; with a codec, what that encodes
        :param timeout: seconds to wait for room
        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises MessageTooLargeError: it is over the limit; nothing was sent
        :raises MessageTooSmallError: it is below the minimum of ``framing=``; nothing was sent
        :raises MessageFormatError: that layout cannot carry it, for what is in it; nothing was sent
        :raises ConnectionClosed: nothing more can be sent
        :raises WaitTimeoutError: there was no room in time; the message was not accepted
        """
        self._wait(lambda: self._conn.send(message), timeout)

    def send_nowait(self, message: Sent) -> None:
        """Send one message, at once or not at all: what :meth:`send` does, without waiting for
        room.

        :param message: any bytes-like object; with a codec, what that encodes
        :raises SendQueueFullError: messages worth ``outbox_limit`` wait to be sent; this one
            was not accepted
        :raises TypeError: the message is not bytes-like
        :raises EncodeError: the codec cannot encode it; nothing was sent
        :raises MessageTooLargeError: it is over the limit; nothing was sent
        :raises MessageTooSmallError: it is below the minimum of ``framing=``; nothing was sent
        :raises MessageFormatError: that layout cannot carry it, for what is in it; nothing was sent
        :raises ConnectionClosed: nothing more can be sent
        """
        self._thread.call(lambda: self._conn.send_nowait(message))

    def send_many(self, messages: Iterable[Sent], *, timeout: float | None = None) -> None:
        """Send messages in order, all or none.

        Waits as :meth:`send` does, once for all of them. Raises what :meth:`send` raises,
        and then none was accepted.

        :param messages: bytes-like objects; with a codec, what that encodes
        :param timeout: seconds to wait for room
        """
        # What makes messages as it is asked for them runs here, and may block.
        batch = messages if isinstance(messages, Sized) else list(messages)
        self._wait(lambda: self._conn.send_many(batch), timeout)

    def ping(self, *, timeout: float | None = None) -> float:
        """Send PING, wait for PONG and return the round trip in seconds.

        :param timeout: seconds to wait for PONG
        :raises NotSupportedError: this connection carries packets only
        :raises ConnectionClosed: it closed before PONG came
        :raises WaitTimeoutError: PONG did not come in time
        """
        return self._wait(self._conn.ping, timeout)

    # Requests and streams

    def request(self, payload: Sent, *, timeout: float | None = None) -> Received:
        """Ask the other end; return what its ``on_request`` answers.

        See :meth:`sealframe.Connection.request` for the limits and for what is raised,
        :exc:`~sealframe.RequestTimeoutError` after the time-out.

        :param payload: any bytes-like object; with a codec, what that encodes
        :param timeout: seconds until the whole answer is here
        """
        return self._wait(lambda: self._conn.request(payload, timeout=timeout), None)

    def open_stream(self, metadata: BytesLike = b"", *, timeout: float | None = None) -> Stream:
        """Open a stream: bytes each way, beside messages, with a flow control of its own.

        See :meth:`sealframe.Connection.open_stream` for the limits and for what is raised.

        :param metadata: what the stream is for, at most 4,096 bytes
        :param timeout: seconds to wait where the other end has as many open as it takes
        :raises WaitTimeoutError: it took no further one in time; none was opened
        """

        def give_up(stream: AsyncStream) -> None:
            stream.reset()

        stream = self._thread.run(
            lambda: self._conn.open_stream(metadata), timeout=timeout, undo=give_up
        )
        return Stream(self._thread, stream, self)

    def send_file(
        self,
        path: str | os.PathLike[str],
        *,
        name: str | None = None,
        below: str | os.PathLike[str] | None = None,
        progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> Receipt:
        """Send a file, or a directory with all that is in it.

        See :meth:`sealframe.Connection.send_file` for what is sent and for what is raised.

        :param path: of a regular file or a directory
        :param name: what it is called at the other end; its own name where nothing is said
        :param below: a directory that ``path`` is relative to, as there
        :param progress: as there; it is called in another thread and must not block
        :param timeout: seconds for all of it; what broke off is resumed by the next call
        :raises WaitTimeoutError: it was not there in time
        """
        return self._wait(
            lambda: self._conn.send_file(path, name=name, below=below, progress=progress), timeout
        )

    # Receiving

    def recv(self, *, timeout: float | None = None) -> Received:
        """Return the next message, waiting for one if there is none.

        Messages that came before the connection ended stay readable after it.

        :param timeout: seconds to wait for a message; 0 takes one that is there
        :raises ConnectionClosedOK: the peer closed properly and all was read
        :raises ConnectionClosedError: it ended in another way; the class says how
        :raises DecodeError: the codec cannot decode this message; the next call goes on
        :raises WaitTimeoutError: none came in time
        """
        return self._thread.run(
            lambda: self._own(self._recv()), timeout=timeout, undo=self._kept.appendleft
        )

    def recv_many(
        self, limit: int | None = None, *, timeout: float | None = None
    ) -> list[Received]:
        """Return all messages that are there, waiting for one if there is none.

        :param limit: return at most so many, from 1 up; None means all
        :param timeout: seconds to wait for a message
        :raises ValueError: the limit is less than 1
        :raises ConnectionClosed: as :meth:`recv`
        :raises WaitTimeoutError: none came in time
        """
        return self._thread.run(
            lambda: self._own(self._recv_many(limit)), timeout=timeout, undo=self._keep_many
        )

    def __iter__(self) -> Iterator[Received]:
        return _Messages(self)

    # Closing

    def close(
        self,
        code: int = CloseCode.NORMAL,
        reason: str = "",
        *,
        timeout: float | None = None,
    ) -> bool:
        """Close the connection; return once it is closed, ``close_timeout`` at most.

        What was accepted is sent first. What still comes stays readable up to
        ``inbox_limit``. Calling it again only waits.

        :param code: :class:`sealframe.CloseCode`, told to the peer unless only packets
            flow; any but 0 also discards what the peer still sends
        :param reason: text for the peer, cut to 255 bytes of UTF-8
        :param timeout: seconds to wait here; the close goes on after them
        :return: whether the close was clean: all went to the network (of a session: the peer
            has acknowledged it), and the peer closed too
        :raises ValueError: the code is none of them
        :raises TypeError: the reason is not text
        :raises WaitTimeoutError: it is not closed yet
        """
        return self._end(lambda: self._conn.close(code, reason), timeout)

    def wait_closed(self, *, timeout: float | None = None) -> None:
        """Wait until the connection is closed, whoever closes it; of a session, until it is
        over.

        :param timeout: seconds to wait
        :raises WaitTimeoutError: it is still open
        """
        self._end(self._conn.wait_closed, timeout)

    def wait_connected(self, *, timeout: float | None = None) -> None:
        """Wait until a session has a link, as :meth:`sealframe.Connection.wait_connected`.

        :param timeout: seconds to wait
        :raises ConnectionClosed: there will be none: the connection is closed
        :raises WaitTimeoutError: it had none in time
        """
        self._wait(self._conn.wait_connected, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, DecodeError) and error.connection is self:
            self.close(CloseCode.MALFORMED, str(error))
        else:
            self.close()

    # Inside

    def _wait(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        return self._thread.run(lambda: self._own(work()), timeout=timeout)

    def _end(self, work: Callable[[], Coroutine[Any, Any, T]], timeout: float | None) -> T:
        caller = task_of_thread()

        async def end() -> T:
            with acting_for(caller):
                return await work()

        return self._wait(end, timeout)

    async def _own(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return await work
        except DecodeError as error:
            if error.connection is self._conn:
                error.connection = self
            raise

    async def _recv(self) -> Received:
        # A message given back wakes no waiting call: the next one gets it.
        return self._kept.popleft() if self._kept else await self._conn.recv()

    async def _recv_many(self, limit: int | None) -> list[Received]:
        if not self._kept:
            return await self._conn.recv_many(limit)
        count = len(self._kept) if limit is None else limit
        return [self._kept.popleft() for _ in range(min(count, len(self._kept)))]

    def _keep_many(self, messages: list[Received]) -> None:
        self._kept.extendleft(reversed(messages))


AnyConnection: TypeAlias = Connection[Any, Any]
"""One of bytes or of objects, whatever the codec."""


def unwrap(conn: AnyConnection) -> AsyncConnection[Any, Any]:
    """Return the connection that a blocking one wraps."""
    return conn._conn


class _Messages(Generic[Received]):
    """``for`` over what arrives. No generator: that would be over for good once it was
    interrupted, and look like a connection that was closed properly."""

    def __init__(self, conn: Connection[Any, Received]) -> None:
        self._conn = conn

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Received:
        try:
            return self._conn.recv()
        except ConnectionClosedOK:
            raise StopIteration from None
