"""Connections on which a codec stands between programs and bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

from ..buffers import as_bytes
from ..codecs import Codec
from ..errors import DecodeError, EncodeError
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


class CodecConnection(Connection[Sent, Received]):
    """A connection of objects: what ``serve(codec=...)`` and ``connect(codec=...)`` make.

    Apart from :class:`~sealframe.Connection`, so that one of bytes is none the slower.
    """

    __slots__ = ("_codec",)

    def __init__(
        self,
        protocol: ConnectionProtocol,
        *,
        codec: Codec[Sent, Received],
        groups: Memberships | None = None,
        hooks: Hooks | None = None,
    ) -> None:
        super().__init__(protocol, groups=groups, hooks=hooks)
        self._codec = codec

    # Encoding comes first, so that what cannot be encoded has sent nothing.

    async def send(self, message: Sent) -> None:
        self._protocol.check_loop()
        await self._send_queue.send(self._sender, self._encode(message))

    async def send_many(self, messages: Iterable[Sent]) -> None:
        if isinstance(messages, bytes | bytearray | memoryview | str):
            raise TypeError("send_many takes an iterable of messages; send takes one message")
        self._protocol.check_loop()
        batch: list[Any] = [self._encode(message) for message in messages]
        if self._send_queue.offer(batch):
            self._sender.flush_soon()
        else:
            await self._send_queue.send_many_slow_path(self._sender, batch)

    # Decoding comes last, with no await behind it, so that a cancelled task took nothing.

    async def recv(self) -> Received:
        return self._decode(await self._receive_queue.recv(self._receiver))

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        check_limit(limit)
        queue = self._receive_queue
        messages = [await self.recv()]
        try:
            while len(queue) and (limit is None or len(messages) < limit):
                messages.append(self._decode(queue.peek()))
                queue.pop()
        except DecodeError:
            pass  # the next call raises it
        self._receiver.after_pop()
        return messages

    def __aiter__(self) -> AsyncIterator[Received]:
        self._protocol.check_loop()
        return _Objects(self._receive_queue.iterate(self._receiver), self._decode)

    async def __aexit__(self, *exception: object) -> None:
        _, error, _ = exception
        if isinstance(error, DecodeError) and error.connection is self:
            await self.close(CloseCode.MALFORMED, str(error))
        else:
            await self.close()

    def _encode(self, message: object) -> bytes:
        return encode(self._codec, message)

    def _encode_reply(self, reply: object) -> bytes:
        return self._encode(reply)

    def _decode(self, message: bytes) -> Received:
        try:
            return self._codec.decode(message)
        except DecodeError as error:
            error.message, error.connection = message, self
            raise
        except Exception as error:
            fault = DecodeError(
                f"the message cannot be decoded: {type(error).__name__}", message=message
            )
            fault.connection = self
            raise fault from error


class _Objects(AsyncIterator[Received]):
    """``async for`` over what arrives; it goes on after a message that cannot be decoded."""

    __slots__ = ("_decode", "_messages")

    def __init__(self, messages: AsyncIterator[bytes], decode: Callable[[bytes], Received]) -> None:
        self._messages = messages
        self._decode = decode

    async def __anext__(self) -> Received:
        return self._decode(await anext(self._messages))


def connection_maker(
    codec: Codec[Any, Any] | None,
) -> Callable[..., AnyConnection]:
    """Return what makes connections with this codec, or those of bytes."""
    return Connection if codec is None else partial(CodecConnection, codec=codec)


def encoder(codec: Codec[Any, Any] | None) -> Callable[[object], bytes]:
    """Return what makes a message of what a program gives."""
    return as_bytes if codec is None else partial(encode, codec)


def encode(codec: Codec[Any, Any], message: object) -> bytes:
    """Return an object as bytes.

    :raises EncodeError: the codec cannot encode it
    """
    try:
        data: object = codec.encode(message)
        return data if type(data) is bytes else as_bytes(data)
    except EncodeError:
        raise
    except Exception as error:
        raise EncodeError(f"the codec cannot encode this message: {error}") from error
