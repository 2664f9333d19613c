"""The ordered stream of frames from one server to another, in NATS messages.

A *chunk* is one NATS message::

    version u8 | flags u8 | sender id, 8 bytes | stream u32 | sequence u64 | frames

Numbers are little-endian. A frame is its length (u32) and that many bytes, as in
:data:`sealframe.PACKET`. The chunks of a stream are numbered from 0. A sender that has taken a
receiver for gone, and finds it again, begins another stream to it, with a greater number.

A chunk holds as many whole frames as there is room for. A frame that fits into none begins a chunk
of its own and goes on in the next ones, which are flagged ``CONTINUES`` and hold nothing else.

The receiver acknowledges chunks by a header alone, flagged ``ACK``, with the stream and the
sequence that it expects next: what is on its way is bounded, see ``destination.py``.

NATS core delivers at most once and in order, so the sequence either goes on or skips. After a gap
the frame that was under way is dropped, and what follows up to the next chunk without
``CONTINUES``, which begins with a frame. Nothing else is lost. A process that starts anew has a new
id.
"""

from __future__ import annotations

import itertools
from struct import Struct
from typing import TYPE_CHECKING, Final

from ..errors import FramingError
from ..framing import Framing
from .messages import MalformedFrameError
from .numbers import MAX_CHUNK, VERSION

if TYPE_CHECKING:
    from ..framing import FrameDecoder

__all__ = [
    "HEADER_SIZE",
    "ID_SIZE",
    "IncomingStreams",
    "OutgoingStream",
    "UnknownVersionError",
    "decode_ack",
    "encode_ack",
]

_HEADER: Final = Struct("<BB8sIQ")
_encoder: Final = Framing(maximum=2**32 - 1).encoder
_LENGTH_SIZE: Final = 4
HEADER_SIZE: Final = _HEADER.size
"""Bytes of a chunk before its frames."""
ID_SIZE: Final = 8
"""Bytes of a server's id in a chunk."""
_CONTINUES: Final = 0x01
_ACK: Final = 0x02
_SMALLEST: Final = HEADER_SIZE + 64
"""A chunk at least: below it nearly all of it were headers."""
_numbers: Final = itertools.count()
"""Of the streams of this process: a later one has the greater number."""
_REMEMBERED: Final = 256
"""Senders that were forgotten, and of which the sequence is still known."""


class UnknownVersionError(MalformedFrameError):
    """A chunk or presence message of a version that this one does not know.

    :ivar version: its version
    """

    def __init__(self, version: int) -> None:
        super().__init__(version)
        self.version = version

    def __str__(self) -> str:
        return (
            f"a server of this cluster speaks version {self.version} of the protocol between "
            f"servers, this one speaks {VERSION}: run one version of sealframe on all of them"
        )


def encode_ack(sender: bytes, position: tuple[int, int]) -> bytes:
    """Return what acknowledges the chunks of a stream before a sequence.

    :param sender: the id of this server
    :param position: the number of the other one's stream, and the sequence that is expected next
    """
    return _HEADER.pack(VERSION, _ACK, sender, *position)


def decode_ack(data: bytes) -> tuple[bytes, int, int] | None:
    """Return the sender of an acknowledgement, the stream and the sequence; None if it is none."""
    if len(data) != HEADER_SIZE or data[0] != VERSION or not data[1] & _ACK:
        return None
    _, _, sender, number, sequence = _HEADER.unpack(data)
    return sender, number, sequence


class OutgoingStream:
    """Frames on their way to one other server.

    :param sender: the id of this server
    :param size: bytes of a chunk at most, with its header: what the NATS server allows, and not
        more than 256 KiB
    :raises ValueError: the id has not 8 bytes, or no chunk can be that small
    """

    __slots__ = (
        "_batch",
        "_capacity",
        "_chunks",
        "_left",
        "_number",
        "_sender",
        "_sequence",
    )

    def __init__(self, sender: bytes, size: int = MAX_CHUNK) -> None:
        if len(sender) != ID_SIZE:
            raise ValueError(f"a server's id has {ID_SIZE} bytes, not {len(sender)}")
        if size < _SMALLEST:
            raise ValueError(f"NATS must carry messages of at least {_SMALLEST} bytes, not {size}")
        self._sender = sender
        self._capacity = size - HEADER_SIZE
        self._number = next(_numbers)
        self._sequence = 0
        self._chunks: list[bytes] = []
        self._batch: list[bytes] = []
        self._left = self._capacity

    @property
    def position(self) -> tuple[int, int]:
        """The number of this stream, and the sequence of the next chunk."""
        return self._number, self._sequence

    def add(self, frame: bytes) -> None:
        """Add a frame."""
        size = _LENGTH_SIZE + len(frame)
        if size > self._left:
            self._end_chunk()
            if size > self._capacity:
                self._split(_encoder.encode(frame))
                return
        self._batch.append(frame)
        self._left -= size

    def take(self) -> list[bytes]:
        """Return the chunks to be published, in this order. Each is returned once."""
        self._end_chunk()
        chunks = self._chunks
        self._chunks = []
        return chunks

    def _end_chunk(self) -> None:
        if self._batch:
            self._chunks.append(self._header(0) + _encoder.encode_many(self._batch))
            self._batch = []
            self._left = self._capacity

    def _split(self, frame: bytes) -> None:
        """Cut a large frame into chunks of its own; each byte is copied once."""
        flags = 0
        with memoryview(frame) as view:
            for start in range(0, len(frame), self._capacity):
                piece = view[start : start + self._capacity]
                self._chunks.append(b"".join((self._header(flags), piece)))
                flags = _CONTINUES

    def _header(self, flags: int) -> bytes:
        header = _HEADER.pack(VERSION, flags, self._sender, self._number, self._sequence)
        self._sequence += 1
        return header


class _Sender:
    """What is known of one sender's stream.

    :ivar expected: the number of its stream and the sequence of the next chunk there
    :ivar decoder: None after a gap, until a chunk begins with a frame
    """

    __slots__ = ("decoder", "expected")

    def __init__(self, expected: tuple[int, int]) -> None:
        self.expected = expected
        self.decoder: FrameDecoder | None = None


class IncomingStreams:
    """Puts the frames of all other servers together again.

    Of each sender at most one unfinished frame is kept, and of that no more than has come.

    :param maximum: bytes of a frame at most; a larger one is not taken
    :ivar lost: chunks that did not come, or that were dropped because a part of their frame did not
    """

    def __init__(self, maximum: int) -> None:
        self._layout = Framing(maximum=maximum)
        self._senders: dict[bytes, _Sender] = {}
        self._forgotten: dict[bytes, tuple[int, int]] = {}
        self.lost = 0

    def feed(self, data: bytes) -> tuple[bytes, list[bytes]]:
        """Take a chunk; return the sender's id and the frames that are now whole, in order.

        :raises UnknownVersionError: the sender speaks another version
        :raises MalformedFrameError: this is no chunk
        """
        if data and data[0] != VERSION:
            raise UnknownVersionError(data[0])
        if len(data) <= HEADER_SIZE:
            raise MalformedFrameError(
                f"{len(data)} bytes came on a server's subject and are no chunk: "
                "does another program publish there?"
            )
        _, flags, id, stream, sequence = _HEADER.unpack_from(data)
        sender = self._senders.get(id)
        if sender is None:
            sender = self._senders[id] = _Sender(self._forgotten.pop(id, (stream, 0)))
        expected = sender.expected
        if (stream, sequence) != expected:
            if (stream, sequence) < expected:
                return id, []  # NATS repeats nothing: these frames were taken, or given up
            self.lost += sequence - (expected[1] if stream == expected[0] else 0)
            sender.decoder = None
        sender.expected = (stream, sequence + 1)
        return id, self._decode(sender, memoryview(data)[HEADER_SIZE:], flags)

    def position(self, id: bytes) -> tuple[int, int]:
        """Return the number of a sender's stream, and the sequence of the chunk expected next."""
        return self._senders[id].expected

    def forget(self, id: bytes) -> None:
        """Drop what is kept of a server that is gone. If it comes back its stream goes on."""
        sender = self._senders.pop(id, None)
        if sender is not None:
            self._forgotten[id] = sender.expected
            if len(self._forgotten) > _REMEMBERED:
                del self._forgotten[next(iter(self._forgotten))]

    def _decode(self, sender: _Sender, data: memoryview, flags: int) -> list[bytes]:
        decoder = sender.decoder
        under_way = decoder is not None and decoder.pending > 0
        if flags & _CONTINUES:
            if decoder is None or not under_way:
                self.lost += 1
                return []
        elif decoder is None or under_way:
            decoder = sender.decoder = self._layout.decoder()
        try:
            # Control frames are in no layout but the native one.
            return decoder.feed(data)  # type: ignore[return-value]
        except FramingError as error:
            # A frame over the maximum. Those before it in the chunk are whole.
            self.lost += 1
            sender.decoder = None
            return error.frames
