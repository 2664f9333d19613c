"""Connections of a server that acknowledges what its program has taken: they count what is handed
out, and tell when the program asks for the next message.

Classes of their own, so that the others count nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from .callback_connection import CallbackConnection
from .codec_connection import CodecConnection
from .connection import AnyConnection, Connection, Received, Sent
from .payload_codec import BYTES, PayloadCodec
from .session_info import SessionInfo
from .session_protocol import SessionProtocol


class _Counting(Connection[Sent, Received]):
    """What is the same for bytes and for objects."""

    __slots__ = ()

    # A server that acknowledges what was taken has no other.
    _protocol: SessionProtocol

    @property
    def position(self) -> int:
        return self._protocol.acknowledger.taking.position

    @property
    def session(self) -> SessionInfo:
        taking = self._protocol.acknowledger.taking
        return SessionInfo(taking.name, self.peer, taking.writer)

    def _iterate(self) -> AsyncIterator[bytes]:
        return _Counted(super()._iterate(), self._protocol)


class TakingConnection(_Counting[Sent, Received]):
    """A connection of bytes."""

    __slots__ = ()

    async def recv(self) -> Received:
        protocol = self._protocol
        protocol.check_loop()
        protocol.acknowledger.finish_taken()
        message = await self._receive_queue.recv(self._receiver)
        protocol.acknowledger.note_taken(1, len(message))
        return message  # type: ignore[return-value]  # without a codec: bytes

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        protocol = self._protocol
        protocol.check_loop()
        protocol.acknowledger.finish_taken()
        messages: list[Any] = await super().recv_many(limit)
        protocol.acknowledger.note_taken(len(messages), sum(map(len, messages)))
        return messages


class TakingCodecConnection(_Counting[Sent, Received], CodecConnection[Sent, Received]):
    """A connection of objects."""

    __slots__ = ()

    # What cannot be decoded is taken, too.

    async def recv(self) -> Received:
        protocol = self._protocol
        protocol.check_loop()
        protocol.acknowledger.finish_taken()
        data = await self._receive_queue.recv(self._receiver)
        protocol.acknowledger.note_taken(1, len(data))
        message: Received = self._codec.decode(data, self)
        return message

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        # The first of them comes from recv(), which counts it.
        messages = await super().recv_many(limit)
        self._protocol.acknowledger.note_taken(len(messages) - 1, 0)
        return messages


class TakingCallbackConnection(
    CallbackConnection[Sent, Received], TakingConnection[Sent, Received]
):
    """One of bytes, whose messages go to ``on_message``."""

    __slots__ = ()


class TakingCodecCallbackConnection(
    CallbackConnection[Sent, Received], TakingCodecConnection[Sent, Received]
):
    """One of objects, whose messages go to ``on_message``."""

    __slots__ = ()


class _Counted:
    """``async for`` over what arrives, counted."""

    __slots__ = ("_messages", "_protocol")

    def __init__(self, messages: AsyncIterator[bytes], protocol: SessionProtocol) -> None:
        self._messages = messages
        self._protocol = protocol

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        protocol = self._protocol
        protocol.acknowledger.finish_taken()
        message = await anext(self._messages)
        protocol.acknowledger.note_taken(1, len(message))
        return message


def taking_connection_maker(
    codec: PayloadCodec, *, calls_back: bool
) -> Callable[..., AnyConnection]:
    """Return the class of the connections of a server that acknowledges what is taken.

    :param codec: of its messages
    :param calls_back: whether its messages go to ``on_message``
    """
    if calls_back:
        return TakingCallbackConnection if codec is BYTES else TakingCodecCallbackConnection
    return TakingConnection if codec is BYTES else TakingCodecConnection
