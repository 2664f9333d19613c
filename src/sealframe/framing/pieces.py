"""What the layouts in pure Python share: their limits, and an encoder made of pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, TypeVar

from ..errors import (
    ConfigurationError,
    MessageTooLargeError,
    MessageTooSmallError,
    NotSupportedError,
)
from . import refusals as refuse
from .base import FrameLayout
from .scratch import readable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from dataclasses import Field
    from typing import SupportsIndex

    from typing_extensions import Buffer

__all__ = ["FieldsLayout", "PiecesEncoder", "check_int", "check_limits", "one_head"]

HeadT = TypeVar("HeadT")

_LARGE: Final = 64 * 1024
"""A piece of so many bytes is not copied to be joined with others."""


class FieldsLayout(FrameLayout):
    """A layout that is a dataclass: copies and pickles have its fields and nothing cached."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __getstate__(self) -> dict[str, Any]:
        names = type(self).__dataclass_fields__
        return {name: getattr(self, name) for name in names}


def check_int(name: str, value: int, smallest: int, largest: int) -> None:
    """Raise ConfigurationError unless a parameter is an int in its range."""
    if type(value) is not int:
        raise ConfigurationError(f"{name} must be an int, not {value!r}")
    if not smallest <= value <= largest:
        raise ConfigurationError(f"{name} must be {smallest} to {largest}, not {value}")


def check_limits(minimum: int, maximum: int, largest: int) -> None:
    """Raise ConfigurationError unless some messages lie between the limits."""
    check_int("minimum", minimum, 0, largest)
    check_int("maximum", maximum, 0, largest)
    if minimum > maximum:
        raise ConfigurationError(
            f"minimum is {minimum}, over the maximum of {maximum}; change either"
        )


def one_head(head: HeadT | None, head_size: HeadT | None) -> HeadT:
    """Return the one that is given.

    :raises ConfigurationError: both are, or none
    """
    if head is not None and head_size is not None:
        raise ConfigurationError("say head= or head_size=, not both")
    if head is not None:
        return head
    if head_size is None:
        raise ConfigurationError("head must be an int, not None")
    return head_size


class PiecesEncoder(ABC):
    """A :class:`~sealframe.framing.FrameEncoder` that lacks only :meth:`_pieces`."""

    __slots__ = ("_maximum", "_minimum")

    def __init__(self, layout: FrameLayout) -> None:
        self._minimum = layout.minimum
        self._maximum = layout.maximum

    @abstractmethod
    def _pieces(self, payload: bytes) -> tuple[bytes, ...]:
        """Return the buffers whose bytes, joined, are the frame of a message of a right size."""

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def encode(self, payload: Buffer, /) -> bytes:
        """Return the frame that carries ``payload``."""
        return b"".join(self._checked(payload))

    def encode_many(self, payloads: Iterable[Buffer], /) -> bytes:
        """Return the frames that carry ``payloads``, joined; or raise and make none."""
        return b"".join(piece for payload in list(payloads) for piece in self._checked(payload))

    def pack(self, payloads: Iterable[Buffer], /) -> list[bytes]:
        """Return the frames that carry ``payloads`` as buffers to be written in one call.

        Small ones are joined; a payload of 64 KiB or more is a buffer of its own and not copied.
        """
        buffers: list[bytes] = []
        small: list[bytes] = []
        for payload in list(payloads):
            for piece in self._checked(payload):
                if len(piece) < _LARGE:
                    small.append(piece)
                    continue
                if joined := b"".join(small):
                    buffers.append(joined)
                buffers.append(piece)
                small = []
        if joined := b"".join(small):
            buffers.append(joined)
        return buffers

    def head(self, length: SupportsIndex, /) -> bytes:
        """Raise: what goes before a payload depends on it, or something goes behind it."""
        del length
        raise NotSupportedError(
            "head() needs a layout whose frames are a head, which depends on the size alone, and "
            "the payload; use encode()"
        )

    def _checked(self, payload: Buffer) -> tuple[bytes, ...]:
        if type(payload) is not bytes:
            payload = readable(payload).tobytes()
        self._check_size(len(payload))
        return self._pieces(payload)

    def _check_size(self, size: int) -> None:
        if size > self._maximum:
            raise MessageTooLargeError(size, self._maximum)
        if size < self._minimum:
            raise MessageTooSmallError(size, self._minimum)
