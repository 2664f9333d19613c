"""Codecs: objects in place of bytes.

Both ends name the same one, and send and receive what it makes of messages::

    async def handler(conn: Connection[Answer, Question]) -> None:
        async for question in conn:
            await conn.send(answer(question))

    serve(handler, codec=Msgspec(Question, send_type=Answer))

A peer whose message cannot be decoded has broken the agreement: unless the program catches
:exc:`~sealframe.DecodeError`, it is closed with ``CloseCode.MALFORMED``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, NoReturn, Protocol, TypeVar, cast, overload

from .errors import ConfigurationError, DecodeError, EncodeError, MissingExtraError

__all__ = ["Codec", "Json", "Msgspec", "Text"]

Sent = TypeVar("Sent", contravariant=True)
Received = TypeVar("Received", covariant=True)
_T = TypeVar("_T")
_S = TypeVar("_S")


class Codec(Protocol[Sent, Received]):
    """What ``codec=`` takes: any object with these two methods.

    One object serves all connections of a server, messages, requests and answers alike, so it
    keeps nothing from one to the next. It is called in the event loop, so it must not block.
    """

    def encode(self, message: Sent, /) -> bytes:
        """Return the bytes for an object; a ``bytearray`` or ``memoryview`` is copied.

        Whatever it raises, ``send`` raises as :exc:`~sealframe.EncodeError`.
        """

    def decode(self, message: bytes, /) -> Received:
        """Return the object for a message, which may be empty.

        Whatever it raises says that the peer sent something wrong, and ``recv`` raises it
        as :exc:`~sealframe.DecodeError`. Of other exceptions than that the peer and the
        log are told the type only, since their text may quote the message. After
        ``recv_many`` stopped before such a message, it is called for it once more.
        """


class Text:
    """``str``, as UTF-8."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Text()"

    def encode(self, message: str, /) -> bytes:
        """Return the text as UTF-8.

        :raises EncodeError: it is no ``str``, or half a surrogate pair is in it
        """
        if not isinstance(message, str):
            raise EncodeError(f"a message is str here, not {type(message).__name__}")
        try:
            return message.encode()
        except UnicodeEncodeError as error:
            raise EncodeError(
                f"the character at index {error.start} has no UTF-8: half a surrogate pair"
            ) from error

    def decode(self, message: bytes, /) -> str:
        """Return the text.

        :raises DecodeError: it is not UTF-8
        """
        return _text(message)


class Json:
    """Whatever the standard library's :mod:`json` takes, as JSON (RFC 8259) in UTF-8.

    It is written without spaces. NaN and infinite numbers are refused both ways, and so is
    a number too large for a ``float``, so that all that was received can be sent.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "Json()"

    def encode(self, message: Any, /) -> bytes:
        """Return the object as JSON.

        :raises EncodeError: there is no JSON for it
        """
        try:
            text = _ENCODER.encode(message)
            try:
                return text.encode()
            except UnicodeEncodeError:
                # Half a surrogate pair has no UTF-8, but JSON has an escape for it.
                return _ASCII_ENCODER.encode(message).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise EncodeError(f"there is no JSON for this message: {error}") from error

    def decode(self, message: bytes, /) -> Any:
        """Return the object.

        :raises DecodeError: it is not JSON, or nested too deeply for Python
        """
        text = _text(message)
        try:
            return _DECODER.decode(text)
        except DecodeError:
            raise
        except json.JSONDecodeError as error:
            raise DecodeError(f"the message is not JSON: see character {error.pos}") from error
        except RecursionError as error:
            raise DecodeError("the message is JSON that is nested too deeply") from error
        except ValueError as error:
            raise DecodeError("the message is JSON with a number that is too large") from error


class Msgspec(Generic[Sent, Received]):
    """Objects of a type that `msgspec <https://jcristharif.com/msgspec/>`_ knows.

    Those are its own ``Struct``, dataclasses, ``TypedDict``, unions, the built-in types and
    more. What is received has that type for certain. Type checkers have to be told what a
    union is, as an annotation: ``codec: Msgspec[A | B, A | B] = Msgspec(A | B)``.

    :param receive_type: what is received; what is sent too, unless ``send_type`` is given
    :param format: ``"json"`` or ``"msgpack"``
    :param send_type: what is sent
    :param check_sent: decode what is sent before it goes, as the peer will; this costs as much
        as to receive it. Otherwise only the peer notices that a field holds something else.
    :raises ConfigurationError: the format is another one
    :raises TypeError: msgspec does not know such a type
    :raises MissingExtraError: msgspec is not installed
    """

    __slots__ = ("_check", "_decode", "_encode", "_errors", "_format", "_type")

    @overload
    def __init__(
        self: Msgspec[_T, _T],
        receive_type: type[_T],
        format: Literal["json", "msgpack"] = "json",
        send_type: None = None,
        *,
        check_sent: bool = False,
    ) -> None: ...
    @overload
    def __init__(
        self: Msgspec[_S, _T],
        receive_type: type[_T],
        format: Literal["json", "msgpack"] = "json",
        *,
        send_type: type[_S],
        check_sent: bool = False,
    ) -> None: ...
    @overload  # unions are no type[...]
    def __init__(
        self: Msgspec[Any, Any],
        receive_type: object,
        format: Literal["json", "msgpack"] = "json",
        send_type: object = None,
        *,
        check_sent: bool = False,
    ) -> None: ...
    def __init__(
        self,
        receive_type: object,
        format: Literal["json", "msgpack"] = "json",  # noqa: A002
        send_type: object = None,
        *,
        check_sent: bool = False,
    ) -> None:
        if format not in ("json", "msgpack"):
            raise ConfigurationError(f'format is {format!r}; use "json" or "msgpack"')
        try:
            import msgspec
        except ImportError as error:
            raise MissingExtraError(
                'this codec needs the msgspec package: run: pip install "sealframe[msgspec]"'
            ) from error
        module = msgspec.json if format == "json" else msgspec.msgpack
        kind: Any = receive_type
        sent: Any = receive_type if send_type is None else send_type
        self._encode = module.Encoder().encode
        self._decode: Callable[[bytes], Any] = module.Decoder(kind).decode
        self._check: Callable[[bytes], Any] | None = None
        if check_sent:
            self._check = module.Decoder(sent).decode
        self._errors = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
        self._format = format
        self._type = receive_type

    def __repr__(self) -> str:
        # Of what is no class, such as int | None or list[int], the name would be a part of it.
        name = self._type.__name__ if isinstance(self._type, type) else self._type
        return f"Msgspec({name}, {self._format!r})"

    def encode(self, message: Sent, /) -> bytes:
        """Return the object as JSON or MessagePack.

        :raises EncodeError: msgspec cannot encode it, or with ``check_sent`` the peer could not
            decode it
        """
        try:
            encoded: bytes = self._encode(message)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise EncodeError(f"msgspec cannot encode this message: {error}") from error
        if self._check is not None:
            try:
                self._check(encoded)
            except self._errors as error:
                raise EncodeError(f"this message is not as agreed: {error}") from error
        return encoded

    def decode(self, message: bytes, /) -> Received:
        """Return the object.

        :raises DecodeError: it is malformed, or not of this type
        """
        try:
            return cast("Received", self._decode(message))
        except self._errors as error:
            raise DecodeError(f"the message is not as agreed: {_without_content(error)}") from error


def check_codec(codec: object) -> None:
    """Refuse what cannot be a codec; None is no codec, and fine.

    :raises ConfigurationError: it is none
    """
    if codec is None:
        return
    if isinstance(codec, type):
        raise ConfigurationError(f"codec is an object, not a class: use {codec.__name__}(...)")
    if not all(callable(getattr(codec, name, None)) for name in ("encode", "decode")):
        raise ConfigurationError(
            "codec is an object with encode() and decode(), such as sealframe.codecs.Json()"
        )


def _text(message: bytes) -> str:
    try:
        return str(message, "utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError(f"the message is not UTF-8: see byte {error.start}") from error


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("too large for a float")
    return number


def _refuse(name: str) -> NoReturn:
    raise DecodeError(f"the message is not JSON: {name} is no number there")


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_ASCII_ENCODER: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)

_TELLS_NO_CONTENT: Final = re.compile(
    r"Expected `|Object missing required field `|Input data was truncated$"
    r"|(JSON|MessagePack data) is malformed: |Invalid UTF-8 encoded string$"
)
_PATH: Final = re.compile(r" - at `[^`]*`$")


def _without_content(error: Exception) -> str:
    """Return what msgspec found, as far as it tells of the type and not of the message."""
    text = str(error)
    if _TELLS_NO_CONTENT.match(text):
        return text
    path = _PATH.search(text)
    return type(error).__name__ + (path[0] if path else "")
