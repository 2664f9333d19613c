# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False, freethreading_compatible=True
"""The framing codec in C.

The pure backend, ``sealframe.framing._codec_py``, has the same steps under the same names.

Three rules keep it safe.

- The layout's numbers are checked once, by ``check_layout``; no read or write
  below depends on a number that came from elsewhere, except through a bound
  that stands beside it.
- A ``bytes`` object that is still being written belongs to its decoder alone.
  Exporting its memory adds a reference, which stays until the last view of the
  export has gone; meanwhile the object is neither moved nor freed.
- Making objects can run finalisers, and those could call this decoder again:
  ``busy`` keeps them out. Without the GIL its methods are critical sections, so that it
  keeps other threads out as well.
"""

cimport cython
from cpython.list cimport PyList_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from operator import index

from sealframe.errors import FramingError
from sealframe.framing.codec_types import Control
from sealframe.framing.native import CONTROL_BIT, LENGTH_MASK, UNKNOWN_BODY_KEPT

include "_borrowed.pxi"

__all__ = ["Decoder", "Encoder"]

# Kept equal to the constants of the same names in the pure backend.
cdef enum:
    _MESSAGE = -1
    _MAX_VARINT = 10

cdef uint32_t _CONTROL_BIT = CONTROL_BIT
cdef uint32_t _LENGTH_MASK = LENGTH_MASK
cdef Py_ssize_t _UNKNOWN_BODY_KEPT = UNKNOWN_BODY_KEPT


cdef inline uint64_t _read_uint(const uint8_t *place, int width, bint big_endian) noexcept:
    cdef uint64_t value = 0
    cdef int i
    if width == 4 and not big_endian:
        return (
            place[0]
            | <uint32_t>place[1] << 8
            | <uint32_t>place[2] << 16
            | <uint32_t>place[3] << 24
        )
    for i in range(width):
        value = value << 8 | place[i if big_endian else width - 1 - i]
    return value


cdef inline void _write_uint(
    uint8_t *place, uint64_t value, int width, bint big_endian
) noexcept:
    cdef int i
    for i in range(width):
        place[width - 1 - i if big_endian else i] = value & 0xFF
        value >>= 8


cdef Py_ssize_t _read_varint(
    const uint8_t *place, Py_ssize_t available, uint64_t *value
) except -1:
    """Read a LEB128 number: its size in bytes, 0 if it is incomplete."""
    cdef uint64_t total = 0
    cdef Py_ssize_t count
    for count in range(min(available, _MAX_VARINT)):
        if count == 9 and place[count] > 1:
            raise refuse.malformed_varint()
        total |= <uint64_t>(place[count] & 0x7F) << (7 * count)
        if place[count] < 0x80:
            value[0] = total
            return count + 1
    return 0


cdef inline Py_ssize_t _varint_size(uint64_t value) noexcept:
    cdef Py_ssize_t size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline void _write_varint(uint8_t *place, uint64_t value) noexcept:
    while value > 0x7F:
        place[0] = value & 0x7F | 0x80
        place += 1
        value >>= 7
    place[0] = <uint8_t>value


@cython.final
cdef class Decoder:
    """Cuts one byte stream into frames. For the contract see the pure backend."""

    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t frame_size
    cdef readonly bint saw_control

    # Each idle connection has one: what is small stands together, and takes a byte.
    cdef int opcode
    cdef uint8_t width
    cdef uint8_t big_endian
    cdef uint8_t control
    cdef uint8_t under_way
    cdef uint8_t busy
    cdef uint8_t exports_body
    cdef uint8_t first_size
    cdef uint8_t[_PREFIX] first

    cdef object layout
    cdef Py_ssize_t offset
    cdef Py_ssize_t header
    cdef Py_ssize_t strip
    cdef uint64_t smallest
    cdef uint64_t largest
    cdef Py_ssize_t smallest_frame
    cdef Py_ssize_t max_control
    cdef object known

    cdef uint8_t *head
    cdef Py_ssize_t lead
    cdef Py_ssize_t size
    cdef PyObject *body
    cdef Py_ssize_t capacity

    # Messages of the last read.
    cdef Py_ssize_t usual
    cdef tuple fault
    cdef BorrowedBuffer exported
    cdef object view

    def __cinit__(self, layout):
        refuse.check_layout(layout)
        self.layout = layout
        self.width = layout.width
        self.big_endian = layout.big_endian
        self.control = layout.control
        self.offset = layout.offset
        self.header = layout.offset + layout.width
        self.strip = layout.strip
        self.smallest = layout.smallest
        self.largest = layout.largest
        self.smallest_frame = layout.smallest + layout.extra
        self.max_control = layout.max_control
        self.known = layout.known
        self.opcode = _MESSAGE
        # The longest head that can be incomplete: a header and an opcode, or a varint.
        self.head = <uint8_t *>PyMem_Malloc(max(self.header + 1, _MAX_VARINT))
        if self.head == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.head)
        drop(self.body)

    def __reduce__(self):
        raise refuse.no_pickle(self)

    @property
    def prefix(self):
        return PyBytes_FromStringAndSize(<const char *>self.first, self.first_size)

    @cython.critical_section
    def feed(self, data):
        """Take the next bytes of the stream; return the frames that are now whole."""
        cdef Py_buffer view
        self.check_feed()
        if PyBytes_CheckExact(data):
            return self.parse(<const uint8_t *>PyBytes_AsString(data), PyBytes_Size(data))
        _acquire(data, &view)
        try:
            self.check_feed()  # again: __buffer__ may have called this decoder
            return self.parse(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    @cython.critical_section
    def get_buffer(self):
        """Export the memory that the next bytes of the stream are to be written to."""
        self.check()
        if self.exported is not None:
            try:
                len(self.view)
            except ValueError:
                # The borrower released it and comes back for another.
                self.view = memoryview(self.exported)
            return self.view
        self.busy = True
        try:
            self.export()
        except BaseException as error:
            self.kill(error)
            raise
        finally:
            self.busy = False
        return self.view

    @cython.critical_section
    def buffer_updated(self, nbytes):
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`."""
        cdef Py_ssize_t count = PyNumber_AsSsize_t(nbytes, NULL)
        cdef list frames = []
        cdef BorrowedBuffer exported = self.exported
        self.check()
        if exported is None:
            raise refuse.nothing_exported()
        if not 0 <= count <= exported.size:
            raise refuse.bad_count(nbytes, exported.size)
        self.exported = None
        # uvloop lets go of it only after this call; to ask first costs less than to be refused.
        if not exports_of(self.view):
            self.view.release()
        self.view = None
        if not self.exports_body:
            try:
                return self.parse(<const uint8_t *>exported.start, count)
            finally:
                put_back(&spare_scratch, exported)
        self.note_prefix(<const uint8_t *>exported.start, count)
        if exported.views == 0:
            exported.clear()
        self.pending += count
        self.saw_control = False
        if self.pending == self.frame_size:
            self.end_frame(frames)
        return frames

    @cython.critical_section
    def finish(self):
        """Raise IncompleteFrameError if the stream, which has ended, ends inside a frame."""
        self.check()
        if self.pending:
            raise refuse.incomplete(self.pending, self.frame_size)

    cdef int check(self) except -1:
        if self.busy:
            raise refuse.busy()
        if self.fault is not None:
            kind, text = self.fault
            self.saw_control = False
            raise kind(text)
        return 0

    cdef int check_feed(self) except -1:
        self.check()
        if self.exported is not None:
            raise refuse.buffer_exported()
        return 0

    cdef int kill(self, error) except -1:
        """End this decoder: where the next frame starts is not known any more."""
        drop(self.body)
        self.body = NULL
        self.capacity = 0
        self.under_way = False
        self.pending = self.frame_size = 0
        self.fault = (type(error), str(error))
        return 0

    cdef int export(self) except -1:
        cdef BorrowedBuffer exported
        cdef Py_ssize_t filled = self.pending - self.lead
        self.exports_body = self.under_way and filled >= 0 and self.size - filled > _DIRECT
        if self.exports_body:
            if self.capacity - filled < _LARGE:
                self.reserve(filled + _LARGE)
            exported = BorrowedBuffer.__new__(BorrowedBuffer)
            exported.owner = <object>self.body
            exported.start = bytes_memory(self.body) + filled
            exported.size = self.capacity - filled
        else:
            exported = _take_scratch()
        self.view = memoryview(exported)
        self.exported = exported
        return 0

    cdef list parse(self, const uint8_t *data, Py_ssize_t size):
        cdef list frames
        self.note_prefix(data, size)
        self.saw_control = False
        self.busy = True
        try:
            frames = _new_frames(self.usual, size)
            self.split(data, data + size, frames)
        except BaseException as error:
            self.kill(error)
            if isinstance(error, FramingError):
                error.frames = frames
            raise
        finally:
            self.busy = False
        self.usual = PyList_GET_SIZE(frames)
        return frames

    cdef void note_prefix(self, const uint8_t *data, Py_ssize_t size) noexcept:
        size = min(size, _PREFIX - self.first_size)
        if size > 0:
            memcpy(self.first + self.first_size, data, size)
            self.first_size += size

    cdef int split(self, const uint8_t *place, const uint8_t *end, list frames) except -1:
        cdef const uint8_t *start
        cdef Py_ssize_t used
        while place < end:
            if self.under_way:
                place = self.fill(place, end, frames)
            elif self.pending:
                self.head[self.pending] = place[0]
                self.pending += 1
                place += 1
                used = self.read_head(self.head, self.pending)
                if used:
                    self.begin(self.head, used, frames)
            else:
                if self.width:
                    place = self.split_whole(place, end, frames)
                    if place == end:
                        break
                used = self.read_head(place, end - place)
                if used == 0:
                    self.pending = end - place
                    memcpy(self.head, place, self.pending)
                    break
                if self.frame_size <= end - place:
                    start = place + self.lead
                    place += self.frame_size
                    self.frame_size = 0
                    self.hand_out(
                        PyBytes_FromStringAndSize(<const char *>start, self.size), frames
                    )
                else:
                    self.begin(place, used, frames)
                    place += used
        return 0

    cdef const uint8_t *split_whole(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """The hot loop: cut out messages while they are whole and their length is in range.

        A control bit or a fault puts the length out of range; ``read_head`` tells which.
        """
        cdef int width = self.width
        cdef bint big_endian = self.big_endian
        cdef Py_ssize_t offset = self.offset
        cdef Py_ssize_t header = self.header
        cdef Py_ssize_t strip = self.strip
        cdef uint64_t smallest = self.smallest
        cdef uint64_t largest = self.largest
        cdef uint64_t value
        cdef Py_ssize_t frame_size
        while end - place >= header:
            value = _read_uint(place + offset, width, big_endian)
            if not smallest <= value <= largest:
                break
            frame_size = self.smallest_frame + <Py_ssize_t>(value - smallest)
            if frame_size > end - place:
                break
            add_new(frames, new_bytes(<const char *>place + strip, frame_size - strip))
            place += frame_size
        return place

    cdef Py_ssize_t read_head(self, const uint8_t *place, Py_ssize_t available) except -1:
        """Read the head that starts at ``place``: its size in bytes, 0 if it is incomplete.

        Sets what is known of the frame; all of it once the head is complete.
        """
        cdef Py_ssize_t used
        cdef uint64_t value = 0
        if self.width == 0:
            used = _read_varint(place, available, &value)
            if used == 0:
                return 0
        else:
            used = self.header
            if available < used:
                return 0
            value = _read_uint(place + self.offset, self.width, self.big_endian)
            if self.control and value & _CONTROL_BIT:
                return self.read_control(place, available, value & _LENGTH_MASK)
        if value > self.largest:
            raise refuse.too_large(value, self.layout)
        if value < self.smallest:
            raise refuse.too_small(value, self.layout)
        self.opcode = _MESSAGE
        self.frame_size = self.smallest_frame + <Py_ssize_t>(value - self.smallest)
        if self.width == 0:
            self.frame_size += used
            self.lead = used
        else:
            self.lead = self.strip
        self.size = self.frame_size - self.lead
        return used

    cdef Py_ssize_t read_control(
        self, const uint8_t *place, Py_ssize_t available, Py_ssize_t length
    ) except -1:
        """Like ``read_head``, for a control frame: the opcode is part of its head."""
        cdef Py_ssize_t used = self.header + 1
        if length == 0:
            raise refuse.control_empty()
        if length > self.max_control:
            raise refuse.control_too_large(length, self.layout)
        self.frame_size = self.header + length
        if available < used:
            return 0
        self.opcode = place[self.header]
        self.lead = used
        self.size = length - 1
        if self.opcode not in self.known:
            self.size = min(self.size, _UNKNOWN_BODY_KEPT)
        return used

    cdef int begin(self, const uint8_t *head, Py_ssize_t used, list frames) except -1:
        """Put a frame under way, of which only the head (``used`` bytes) was consumed."""
        self.under_way = True
        self.pending = 0
        self.fill(head, head + used, frames)
        return 0

    cdef const uint8_t *fill(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Move bytes from ``place`` on to the frame under way; return where it stopped."""
        cdef Py_ssize_t before = self.pending
        cdef Py_ssize_t after = min(before + (end - place), self.frame_size)
        cdef Py_ssize_t start = max(before, self.lead)
        cdef Py_ssize_t stop = min(after, self.lead + self.size)
        if start < stop:
            self.reserve(stop - self.lead)
            memcpy(
                bytes_memory(self.body) + (start - self.lead),
                place + (start - before),
                stop - start,
            )
        self.pending = after
        if after == self.frame_size:
            self.end_frame(frames)
        return place + (after - before)

    cdef int reserve(self, Py_ssize_t need) except -1:
        """Grow the storage to ``need`` bytes: double, so that copies stay few.

        What a head declares is an upper bound and nothing more: a peer that
        declares much and sends little costs little.
        """
        cdef Py_ssize_t grown
        cdef PyObject *body
        if self.capacity >= need:
            return 0
        grown = min(self.size, max(need, 2 * self.capacity, _FIRST_STORAGE))
        if self.body != NULL and references(self.body) == 1:
            _PyBytes_Resize(&self.body, grown)
        else:
            body = new_bytes(NULL, grown)
            if self.body != NULL:
                # A borrower kept a view: the old memory is left to it.
                memcpy(bytes_memory(body), bytes_memory(self.body), self.capacity)
                drop(self.body)
            self.body = body
        self.capacity = grown
        return 0

    cdef int end_frame(self, list frames) except -1:
        body = b""
        if self.body != NULL:
            # It is full, and from here on it is like any other bytes object.
            body = <object>self.body
            drop(self.body)
            self.body = NULL
        self.capacity = 0
        self.under_way = False
        self.pending = self.frame_size = 0
        self.hand_out(body, frames)
        return 0

    cdef int hand_out(self, object body, list frames) except -1:
        if self.opcode != _MESSAGE:
            # Like Control(opcode, body), but without running Python code.
            body = tuple.__new__(Control, (self.opcode, body))
            self.saw_control = True
        frames.append(body)
        return 0


@cython.final
cdef class Encoder:
    """Puts heads in front of messages. For the contract see the pure backend."""

    cdef object layout
    cdef int width
    cdef bint big_endian
    cdef Py_ssize_t offset
    cdef Py_ssize_t header
    cdef Py_ssize_t strip
    cdef uint64_t smallest
    cdef Py_ssize_t minimum
    cdef Py_ssize_t maximum

    def __cinit__(self, layout):
        refuse.check_layout(layout)
        self.layout = layout
        self.width = layout.width
        self.big_endian = layout.big_endian
        self.offset = layout.offset
        self.header = layout.offset + layout.width
        self.strip = layout.strip
        self.smallest = layout.smallest
        self.minimum = layout.minimum
        self.maximum = layout.maximum

    def __reduce__(self):
        raise refuse.no_pickle(self)

    def encode(self, payload):
        """Return the frame that carries ``payload``."""
        cdef Py_buffer view
        if PyBytes_CheckExact(payload):
            return self.make_frame(
                <const uint8_t *>PyBytes_AsString(payload), PyBytes_Size(payload)
            )
        _acquire(payload, &view)
        try:
            return self.make_frame(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def encode_many(self, payloads):
        """Return the frames that carry ``payloads``, joined."""
        cdef list messages = self.all_bytes(payloads)
        return self.join(messages, 0, len(messages), -1)

    def pack(self, payloads):
        """Return the frames that carry ``payloads`` as buffers to be written in one call."""
        cdef list messages = self.all_bytes(payloads)
        cdef Py_ssize_t count = len(messages)
        cdef Py_ssize_t first = 0
        cdef Py_ssize_t size
        cdef Py_ssize_t i
        cdef list buffers = []
        for i in range(count):
            size = PyBytes_Size(messages[i])
            if size >= _LARGE and (self.width == 0 or self.strip >= self.header):
                buffers.append(self.join(messages, first, i, size))
                buffers.append(messages[i])
                first = i + 1
        if first < count:
            buffers.append(self.join(messages, first, count, -1))
        return buffers

    cdef list all_bytes(self, payloads):
        """Return a list of our own, and of bytes: nothing in it can change its size any more."""
        cdef list messages = list(payloads)
        cdef Py_ssize_t i
        for i in range(len(messages)):
            if not PyBytes_CheckExact(messages[i]):
                try:
                    messages[i] = _copied(messages[i])
                except (TypeError, BufferError):
                    # Of several faults the first one is told, here as in the pure backend.
                    self.join(messages, 0, i, -1)
                    raise
        return messages

    cdef bytes join(self, list messages, Py_ssize_t first, Py_ssize_t last, Py_ssize_t head):
        """Return the frames of some messages, and the head of one of ``head`` bytes, if not -1."""
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t added
        cdef Py_ssize_t i
        cdef uint8_t *place
        for i in range(first, last):
            added = self.frame_size(PyBytes_Size(messages[i]))
            if added > PY_SSIZE_T_MAX - total:
                raise MemoryError
            total += added
        if head >= 0:
            total += self.frame_size(head) - head
        frames = PyBytes_FromStringAndSize(NULL, total)
        place = <uint8_t *>PyBytes_AsString(frames)
        for i in range(first, last):
            message = messages[i]
            place = self.write_frame(
                place, <const uint8_t *>PyBytes_AsString(message), PyBytes_Size(message)
            )
        if head >= 0:
            self.write_head(place, head)
        return frames

    def head(self, length):
        """Return what goes before a payload of ``length`` bytes."""
        cdef Py_ssize_t size
        if self.strip < self.header:
            raise refuse.no_head(self.layout)
        length = index(length)
        size = PyNumber_AsSsize_t(length, NULL)
        # Named as it was given: size itself may have been clipped.
        if size > self.maximum:
            raise refuse.message_too_large(length, self.layout)
        if size < self.minimum:
            raise refuse.message_too_small(length, self.layout)
        head = PyBytes_FromStringAndSize(NULL, self.frame_size(size) - size)
        self.write_head(<uint8_t *>PyBytes_AsString(head), size)
        return head

    cdef bytes make_frame(self, const uint8_t *payload, Py_ssize_t size):
        frame = PyBytes_FromStringAndSize(NULL, self.frame_size(size))
        self.write_frame(<uint8_t *>PyBytes_AsString(frame), payload, size)
        return frame

    cdef Py_ssize_t frame_size(self, Py_ssize_t size) except -1:
        """Return the size of the frame that carries ``size`` bytes, if it can be sent."""
        if size > self.maximum:
            raise refuse.message_too_large(size, self.layout)
        if size < self.minimum:
            raise refuse.message_too_small(size, self.layout)
        return size + (self.strip if self.width else _varint_size(size))

    cdef void write_head(self, uint8_t *place, Py_ssize_t size) noexcept:
        """Write ``strip`` bytes of header with the length field in them, or the varint."""
        if self.width == 0:
            _write_varint(place, size)
            return
        memset(place, 0, self.strip)
        self.write_length(place, size)

    cdef void write_length(self, uint8_t *frame, Py_ssize_t size) noexcept:
        _write_uint(
            frame + self.offset,
            self.smallest + <uint64_t>(size - self.minimum),
            self.width,
            self.big_endian,
        )

    cdef uint8_t *write_frame(
        self, uint8_t *place, const uint8_t *payload, Py_ssize_t size
    ) noexcept:
        """Write a whole frame, and return where the next one goes."""
        cdef Py_ssize_t strip = self.strip if self.width else _varint_size(size)
        if self.strip >= self.header:
            self.write_head(place, size)
            memcpy(place + strip, payload, size)
        else:
            # The payload brings bytes of the header, and the length goes over them.
            memset(place, 0, strip)
            memcpy(place + strip, payload, size)
            self.write_length(place, size)
        return place + strip + size
