"""Connections on which a codec stands between programs and bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from ..errors import DecodeError
from ..wire import CloseCode
from .connection import (
    AnyConnection,
    Connection,
    Hooks,
    Memberships,
    Received,
    Sent,
    check_limit,
)
from .connection_protocol import ConnectionProtocol
from .payload_codec import PayloadCodec


class CodecConnection(Connection[Sent, Received]):
    """A connection of objects: what ``serve(codec=...)`` and ``connect(codec=...)`` make.

    A class of its own, so that connections of bytes take no call for a codec.
    """

    __slots__ = ("_codec",)

    def __init__(
        self,
        protocol: ConnectionProtocol,
        *,
        groups: Memberships | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(protocol, groups=groups, hooks=hooks)
        self._codec = protocol.handlers.codec

    # Encoding comes first: if it fails, nothing was sent.

    async def send(self, message: Sent) -> None:
        self._protocol.check_loop()
        await self._send_queue.send(self._sender, self._codec.encode(message))

    def send_nowait(self, message: Sent) -> None:
        self._protocol.check_loop()
        self._send_queue.send_nowait(self._sender, self._codec.encode(message))

    async def send_many(self, messages: Iterable[Sent]) -> None:
        if isinstance(messages, bytes | bytearray | memoryview | str):
            raise TypeError("send_many takes an iterable of messages; send takes one message")
        self._protocol.check_loop()
        encode = self._codec.encode
        batch: list[Any] = [encode(message) for message in messages]
        if self._send_queue.offer(batch):
            self._sender.flush_soon()
        else:
            await self._send_queue.send_many_slow_path(self._sender, batch)

    # Decoding comes last, with no await after it: a cancelled call has taken nothing.

    async def recv(self) -> Received:
        data = await self._receive_queue.recv(self._receiver)
        message: Received = self._codec.decode(data, self)
        return message

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        check_limit(limit)
        queue = self._receive_queue
        messages = [await self.recv()]
        try:
            while len(queue) and (limit is None or len(messages) < limit):
                messages.append(self._codec.decode(queue.peek(), self))
                queue.pop()
        except DecodeError:
            pass  # the next call raises it
        self._receiver.after_pop()
        return messages

    def __aiter__(self) -> AsyncIterator[Received]:
        self._protocol.check_loop()
        return _Decoded(self._iterate(), self._codec, self)

    async def __aexit__(self, *exception: object) -> None:
        _, error, _ = exception
        if isinstance(error, DecodeError) and error.connection is self:
            await self.close(CloseCode.MALFORMED, str(error))
        await super().__aexit__(*exception)


class _Decoded(AsyncIterator[Received]):
    """``async for`` over what arrives; it goes on after a message that cannot be decoded."""

    __slots__ = ("_codec", "_connection", "_messages")

    def __init__(
        self, messages: AsyncIterator[bytes], codec: PayloadCodec, connection: AnyConnection
    ) -> None:
        self._messages = messages
        self._codec = codec
        self._connection = connection

    async def __anext__(self) -> Received:
        message: Received = self._codec.decode(await anext(self._messages), self._connection)
        return message
