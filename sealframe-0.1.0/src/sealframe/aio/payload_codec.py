"""What stands between a program's objects and bytes: of messages, requests and replies.

Each end has one, in its :class:`.PeerHandlers`, which all its connections share.
"""

from __future__ import annotations

import typing
from typing import Any, Final

from ..buffers import as_bytes
from ..codecs import Codec
from ..errors import DecodeError, EncodeError


class PayloadCodec(typing.Protocol):
    """Encodes what the program sends, and decodes what the peer sends."""

    def encode(self, message: Any) -> bytes:
        """Return the bytes of a message or a request.

        :raises TypeError: without a codec: it is not bytes-like
        :raises EncodeError: the codec cannot encode it
        """

    def encode_reply(self, reply: Any) -> bytes:
        """Return the bytes of what ``on_request`` has returned; without a codec None is ``b""``.

        :raises TypeError: without a codec: it is not bytes-like
        :raises EncodeError: the codec cannot encode it
        """

    def decode(self, data: bytes, connection: Any) -> Any:
        """Return the object of a message, a request or a reply.

        :param connection: on which it came, for the error
        :raises DecodeError: the codec cannot decode it
        """


class _Bytes:
    """The one of an end without a codec: bytes stay bytes."""

    __slots__ = ()

    def encode(self, message: Any) -> bytes:
        return message if type(message) is bytes else as_bytes(message)

    def encode_reply(self, reply: Any) -> bytes:
        return b"" if reply is None else self.encode(reply)

    def decode(self, data: bytes, connection: Any) -> Any:
        return data


class _Objects:
    """The one of an end with a codec: makes its errors what the codec raises."""

    __slots__ = ("_codec",)

    def __init__(self, codec: Codec[Any, Any]) -> None:
        self._codec = codec

    def encode(self, message: Any) -> bytes:
        try:
            data: object = self._codec.encode(message)
            return data if type(data) is bytes else as_bytes(data)
        except EncodeError:
            raise
        except Exception as error:
            raise EncodeError(f"the codec cannot encode this message: {error}") from error

    def encode_reply(self, reply: Any) -> bytes:
        return self.encode(reply)

    def decode(self, data: bytes, connection: Any) -> Any:
        try:
            return self._codec.decode(data)
        except DecodeError as error:
            error.message, error.connection = data, connection
            raise
        except Exception as error:
            fault = DecodeError(
                f"the message cannot be decoded: {type(error).__name__}", message=data
            )
            fault.connection = connection
            raise fault from error


BYTES: Final[PayloadCodec] = _Bytes()


def payload_codec(codec: Codec[Any, Any] | None) -> PayloadCodec:
    """Return what uses the program's codec, :data:`BYTES` where it has none."""
    return BYTES if codec is None else _Objects(codec)
