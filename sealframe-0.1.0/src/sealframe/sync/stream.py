"""A stream for programs without asyncio."""

from __future__ import annotations

from collections import deque
from operator import index
from types import TracebackType
from typing import Any, Self

from ..aio.stream import Stream as AsyncStream
from ..buffers import BytesLike
from ..wire import MAX_CHUNK
from .loop_thread import LoopThread


class Stream:
    """Bytes each way beside the messages of a connection: the blocking wrapper of
    :class:`sealframe.Stream`.

    It comes from :meth:`sealframe.sync.Connection.open_stream`, or as the argument of
    ``on_stream`` at the other end. ``with stream:`` ends this direction at the end of the
    block, and resets both on an exception. ``for chunk in stream`` yields what comes, in
    pieces of any size, until the other end ends its direction.

    Any thread may use it. Whatever may wait takes ``timeout=``, seconds or None for no
    limit, and raises :exc:`~sealframe.WaitTimeoutError` after it. Nothing is lost then: what
    a ``read`` did not return is there for the next one, of a ``write`` nothing was accepted.
    The same holds for a ``read`` that Ctrl-C interrupts; of an interrupted ``write`` nobody
    knows.
    """

    def __init__(self, thread: LoopThread, stream: AsyncStream, connection: Any) -> None:
        self._thread = thread
        self._stream = stream
        # It also keeps the connection, which would be closed if nobody used it.
        self._connection = connection
        # What interrupted calls had read. Only the loop's thread touches it.
        self._kept: deque[bytes] = deque()

    def __repr__(self) -> str:
        return repr(self._stream).replace("<", "<sync.", 1)

    @property
    def connection(self) -> Any:
        """The :class:`sealframe.sync.Connection` that it belongs to."""
        return self._connection

    @property
    def metadata(self) -> bytes:
        """What the opener said that it is for, at most 4,096 bytes."""
        return self._stream.metadata

    # Writing

    def write(self, data: BytesLike, *, timeout: float | None = None) -> None:
        """Send bytes.

        Returns once they are accepted: at once, unless 256 KiB wait to be written, because
        the network is slow or the other end does not read.

        :param data: any bytes-like object
        :param timeout: seconds to wait for room
        :raises TypeError: the data is not bytes-like
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has ended it
        :raises ConnectionClosed: nothing more can be sent on the connection
        :raises WaitTimeoutError: there was no room in time; nothing was accepted
        """
        self._thread.run(lambda: self._stream.write(data), timeout=timeout)

    def end(self, *, timeout: float | None = None) -> None:
        """Send no more: the other end reads what was written, and then the end.

        It does nothing the second time.

        :param timeout: seconds; it has nothing to wait for
        :raises StreamResetError: the other end reset the stream
        :raises ConnectionClosed: nothing more can be sent on the connection
        """
        self._thread.run(self._stream.end, timeout=timeout)

    def reset(self, code: int = 0, reason: str = "") -> None:
        """End both directions at once; what was not written yet is not sent.

        The other end gets :exc:`~sealframe.StreamResetError`. It does nothing if the stream
        is over.

        :param code: 0, or a code of the application's own, 16 to 65,535
        :param reason: text for the other end, cut to 255 bytes of UTF-8
        :raises ValueError: the code is none of them
        :raises TypeError: the reason is not text
        """
        self._thread.call(lambda: self._stream.reset(code, reason))

    # Reading

    def read(self, n: int = -1, *, timeout: float | None = None) -> bytes:
        """Return up to ``n`` bytes, as soon as there are any; ``b""`` at the end.

        What came before the stream or the connection ended stays readable.

        :param n: the most bytes to return; -1 waits for the end and returns all that comes
            until then, which has to fit into the memory
        :param timeout: seconds to wait for them, or for the end
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has reset it
        :raises ConnectionClosed: the connection ended before the stream did
        :raises WaitTimeoutError: nothing, or with -1 no end, came in time
        """
        return self._thread.run(lambda: self._read(n), timeout=timeout, undo=self._keep)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        chunk = self.read(MAX_CHUNK)
        if not chunk:
            raise StopIteration
        return chunk

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.run(lambda: self._stream.__aexit__(kind, error, traceback))

    # Inside

    def _keep(self, data: bytes) -> None:
        if data:
            self._kept.appendleft(data)

    async def _read(self, n: int) -> bytes:
        if not self._kept or index(n) == 0:
            return await self._stream.read(n)
        if n < 0:
            # What was kept stays so until the rest is there too.
            rest = await self._stream.read(n)
            whole = b"".join([*self._kept, rest])
            self._kept.clear()
            return whole
        first = self._kept.popleft()
        self._keep(first[n:])
        return first[:n]
