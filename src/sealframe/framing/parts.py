"""What frames have besides a length and a message: fixed bytes and checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from ..errors import ConfigurationError

__all__ = ["Checksum", "Magic"]


@dataclass(frozen=True)
class Magic:
    """Bytes that stand in every frame at the same place.

    :param value: 1 to 64 bytes
    :param offset: how many bytes of the frame come before them
    :param mask: as many bytes; bits that are not set here may be anything in what comes, and
        are sent as ``value`` has them
    :raises ConfigurationError: a value is out of range
    """

    value: bytes
    offset: int = 0
    mask: bytes | None = None

    def __post_init__(self) -> None:
        value: object = self.value
        if not isinstance(value, bytes) or not 1 <= len(value) <= 64:
            raise ConfigurationError(f"magic must be 1 to 64 bytes, not {self.value!r}")
        offset: object = self.offset
        if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
            raise ConfigurationError(
                f"the offset of magic must be an int from 0 up, not {self.offset!r}"
            )
        mask: object = self.mask
        if mask is not None and (not isinstance(mask, bytes) or len(mask) != len(self.value)):
            raise ConfigurationError(
                f"the mask of magic must be {len(self.value)} bytes, as many as its value has, "
                f"not {self.mask!r}"
            )


@dataclass(frozen=True)
class Checksum:
    """A number that is worked out from bytes of the frame and sent with them.

    :param size: its bytes, 1 to 8
    :param function: given the bytes as a ``memoryview``, returns the number, of which the low
        ``size`` bytes count; for example ``zlib.crc32``
    :param of: what it is worked out from: ``"head"`` is the header in front of the first
        checksum in it, ``"body"`` what follows the header as far as the length counts, and
        ``"frame"`` all of the frame in front of the checksum
    :param at: where it stands: ``"head"`` is directly behind the length field, as a part of the
        header, ``"end"`` behind what the length counts and before the trailer. Several at one
        place stand there in the order in which they are given.
    :param byteorder: ``"little"`` or ``"big"``
    :raises ConfigurationError: a value is out of range, or they cannot work together
    """

    size: int
    function: Callable[[memoryview], int]
    of: Literal["head", "body", "frame"] = "body"
    at: Literal["head", "end"] = "end"
    byteorder: Literal["little", "big"] = "big"

    def __post_init__(self) -> None:
        size: object = self.size
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 8:
            raise ConfigurationError(f"a checksum must be 1 to 8 bytes, not {self.size!r}")
        if not callable(self.function):
            raise ConfigurationError(
                f"the function of a checksum must be like zlib.crc32, not {self.function!r}"
            )
        if self.of not in ("head", "body", "frame"):
            raise ConfigurationError(f'of must be "head", "body" or "frame", not {self.of!r}')
        if self.at not in ("head", "end"):
            raise ConfigurationError(f'at must be "head" or "end", not {self.at!r}')
        if self.byteorder not in ("little", "big"):
            raise ConfigurationError(f'byteorder must be "little" or "big", not {self.byteorder!r}')
        if self.of == "frame" and self.at == "head":
            raise ConfigurationError(
                'a checksum of the frame stands at its end; for one in the head say of="head" or '
                'of="body"'
            )


def checked_magic(magic: bytes | Magic) -> bytes | Magic:
    """Return it as ``bytes`` where they say all of it.

    :raises ConfigurationError: it is neither
    """
    if isinstance(magic, Magic):
        return magic.value if magic == Magic(magic.value) else magic
    if not isinstance(magic, bytes):
        raise ConfigurationError(f"magic must be bytes or a Magic, not {magic!r}")
    return Magic(magic).value if magic else magic


def checked_checksums(checksums: Checksum | Iterable[Checksum]) -> tuple[Checksum, ...]:
    """Return all of them.

    :raises ConfigurationError: there is something else among them
    """
    found = tuple(checksums) if isinstance(checksums, Iterable) else (checksums,)
    for each in found:
        if not isinstance(each, Checksum):
            raise ConfigurationError(f"checksums must be Checksum objects, not {each!r}")
    return found
