"""The messages of a transfer, as bytes: docs/PROTOCOL.md section 10."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from .. import wire
from ..errors import FileRefusedError, FileTransferError, NotSupportedError, StreamResetError
from ..wire import FileAbort, FileRefusal, ResetCode
from .digest import Algorithm
from .paths import MAX_NAME

VERSION: Final = 1
"""Of the format; it stands first in an offer."""
KEY_SIZE: Final = 32
DONE: Final = b"\x03"
"""The receiving end's last word: the file has its name and is on the disk."""
MAX_SIZE: Final = 2**63 - 1
"""The largest file that can be offered, in bytes: what file systems can count."""

_OFFER: Final = struct.Struct("<BBQ32sB")
_ACCEPT: Final = struct.Struct("<BBQ32s")
_GO: Final = struct.Struct("<BQ")
_COMPARE: Final = struct.Struct("<BB")
_ACCEPT_TYPE: Final = 1
_GO_TYPE: Final = 2
_COMPARE_TYPE: Final = 4
_DIRECTORY: Final = 0x01

ACCEPT_SIZE: Final = _ACCEPT.size
"""Bytes of :class:`Accept`."""
GO_SIZE: Final = _GO.size
"""Bytes of what :func:`go` returns."""
COMPARE_SIZE: Final = _COMPARE.size
"""Bytes of what :func:`compare` returns."""
COMPARE_START: Final = bytes([_COMPARE_TYPE])
"""What these bytes, and no others of the receiving end, begin with."""


class MalformedError(ValueError):
    """Bytes are none of these messages; the text says what is wrong."""


class Announcement(NamedTuple):
    """The offer: metadata of the stream that the sender opens."""

    name: str
    """A relative path; not checked yet."""
    size: int
    key: bytes
    algorithms: frozenset[int]
    """Digests that the sender can make, numbered as :class:`.Algorithm`."""
    directory: bool = False
    """Whether it is an empty directory and no file."""

    def pack(self) -> bytes:
        """Return it as bytes."""
        flags = _DIRECTORY if self.directory else 0
        head = _OFFER.pack(VERSION, flags, self.size, self.key, _bits(self.algorithms))
        return head + self.name.encode()


def announcement(data: bytes) -> Announcement:
    """Read an offer.

    :raises FileRefusedError: it is of another version, or has a name that no text is
    :raises MalformedError: it is none
    """
    if data[:1] != bytes([VERSION]):
        raise FileRefusedError(
            FileRefusal.NOT_SUPPORTED, f"offers of version {VERSION} are understood here"
        )
    if len(data) < _OFFER.size:
        raise MalformedError("the offer is cut short")
    _, flags, size, key, bits = _OFFER.unpack_from(data)
    name = data[_OFFER.size :]
    if flags & ~_DIRECTORY:
        raise MalformedError(f"the offer has unknown flags: {flags:#04x}")
    if size > (0 if flags else MAX_SIZE):
        raise MalformedError(f"the offer has a size of {size}")
    if len(name) > MAX_NAME:
        raise FileRefusedError(
            FileRefusal.NAME, f"the name is not taken: it is longer than {MAX_NAME:,} bytes"
        )
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise FileRefusedError(FileRefusal.NAME, "the name is not taken: it is not UTF-8") from None
    algorithms = frozenset(number for number in range(1, 9) if bits >> (number - 1) & 1)
    return Announcement(text, size, key, algorithms, bool(flags))


def _bits(algorithms: Iterable[int]) -> int:
    return sum(1 << (number - 1) for number in algorithms)


class Accept(NamedTuple):
    """ACCEPT: the receiving end takes the file, from an offset on."""

    algorithm: int
    """Of all digests that follow."""
    offset: int
    """Bytes that are there from an earlier attempt."""
    digest: bytes
    """Of these bytes."""

    def pack(self) -> bytes:
        """Return it as bytes."""
        return _ACCEPT.pack(_ACCEPT_TYPE, *self)


def accept(data: bytes, size: int, algorithms: Iterable[int]) -> Accept:
    """Read the answer to an offer.

    :param size: that was offered
    :param algorithms: that were offered
    :raises MalformedError: it does not belong to that offer
    """
    if len(data) != _ACCEPT.size or data[0] != _ACCEPT_TYPE:
        raise MalformedError("the answer to the offer is none")
    _, algorithm, offset, digest = _ACCEPT.unpack(data)
    if algorithm not in algorithms:
        raise MalformedError(f"digest algorithm {algorithm} was not offered")
    if offset > size:
        raise MalformedError(f"{offset} bytes of a file of {size} cannot be there")
    return Accept(Algorithm(algorithm), offset, digest)


def compare(algorithm: int) -> bytes:
    """Return COMPARE: the receiving end has a file of that name and size, and asks for the
    digest of the sender's."""
    return _COMPARE.pack(_COMPARE_TYPE, algorithm)


def compared(data: bytes, algorithms: Iterable[int]) -> Algorithm:
    """Read COMPARE: which digest is asked for.

    :param algorithms: that were offered
    :raises MalformedError: it is none of those
    """
    algorithm = _COMPARE.unpack(data)[1]
    if algorithm not in algorithms:
        raise MalformedError(f"digest algorithm {algorithm} was not offered")
    return Algorithm(algorithm)


def go(offset: int) -> bytes:
    """Return GO, which stands before the data: where that begins."""
    return _GO.pack(_GO_TYPE, offset)


def begin(data: bytes, offset: int) -> int:
    """Read GO: where the data begins.

    :param offset: that the receiving end has told
    :raises MalformedError: it is neither that nor 0
    """
    if len(data) != _GO.size or data[0] != _GO_TYPE:
        raise MalformedError("what stands before the data is no GO")
    start: int = _GO.unpack(data)[1]
    if start not in (0, offset):
        raise MalformedError(f"the data begins at {start}, neither at {offset} nor at 0")
    return start


def reset_code(refusal: int) -> int:
    """Return the code with which a stream is reset for a refusal."""
    return wire.FIRST_OWN_RESET_CODE + refusal


def refusal(reset: StreamResetError) -> Exception:
    """Return what a sender raises when the receiving end has reset the stream."""
    code, reason = reset.code, reset.reason
    number = code - wire.FIRST_OWN_RESET_CODE
    if number in FileRefusal.__members__.values():
        known = FileRefusal(number)
        return FileRefusedError(known, reason or f"the receiving end said {known.name}")
    match code:
        case ResetCode.UNSUPPORTED:
            return NotSupportedError("the peer takes no files: give it files=...")
        case ResetCode.BUSY:
            return FileRefusedError(FileRefusal.BUSY, reason or "the receiving end is busy")
        case ResetCode.FAILED:
            return FileTransferError("the program at the receiving end failed")
        case ResetCode.CANCELLED:
            return FileTransferError("the receiving end stopped the transfer; send it again")
    return FileTransferError(f"the receiving end stopped with code {code}: {reason}")


def withdrawal(reset: StreamResetError) -> FileTransferError:
    """Return what a receiver raises when the sender has reset the stream."""
    match reset.code:
        case FileAbort.CHANGED:
            return FileTransferError("the file was written to while it was sent")
        case FileAbort.UNREADABLE:
            return FileTransferError("the sender could not read the file any further")
    return FileTransferError("the sender stopped the transfer")
