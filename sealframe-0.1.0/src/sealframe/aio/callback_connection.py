"""Connections whose messages go to ``on_message``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from ..errors import NotSupportedError
from .codec_connection import CodecConnection
from .connection import AnyConnection, Connection, Received, Sent
from .payload_codec import BYTES, PayloadCodec


def _no_receiving() -> NotSupportedError:
    return NotSupportedError(
        "the messages of this connection go to on_message, or nowhere on a server without "
        "on_message and handler: receive them there"
    )


class CallbackConnection(Connection[Sent, Received]):
    """A connection of bytes. A class of its own, so that the others check nothing."""

    __slots__ = ()

    async def recv(self) -> Received:
        raise _no_receiving()

    async def recv_many(self, limit: int | None = None) -> list[Received]:
        raise _no_receiving()

    def __aiter__(self) -> AsyncIterator[Received]:
        raise _no_receiving()


class CodecCallbackConnection(CallbackConnection[Sent, Received], CodecConnection[Sent, Received]):
    """A connection of objects."""

    __slots__ = ()


def connection_maker(codec: PayloadCodec, *, calls_back: bool) -> Callable[..., AnyConnection]:
    """Return the class of the connections of an end.

    :param codec: of its messages
    :param calls_back: whether its messages go to ``on_message``
    """
    if calls_back:
        return CallbackConnection if codec is BYTES else CodecCallbackConnection
    return Connection if codec is BYTES else CodecConnection


def awaiting_each(
    on_message: Callable[[Any, Any], Awaitable[None]],
) -> Callable[[AnyConnection], Coroutine[Any, Any, None]]:
    """Return a handler that awaits ``on_message`` with each message, one after the other."""

    async def handler(conn: AnyConnection) -> None:
        assert isinstance(conn, CallbackConnection)
        async for message in super(CallbackConnection, conn).__aiter__():
            await on_message(conn, message)

    return handler
