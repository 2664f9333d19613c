"""A stream as programs see it: bytes each way beside the messages of a connection."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from operator import attrgetter, index
from typing import Any, Self

from .. import wire
from ..buffers import BytesLike
from ..wire import ResetCode
from .stream_endpoint import StreamEndpoint


class Stream:
    """Bytes each way beside the messages of a connection.

    It comes from :meth:`sealframe.Connection.open_stream`, or as the argument of
    ``on_stream`` at the other end. Any number may be open at once; each has its own flow
    control, so that one that nobody reads holds up no other and no message.

    Both ends end their direction by :meth:`end`; :meth:`reset` ends both at once.
    ``async with stream:`` does the one at its end and the other on an exception. Until both
    directions are over a stream takes one of the ``max_streams`` that the peer allows.

    ``async for chunk in stream`` yields what comes until the other end has ended its
    direction, in pieces of any size: what was written at once may come in two, and what
    was written twice in one. Cancelling an await loses nothing.
    """

    __slots__ = ("__weakref__", "_endpoint", "metadata")

    def __init__(self, endpoint: StreamEndpoint, metadata: bytes) -> None:
        self._endpoint = endpoint
        self.metadata = metadata
        """What the opener said that it is for, at most 4,096 bytes."""

    def __repr__(self) -> str:
        return repr(self._endpoint)

    @property
    def connection(self) -> Any:
        """The :class:`~sealframe.Connection` that it belongs to."""
        return self._endpoint.connection

    # Writing

    def write(self, data: BytesLike) -> Coroutine[Any, Any, None]:
        """Send bytes.

        Returns once they are accepted: at once, unless 256 KiB wait to be written, because
        the network is slow or the other end does not read. If it is cancelled while it
        waits, nothing was accepted.

        :param data: any bytes-like object; what is not ``bytes`` is copied
        :raises TypeError: the data is not bytes-like
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has ended it
        :raises ConnectionClosed: nothing more can be sent on the connection
        :raises WrongLoopError: called from another thread or event loop
        """
        return self._endpoint.write(data)

    async def end(self) -> None:
        """Send no more: the other end reads what was written, and then the end.

        This end can still read. The call waits for nothing, and does nothing the second time.

        :raises StreamResetError: the other end reset the stream
        :raises ConnectionClosed: nothing more can be sent on the connection
        :raises WrongLoopError: called from another thread or event loop
        """
        self._endpoint.check_loop()
        self._endpoint.end()

    def reset(self, code: int = 0, reason: str = "") -> None:
        """End both directions at once; what still waits to be written is not sent.

        The other end gets :exc:`~sealframe.StreamResetError`. Where the stream is over this
        does nothing.

        :param code: 0, or a code of the application's own, 16 to 65,535
        :param reason: text for the other end, cut to 255 bytes of UTF-8
        :raises ValueError: the code is none of them
        :raises TypeError: the reason is not text
        :raises WrongLoopError: called from another thread or event loop
        """
        if index(code) and not wire.FIRST_OWN_RESET_CODE <= code <= wire.MAX_RESET_CODE:
            raise ValueError(
                f"code is {code}; use 0, or {wire.FIRST_OWN_RESET_CODE} to {wire.MAX_RESET_CODE}"
            )
        if not isinstance(reason, str):
            raise TypeError(f"reason is text, not {type(reason).__name__}")
        self._endpoint.check_loop()
        self._endpoint.reset(code, reason)

    # Reading

    def read(self, n: int = -1) -> Coroutine[Any, Any, bytes]:
        """Return up to ``n`` bytes, as soon as there are any; ``b""`` at the end.

        What came before the stream or the connection ended stays readable, unless this end
        put the peer out.

        :param n: the most bytes to return; -1 waits for the end and returns all that comes
            until then, which has to fit into the memory
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has reset it
        :raises ConnectionClosed: the connection ended before the stream did
        :raises WrongLoopError: called from another thread or event loop
        """
        return self._endpoint.read(n)

    def read_chunk(
        self, n: int = wire.MAX_CHUNK
    ) -> Coroutine[Any, Any, bytes | bytearray | memoryview]:
        """Return what comes next as :meth:`read` does, without a copy where that can be.

        :param n: the most bytes to return, at least 1
        :return: bytes-like and not to be changed; empty at the end
        :raises ValueError: ``n`` is less than 1
        :raises StreamResetError: the other end reset the stream
        :raises StreamError: this end has reset it
        :raises ConnectionClosed: the connection ended before the stream did
        :raises WrongLoopError: called from another thread or event loop
        """
        return self._endpoint.read_chunk(n)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._endpoint.read(wire.MAX_CHUNK)
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._endpoint.reset(ResetCode.CANCELLED, "")
        elif self._endpoint.may_send:
            await self.end()


endpoint_of: Callable[[Stream], StreamEndpoint] = attrgetter("_endpoint")
"""Return the endpoint of a stream. Internal: programs have the stream itself."""
