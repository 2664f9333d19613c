"""The framing codec in pure Python. The compiled backend is ``sealframe.framing._codec``.

It is used where the C extension is not built, and it is the readable one: the
extension follows the same steps under the same names. Decoder and encoder share one file,
longer than most, because the extension is one file too: they are read side by side.

Theory of operation. Most frames are whole in the input: one loop, ``_split_whole``, cuts them
out. Of any other frame the head is read first, byte by byte where it is split. If the rest is
not there either, the frame is *under way*, and three numbers place each byte that arrives::

    |<-- lead -->|<---------- size ---------->|           |
    |  dropped   |  kept: the message or body |  dropped  |
    |<--------------------- frame_size ------------------>|

What is kept grows by doubling as bytes arrive, never at once to what the head declares. While more
than 16 KiB of a message are missing, ``get_buffer`` exports that memory itself, so that the event
loop reads into the place where the message will be; otherwise it exports a scratch buffer.
"""

from __future__ import annotations

from contextlib import suppress
from operator import index
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, SupportsIndex, final

from ..errors import FramingError
from . import refusals as refuse
from .codec_types import Control, Layout
from .native import CONTROL_BIT, LENGTH_MASK, UNKNOWN_BODY_KEPT
from .scratch import readable, spare, take_scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import Buffer

__all__ = ["Decoder", "Encoder"]

_DIRECT: Final = 16 * 1024
"""A message that lacks more bytes than this is received in its own storage."""
_LARGE: Final = 64 * 1024
"""By so much that storage grows at least, and a message of so many bytes is written from it."""
_FIRST_STORAGE: Final = 1024
_PREFIX: Final = 8
_MESSAGE: Final = -1
"""Stands in place of an opcode where the frame is a message."""

_NO_VIEW: Final = memoryview(b"")

_UNPACK: Final = {
    (width, big): Struct((">" if big else "<") + code).unpack_from
    for width, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))
    for big in (False, True)
}
"""Read a length field faster than ``int.from_bytes``, by its width and byte order."""


@final
class Decoder:
    """Cuts one byte stream into frames.

    A frame that the layout does not allow makes the call raise a
    :exc:`~sealframe.errors.FramingError`, as soon as its head is complete. Its
    ``frames`` are the whole frames before it in the same call. The decoder is
    dead then: each later call raises the same again, with empty ``frames``.

    Of a control frame whose opcode is not in ``layout.known`` only the first 8
    bytes of the body are kept. One thread at a time may use a decoder.

    :ivar pending: bytes of the unfinished frame that have arrived; 0 between frames
    :ivar frame_size: bytes the unfinished frame has in all, with its head; 0 while
        that is not known
    :ivar prefix: the first bytes of the whole stream, at most 8, for a diagnosis
    :ivar saw_control: whether the frames last returned or raised have a control
        frame among them
    """

    __slots__ = (
        "_body",
        "_byteorder",
        "_exported",
        "_fault",
        "_head",
        "_header",
        "_layout",
        "_lead",
        "_opcode",
        "_size",
        "_under_way",
        "_unpack",
        "_view",
        "frame_size",
        "pending",
        "prefix",
        "saw_control",
    )

    def __init__(self, layout: Layout) -> None:
        refuse.check_layout(layout)
        self._layout = layout
        self._header = layout.offset + layout.width
        self._byteorder: Literal["little", "big"] = "big" if layout.big_endian else "little"
        self._fault: tuple[type[FramingError], str] | None = None
        self._head = b""
        self._under_way = False
        self._opcode = _MESSAGE
        self._lead = 0
        self._size = 0
        self._body = bytearray()
        self._exported: bytearray | None = None
        self._view = _NO_VIEW
        self._unpack: Callable[..., tuple[Any, ...]] | None
        self._unpack = _UNPACK.get((layout.width, layout.big_endian))
        self.pending = 0
        self.frame_size = 0
        self.prefix = b""
        self.saw_control = False

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def feed(self, data: Buffer) -> list[bytes | Control]:
        """Take the next bytes of the stream; return the frames that are now whole.

        The stream may be split anywhere. Raises :exc:`TypeError` for what is not
        bytes-like, :exc:`BufferError` for a view with gaps, and
        :exc:`RuntimeError` while a buffer is exported.
        """
        self._check_fault()
        if self._exported is not None:
            raise refuse.buffer_exported()
        return self._parse(data if type(data) is bytes else readable(data).tobytes())

    def get_buffer(self) -> memoryview:
        """Export the memory that the next bytes of the stream are to be written to.

        It is 256 KiB, or the rest of a large message's own storage, as far as that
        has been allocated. Until :meth:`buffer_updated` the same memory is exported.
        """
        self._check_fault()
        filled = self.pending - self._lead
        if self._exported is not None:
            try:
                if len(self._view):
                    return self._view
            except ValueError:
                pass  # the borrower released it and comes back for another
        elif self._under_way and filled >= 0 and self._size - filled > _DIRECT:
            if len(self._body) - filled < _LARGE:
                self._reserve(filled + _LARGE)
            self._exported = self._body
        else:
            self._exported = take_scratch()
        self._view = memoryview(self._exported)
        if self._exported is self._body:
            self._view = self._view[filled:]
        return self._view

    def buffer_updated(self, nbytes: SupportsIndex) -> list[bytes | Control]:
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`.

        This ends the export: the view is released, and memory that is viewed
        otherwise must not be written to any more. Raises :exc:`ValueError` without
        an export or for a number the buffer does not have; the export goes on then.
        """
        count = index(nbytes)
        if self._fault is not None:
            self._check_fault()
        buffer = self._exported
        if buffer is None:
            raise refuse.nothing_exported()
        direct = buffer is self._body
        filled = self.pending - self._lead if direct else 0
        if not 0 <= count <= len(buffer) - filled:
            raise refuse.bad_count(nbytes, len(buffer) - filled)
        self._exported = None
        if self._view is not _NO_VIEW:
            with suppress(BufferError):  # uvloop lets go of it only after this call
                self._view.release()
            self._view = _NO_VIEW
        if not direct:
            with memoryview(buffer) as view:
                data = view[:count].tobytes()
            spare.append(buffer)
            return self._parse(data)
        self._note_prefix(buffer[filled : filled + min(count, _PREFIX)])
        self.pending += count
        self.saw_control = False
        frames: list[bytes | Control] = []
        if self.pending == self.frame_size:
            self._end_frame(frames)
        return frames

    def finish(self) -> None:
        """Say that the stream has ended.

        :raises IncompleteFrameError: it ends inside a frame
        """
        self._check_fault()
        if self.pending:
            raise refuse.incomplete(self.pending, self.frame_size)

    # For the fast path of a connection. The compiled backend needs neither.

    def lend_buffer(self) -> bytearray | memoryview:
        """Export as :meth:`get_buffer` does, for an event loop, which lets go by itself.

        The scratch buffer is exported without a view of which the release would be tried in
        vain: uvloop lets go of it only after :meth:`buffer_updated`.
        """
        if self._exported is None and not self._under_way and self._fault is None:
            self._exported = scratch = take_scratch()
            return scratch
        return self.get_buffer()

    def take_single(self, nbytes: int) -> bytes | None:
        """Return the small message of which the ``nbytes`` of a buffer that was lent consist, if
        they are just that, as in a dialogue; otherwise nothing has happened."""
        buffer, unpack, layout = self._exported, self._unpack, self._layout
        if buffer is None or unpack is None or self.pending or nbytes > _DIRECT:
            return None
        value: int = unpack(buffer, layout.offset)[0]
        if value + layout.extra != nbytes or not layout.smallest <= value <= layout.largest:
            return None
        if self._view is not _NO_VIEW or len(self.prefix) < _PREFIX:
            return None
        self._exported = None
        self.saw_control = False
        message = bytes(buffer[layout.strip : nbytes])
        spare.append(buffer)
        return message

    def _check_fault(self) -> None:
        if self._fault is not None:
            kind, text = self._fault
            self.saw_control = False
            raise kind(text)

    def _parse(self, data: bytes) -> list[bytes | Control]:
        self._note_prefix(data)
        self.saw_control = False
        frames: list[bytes | Control] = []
        try:
            self._split(data, frames)
        except FramingError as error:
            self._fault = type(error), str(error)
            self._head = b""
            self._body = bytearray()
            self._under_way = False
            self.pending = self.frame_size = 0
            error.frames = frames
            raise
        return frames

    def _note_prefix(self, data: bytes | bytearray) -> None:
        if len(self.prefix) < _PREFIX:
            self.prefix += data[: _PREFIX - len(self.prefix)]

    def _split(self, data: bytes, frames: list[bytes | Control]) -> None:
        place = 0
        while place < len(data):
            if self._under_way:
                place = self._fill(data, place, frames)
            elif self.pending:
                self._head += data[place : place + 1]
                self.pending += 1
                place += 1
                if used := self._read_head(self._head, 0):
                    self._begin(self._head, 0, used, frames)
                    self._head = b""
            else:
                if self._layout.width:
                    place = self._split_whole(data, place, frames)
                    if place == len(data):
                        return
                if used := self._read_head(data, place):
                    if self.frame_size <= len(data) - place:
                        start = place + self._lead
                        place += self.frame_size
                        self.frame_size = 0
                        self._hand_out(data[start : start + self._size], frames)
                    else:
                        self._begin(data, place, used, frames)
                        place += used
                else:
                    self._head = data[place:]
                    self.pending = len(self._head)
                    return

    def _split_whole(self, data: bytes, place: int, frames: list[bytes | Control]) -> int:
        """The hot loop: cut out messages while they are whole and their length is in range.

        A control bit or a fault puts the length out of range; :meth:`_read_head` tells which.
        """
        layout = self._layout
        offset, extra, strip = layout.offset, layout.extra, layout.strip
        smallest, largest = layout.smallest, layout.largest
        header, byteorder = self._header, self._byteorder
        read, append, end = int.from_bytes, frames.append, len(data)
        while (body := place + header) <= end:
            value = read(data[place + offset : body], byteorder)
            after = place + value + extra
            if after > end or not smallest <= value <= largest:
                break
            append(data[place + strip : after])
            place = after
        return place

    def _read_head(self, data: bytes, place: int) -> int:
        """Read the head that starts at ``place``: its size in bytes, 0 if it is incomplete.

        Sets what is known of the frame; all of it once the head is complete.
        """
        layout = self._layout
        if layout.width == 0:
            used, value = _read_varint(data, place)
            self._lead = used
        else:
            used = self._header
            if len(data) - place < used:
                return 0
            value = int.from_bytes(data[place + layout.offset : place + used], self._byteorder)
            if layout.control and value & CONTROL_BIT:
                return self._read_control(data, place, value & LENGTH_MASK)
            self._lead = layout.strip
        if used == 0:
            return 0
        if value > layout.largest:
            raise refuse.too_large(value, layout)
        if value < layout.smallest:
            raise refuse.too_small(value, layout)
        self._opcode = _MESSAGE
        self._size = value + layout.extra - layout.strip
        self.frame_size = value + (layout.extra if layout.width else used)
        return used

    def _read_control(self, data: bytes, place: int, length: int) -> int:
        """Like :meth:`_read_head`, for a control frame: the opcode is part of its head.

        docs/PROTOCOL.md, section 3: of an unknown opcode's body at most 8 bytes are needed.
        """
        used = self._header + 1
        if length == 0:
            raise refuse.control_empty()
        if length > self._layout.max_control:
            raise refuse.control_too_large(length, self._layout)
        self.frame_size = self._header + length
        if len(data) - place < used:
            return 0
        self._opcode = data[place + self._header]
        self._lead = used
        self._size = length - 1
        if self._opcode not in self._layout.known:
            self._size = min(self._size, UNKNOWN_BODY_KEPT)
        return used

    def _begin(self, data: bytes, place: int, used: int, frames: list[bytes | Control]) -> None:
        """Put a frame under way, of which only the head (``used`` bytes) was consumed."""
        self._under_way = True
        self.pending = 0
        self._fill(data[place : place + used], 0, frames)

    def _fill(self, data: bytes, place: int, frames: list[bytes | Control]) -> int:
        """Move bytes from ``place`` on to the frame under way; return where it stopped."""
        before = self.pending
        after = min(before + len(data) - place, self.frame_size)
        start = max(before, self._lead)
        stop = min(after, self._lead + self._size)
        if start < stop:
            self._reserve(stop - self._lead)
            self._body[start - self._lead : stop - self._lead] = data[
                place + start - before : place + stop - before
            ]
        self.pending = after
        if after == self.frame_size:
            self._end_frame(frames)
        return place + after - before

    def _reserve(self, need: int) -> None:
        """Grow the storage to ``need`` bytes: double, so that copies stay few.

        What a head declares is an upper bound and nothing more: a peer that
        declares much and sends little costs little.
        """
        capacity = len(self._body)
        if capacity < need:
            more = bytes(min(self._size, max(need, 2 * capacity, _FIRST_STORAGE)) - capacity)
            try:
                self._body += more
            except BufferError:  # a borrower kept a view: the memory is left to it
                self._body = self._body + more

    def _end_frame(self, frames: list[bytes | Control]) -> None:
        body = bytes(self._body)
        self._body = bytearray()
        self._under_way = False
        self.pending = self.frame_size = 0
        self._hand_out(body, frames)

    def _hand_out(self, body: bytes, frames: list[bytes | Control]) -> None:
        if self._opcode == _MESSAGE:
            frames.append(body)
        else:
            frames.append(Control(self._opcode, body))
            self.saw_control = True


@final
class Encoder:
    """Puts heads in front of messages.

    Raises :exc:`~sealframe.errors.MessageTooLargeError` for a message over the
    layout's maximum, :exc:`ValueError` for one below its minimum, :exc:`TypeError`
    for what is not bytes-like and :exc:`BufferError` for a view with gaps.
    """

    __slots__ = (
        "_added",
        "_byteorder",
        "_header",
        "_largest",
        "_layout",
        "_overlap",
        "_smallest",
        "_width",
    )

    def __init__(self, layout: Layout) -> None:
        refuse.check_layout(layout)
        self._layout = layout
        self._header = layout.offset + layout.width
        self._overlap = layout.strip < self._header
        self._byteorder: Literal["little", "big"] = "big" if layout.big_endian else "little"
        # The head of most layouts is the length field alone: the message's size and what is added
        # to it, in so many bytes. In the others no size is between these.
        simple = 0 < layout.width == layout.strip and not layout.offset
        self._added = layout.strip - layout.extra
        self._width = layout.width
        self._smallest = layout.minimum
        self._largest = layout.maximum if simple else -1

    def __reduce__(self) -> NoReturn:
        raise refuse.no_pickle(self)

    def encode(self, payload: Buffer) -> bytes:
        """Return the frame that carries ``payload``."""
        if type(payload) is bytes:
            size = len(payload)
            if self._smallest <= size <= self._largest:
                return (size + self._added).to_bytes(self._width, self._byteorder) + payload
        return b"".join(self._pieces(payload))

    def encode_many(self, payloads: Iterable[Buffer]) -> bytes:
        """Return the frames that carry ``payloads``, joined; or raise and make none."""
        pieces: list[Buffer] = []
        for payload in list(payloads):
            pieces += self._pieces(payload)
        return b"".join(pieces)

    def pack(self, payloads: Iterable[Buffer]) -> list[bytes]:
        """Return the frames that carry ``payloads`` as buffers to be written in one call.

        Small ones are joined. A payload of 64 KiB or more is a buffer of its own and not
        copied, where nothing of its head stands in it; its head ends the buffer before it,
        so that no frame is split over two tiny writes.
        """
        buffers: list[bytes] = []
        pieces: list[Buffer] = []
        smallest, largest = self._smallest, min(self._largest, _LARGE - 1)
        added, width, byteorder = self._added, self._width, self._byteorder
        for payload in list(payloads):
            message = payload if type(payload) is bytes else readable(payload).tobytes()
            size = len(message)
            if smallest <= size <= largest:
                pieces += ((size + added).to_bytes(width, byteorder), message)
            elif size < _LARGE or self._overlap:
                pieces += self._pieces(message)
            else:
                pieces.append(self._make_head(size))
                buffers += (b"".join(pieces), message)
                pieces = []
        if pieces:
            buffers.append(b"".join(pieces))
        return buffers

    def head(self, length: SupportsIndex) -> bytes:
        """Return what goes before a payload of ``length`` bytes.

        Raises :exc:`~sealframe.errors.NotSupportedError` where the payload itself
        has to bring bytes of the header.
        """
        if self._overlap:
            raise refuse.no_head(self._layout)
        return self._make_head(index(length))

    def _pieces(self, payload: Buffer) -> tuple[Buffer, ...]:
        if type(payload) is bytes:
            size = len(payload)
        else:
            payload = readable(payload)
            size = payload.nbytes
        if not self._overlap:
            return self._make_head(size), payload
        layout = self._layout
        frame = bytearray(layout.strip)
        field = self._make_field(size)
        frame += payload
        frame[layout.offset : self._header] = field
        return (frame,)

    def _make_head(self, size: int) -> bytes:
        layout = self._layout
        field = self._make_field(size)
        return bytes(layout.offset) + field + bytes(layout.strip - self._header)

    def _make_field(self, size: int) -> bytes:
        layout = self._layout
        if size > layout.maximum:
            raise refuse.message_too_large(size, layout)
        if size < layout.minimum:
            raise refuse.message_too_small(size, layout)
        if layout.width == 0:
            return _write_varint(size)
        return (size + layout.strip - layout.extra).to_bytes(layout.width, self._byteorder)


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Read a LEB128 number: its size in bytes, 0 if it is incomplete, and its value."""
    value = 0
    for count, byte in enumerate(data[place : place + 10]):
        if count == 9 and byte > 1:
            raise refuse.malformed_varint()
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return count + 1, value
    return 0, 0


def _write_varint(value: int) -> bytes:
    field = bytearray()
    while value > 0x7F:
        field.append(value & 0x7F | 0x80)
        value >>= 7
    field.append(value)
    return bytes(field)
