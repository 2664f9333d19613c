# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""The decoder for layouts of all kinds, in C.

The pure backend, ``sealframe.framing._varied_py``, has the same steps under the same names.

Three rules keep it safe.

- The plan's numbers are checked once, by ``check_plan``; no read or write below depends on a
  number that came from elsewhere, except through a bound that stands beside it.
- Memory that is kept of an unfinished frame belongs to its decoder alone, and nobody gets a view
  of it: checksums are worked out from copies.
- Functions of checksums, finalisers and ``__buffer__`` are Python code that could call this
  decoder again: ``busy`` keeps them out. What is being read cannot go or move meanwhile: it is
  a ``bytes`` object of the caller's, or a buffer that is held, or what the decoder keeps.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AsString,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_Size,
)
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from sealframe.errors import FramingError
from sealframe.framing import faults
from sealframe.framing import plan as plans
from sealframe.framing import refusals as refuse
from sealframe.framing.scratch import spare, take_scratch

__all__ = ["Decoder"]

cdef extern from "Python.h":
    # With NULL, numbers out of range are clipped.
    Py_ssize_t PyNumber_AsSsize_t(object, PyObject *) except? -1

# Kept equal to the constants of the same names in ``sealframe.framing.plan``.
cdef enum:
    UINT = 0
    DIGITS = 1
    UNTIL = 2
    BCD = 3
    VARINT = 4
    BER = 5
    ESCAPED = 6
    HEAD = 0
    BODY = 1

cdef enum:
    _PREFIX = 8
    _MOST_PAIRS = 8
    _FIRST_STORAGE = 64
    # Storage of so many bytes is kept from one frame to the next.
    _SMALL = 4096

assert (UINT, DIGITS, UNTIL, BCD, VARINT, BER, ESCAPED) == (
    plans.UINT, plans.DIGITS, plans.UNTIL, plans.BCD, plans.VARINT, plans.BER, plans.ESCAPED
)
assert (HEAD, BODY) == (plans.HEAD, plans.BODY)

# What each byte is as a hexadecimal digit; 255 for none.
cdef uint8_t[256] _digits


cdef int _fill_digits() except -1:
    cdef int i
    memset(_digits, 255, 256)
    for i in range(10):
        _digits[<int>c"0" + i] = i
    for i in range(6):
        _digits[<int>c"a" + i] = _digits[<int>c"A" + i] = 10 + i
    return 0


_fill_digits()


cdef struct Pair:
    uint64_t key
    Py_ssize_t more


cdef inline uint64_t _read_uint(const uint8_t *place, Py_ssize_t width, bint big_endian) noexcept:
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    for i in range(width):
        value = value << 8 | place[i if big_endian else width - 1 - i]
    return value


@cython.final
cdef class Decoder:
    """Cuts one byte stream into frames. For the contract see the pure backend."""

    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t frame_size

    # Each idle connection has one: what is small stands together, and takes a byte.
    cdef uint8_t kind
    cdef uint8_t base
    cdef uint8_t width
    cdef uint8_t shift
    cdef uint8_t big_endian
    cdef uint8_t includes_header
    cdef uint8_t bare
    cdef uint8_t magic_behind
    cdef uint8_t busy
    cdef uint8_t wider_count
    cdef uint8_t adds_count
    cdef uint8_t first_size
    cdef uint8_t[_PREFIX] first

    cdef object plan
    cdef bytes until
    cdef bytes magic
    cdef bytes magic_mask
    cdef bytes trailer
    cdef tuple head_checks
    cdef tuple end_checks
    cdef Py_ssize_t offset
    cdef Py_ssize_t until_size
    cdef Py_ssize_t magic_size
    cdef Py_ssize_t magic_at
    cdef Py_ssize_t trailer_size
    cdef Py_ssize_t head_sum
    cdef Py_ssize_t tail
    cdef uint64_t mask
    cdef uint64_t largest
    cdef int64_t unit
    cdef int64_t adjustment
    cdef int64_t strip
    cdef int64_t align
    cdef int64_t minimum
    cdef int64_t maximum
    cdef int64_t minimum_frame
    cdef int64_t maximum_frame
    cdef Pair[_MOST_PAIRS] wider
    cdef Pair[_MOST_PAIRS] adds

    # Of the frame whose head was read last.
    cdef Py_ssize_t header
    cdef Py_ssize_t counted
    cdef Py_ssize_t start
    cdef int stage

    cdef uint8_t *kept
    cdef Py_ssize_t kept_size
    cdef Py_ssize_t capacity

    cdef Py_ssize_t count
    cdef tuple fault
    cdef object exported
    cdef object view

    def __cinit__(self, plan):
        faults.check_plan(plan)
        self.plan = plan
        self.kind = plan.kind
        self.base = plan.base
        self.width = plan.width
        self.shift = plan.shift
        self.big_endian = plan.big_endian
        self.includes_header = plan.includes_header
        self.until = plan.until
        self.until_size = len(plan.until)
        self.magic = plan.magic
        self.magic_mask = plan.magic_mask
        self.magic_size = len(plan.magic)
        self.magic_at = plan.magic_at
        self.trailer = plan.trailer
        self.trailer_size = len(plan.trailer)
        self.head_checks = plan.head_checks
        self.end_checks = plan.end_checks
        self.offset = plan.offset
        self.head_sum = plan.head_sum
        self.tail = plan.end_sum + self.trailer_size
        self.mask = plan.mask
        self.largest = plan.largest
        self.unit = plan.unit
        self.adjustment = plan.adjustment
        self.strip = plan.strip
        self.align = plan.align
        self.minimum = plan.minimum
        self.maximum = plan.maximum
        self.minimum_frame = plan.minimum_frame
        self.maximum_frame = plan.maximum_frame
        self.wider_count = self.read_pairs(plan.wider, self.wider)
        self.adds_count = self.read_pairs(plan.adds, self.adds)
        self.magic_behind = plan.magic_at + self.magic_size > plan.offset
        self.bare = not (
            plan.head_checks or plan.end_checks or plan.trailer or self.magic_behind
        )

    cdef int read_pairs(self, tuple given, Pair *pairs) except -1:
        cdef int i
        if len(given) > _MOST_PAIRS:
            raise faults.contradictory(self.plan)
        for i in range(len(given)):
            key, more = given[i]
            pairs[i].key = key
            pairs[i].more = more
        return len(given)

    def __dealloc__(self):
        PyMem_Free(self.kept)

    def __reduce__(self):
        raise refuse.no_pickle(self)

    @property
    def prefix(self):
        return PyBytes_FromStringAndSize(<const char *>self.first, self.first_size)

    @property
    def saw_control(self):
        return False

    def feed(self, data, /):
        """Take the next bytes of the stream; return the messages that are now whole."""
        cdef Py_buffer view
        self.check_feed()
        if PyBytes_CheckExact(data):
            return self.parse(<const uint8_t *>PyBytes_AsString(data), PyBytes_Size(data))
        try:
            PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        except BufferError:
            raise refuse.not_contiguous() from None
        except TypeError:
            raise refuse.not_bytes(data) from None
        try:
            self.check_feed()  # again: __buffer__ may have called this decoder
            return self.parse(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def get_buffer(self):
        """Export the memory that the next bytes of the stream are to be written to: 256 KiB."""
        self.check()
        if self.exported is None:
            self.exported = take_scratch()
        elif self.view is not None:
            try:
                len(self.view)
                return self.view
            except ValueError:
                pass  # the borrower released it and comes back for another
        self.view = memoryview(self.exported)
        return self.view

    def buffer_updated(self, nbytes, /):
        """Take the first ``nbytes`` bytes of the exported buffer, like :meth:`feed`."""
        cdef Py_ssize_t count = PyNumber_AsSsize_t(nbytes, NULL)
        cdef Py_buffer view
        self.check()
        scratch = self.exported
        if scratch is None:
            raise refuse.nothing_exported()
        if not 0 <= count <= len(scratch):
            raise refuse.bad_count(nbytes, len(scratch))
        self.exported = None
        if self.view is not None:
            try:
                self.view.release()
            except BufferError:
                pass  # uvloop lets go of it only after this call
            self.view = None
        PyObject_GetBuffer(scratch, &view, PyBUF_SIMPLE)
        try:
            return self.parse(<const uint8_t *>view.buf, count)
        finally:
            PyBuffer_Release(&view)
            spare.append(scratch)

    def finish(self):
        """Raise IncompleteFrameError if the stream, which has ended, ends inside a frame."""
        self.check()
        if self.pending:
            raise refuse.incomplete(self.pending, self.frame_size, number=self.count + 1)

    def advance(self, bytes data not None, Py_ssize_t place, list frames not None, /):
        """Take bytes from ``place`` on, and none behind the end of the frame."""
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AsString(data)
        cdef const uint8_t *end = first + PyBytes_Size(data)
        cdef const uint8_t *stop
        if not 0 <= place < PyBytes_Size(data):
            raise IndexError(place)
        if self.busy:
            raise refuse.busy()
        self.busy = True
        try:
            stop = self.cut(first + place, end, frames)
        finally:
            self.busy = False
        return stop - first

    cdef int check(self) except -1:
        if self.busy:
            raise refuse.busy()
        if self.fault is not None:
            kind, text = self.fault
            raise kind(text)
        return 0

    cdef int check_feed(self) except -1:
        self.check()
        if self.exported is not None:
            raise refuse.buffer_exported()
        return 0

    cdef list parse(self, const uint8_t *data, Py_ssize_t size):
        cdef list frames = []
        cdef const uint8_t *end = data + size
        cdef Py_ssize_t noted = min(size, _PREFIX - self.first_size)
        if noted > 0:
            memcpy(self.first + self.first_size, data, noted)
            self.first_size += noted
        self.busy = True
        try:
            while data < end:
                data = self.cut(data, end, frames)
        except FramingError as error:
            self.die(type(error), str(error))
            error.frames = frames
            raise
        except BaseException as error:
            # From a function that the program gave. Where the next frame starts is not known.
            self.die(FramingError, f"the decoder was left by {type(error).__name__}: {error}")
            raise
        finally:
            self.busy = False
        self.count += len(frames)
        return frames

    cdef int die(self, kind, text) except -1:
        PyMem_Free(self.kept)
        self.kept = NULL
        self.kept_size = self.capacity = 0
        self.pending = self.frame_size = 0
        self.fault = (kind, text)
        return 0

    cdef const uint8_t *cut(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Cut out whole frames until there are no more, or to the end of the one under way."""
        cdef Py_ssize_t have = end - place
        if self.kept_size:
            while place < end:
                place = self.keep(place, end, frames)
                if self.kept_size == 0:
                    break
            self.pending = self.kept_size
            return place
        if not self.read_head(place, have):
            self.store(place, have)
        else:
            if not self.bare:
                self.stage = 0
                self.verify(place, min(have, self.frame_size))
            if self.frame_size <= have:
                frames.append(
                    PyBytes_FromStringAndSize(
                        <const char *>place + self.start, self.counted - self.start
                    )
                )
                place += self.frame_size
                self.frame_size = 0
                return place
            self.store(place, have)
        self.pending = self.kept_size
        return end

    cdef const uint8_t *keep(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Take bytes from ``place`` on for the frame that is kept; return where it stopped."""
        cdef Py_ssize_t known = self.frame_size
        cdef Py_ssize_t count = (known if known else self.offset) - self.kept_size
        count = min(max(count, 1), end - place)
        self.store(place, count)
        place += count
        if not known:
            if not self.read_head(self.kept, self.kept_size):
                return place
            self.stage = 0
        if not self.bare:
            self.verify(self.kept, self.kept_size)
        if self.kept_size == self.frame_size:
            frames.append(
                PyBytes_FromStringAndSize(
                    <const char *>self.kept + self.start, self.counted - self.start
                )
            )
            self.kept_size = self.frame_size = 0
            if self.capacity > _SMALL:
                PyMem_Free(self.kept)
                self.kept = NULL
                self.capacity = 0
        return place

    cdef int store(self, const uint8_t *place, Py_ssize_t count) except -1:
        """Keep some bytes: the storage is doubled, so that copies stay few.

        What a head declares is an upper bound and nothing more.
        """
        cdef Py_ssize_t need = self.kept_size + count
        cdef Py_ssize_t grown
        cdef uint8_t *kept
        if need > self.capacity:
            grown = max(need, 2 * self.capacity, _FIRST_STORAGE)
            if self.frame_size:
                grown = min(grown, max(need, self.frame_size))
            kept = <uint8_t *>PyMem_Realloc(self.kept, grown)
            if kept == NULL:
                raise MemoryError
            self.kept = kept
            self.capacity = grown
        memcpy(self.kept + self.kept_size, place, count)
        self.kept_size = need
        return 0

    cdef bint read_head(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Read the field of the frame that starts here; False if it is incomplete.

        Sets what is known of the frame then.
        """
        cdef uint64_t value = 0
        cdef Py_ssize_t added = 0
        cdef Py_ssize_t used
        cdef int64_t header
        cdef int64_t counted
        cdef int64_t start
        cdef int64_t frame
        if self.magic_size and not self.magic_behind:
            self.verify_magic(data, have)
        if have <= self.offset:
            return False
        used = self.read_field(data + self.offset, have - self.offset, &value, &added)
        if used == 0:
            return False
        header = self.offset + used + added + self.head_sum
        if value <= self.largest:
            counted = <int64_t>value * self.unit + self.adjustment
            if not self.includes_header:
                counted += header
            start = header if self.strip < 0 else self.strip
            if (
                counted >= header
                and counted >= start
                and self.minimum <= counted - start <= self.maximum
            ):
                frame = counted + self.tail
                if self.align > 1 and frame % self.align:
                    frame += self.align - frame % self.align
                if self.minimum_frame <= frame <= self.maximum_frame:
                    self.header = header
                    self.counted = counted
                    self.start = start
                    self.frame_size = frame
                    return True
        raise faults.wrong_size(self.plan, value, header)

    cdef Py_ssize_t read_field(
        self, const uint8_t *data, Py_ssize_t have, uint64_t *value, Py_ssize_t *added
    ) except -1:
        """Read the field: its size in bytes, 0 if it is incomplete. At least a byte is there."""
        cdef uint64_t total = 0
        cdef Py_ssize_t width = self.width
        cdef Py_ssize_t more = 0
        cdef Py_ssize_t i
        cdef uint8_t byte
        if self.kind == UINT:
            if have < width:
                return 0
            value[0] = (_read_uint(data, width, self.big_endian) & self.mask) >> self.shift
            return width
        if self.kind == DIGITS:
            for i in range(min(have, width)):
                if _digits[data[i]] >= self.base:
                    raise faults.not_a_digit(self.plan, data[i])
                total = total * self.base + _digits[data[i]]
            value[0] = total
            return 0 if have < width else width
        if self.kind == UNTIL:
            return self.read_until(data, have, value)
        if self.kind == BCD:
            for i in range(min(have, width)):
                byte = data[i]
                if byte >> 4 > 9 or byte & 15 > 9:
                    raise faults.not_a_digit(self.plan, byte)
                total = total * 100 + 10 * (byte >> 4) + (byte & 15)
            value[0] = total
            return 0 if have < width else width
        if self.kind == VARINT:
            for i in range(min(have, width)):
                byte = data[i]
                if i == 9 and byte > 1:
                    raise faults.malformed_varint(self.plan)
                total |= <uint64_t>(byte & 0x7F) << (7 * i)
                if byte < 0x80:
                    value[0] = total
                    return i + 1
            if have >= width:
                raise faults.malformed_varint(self.plan)
            return 0
        if self.kind == BER:
            byte = data[0]
            if byte < 0x80:
                value[0] = byte
                return 1
            more = byte & 0x7F
            if not 1 <= more <= width:
                raise faults.malformed_ber(self.plan, byte)
            if have < 1 + more:
                return 0
            value[0] = _read_uint(data + 1, more, True)
            return 1 + more
        # ESCAPED
        if have < width:
            return 0
        total = _read_uint(data, width, self.big_endian)
        value[0] = (total & self.mask) >> self.shift
        for i in range(self.wider_count):
            if self.wider[i].key == value[0]:
                more = self.wider[i].more
                break
        if have - width < more:
            return 0
        if more:
            value[0] = _read_uint(data + width, more, self.big_endian)
        for i in range(self.adds_count):
            if total & self.adds[i].key:
                added[0] += self.adds[i].more
        return width + more

    cdef Py_ssize_t read_until(
        self, const uint8_t *data, Py_ssize_t have, uint64_t *value
    ) except -1:
        cdef uint64_t total = 0
        cdef Py_ssize_t place = 0
        cdef const uint8_t *until = <const uint8_t *>PyBytes_AsString(self.until)
        cdef Py_ssize_t i
        while place < have and _digits[data[place]] < self.base:
            if place == self.width:
                raise faults.too_many_digits(self.plan)
            if place and data[0] == c"0":
                raise faults.leading_zero()
            total = total * self.base + _digits[data[place]]
            place += 1
        if place == have:
            return 0
        if place == 0:
            raise faults.not_a_digit(self.plan, data[0])
        for i in range(self.until_size):
            if place == have:
                return 0
            if data[place] != until[i]:
                raise faults.not_the_end(self.plan, data[place])
            place += 1
        value[0] = total
        return place

    cdef int verify(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Verify what has not been yet, of a frame of which ``have`` bytes are there."""
        cdef Py_ssize_t at = self.counted
        cdef const uint8_t *trailer
        cdef Py_ssize_t i
        cdef int number = 2
        if self.stage == 0:
            if self.magic_behind and not self.verify_magic(data, have):
                return 0
            if have < self.header:
                return 0
            self.verify_head(data, False)
            self.stage = 1
        if self.stage == 1:
            if have < self.counted:
                return 0
            self.verify_head(data, True)
            self.stage = 2
        for check in self.end_checks:
            if have < at + <Py_ssize_t>check.size:
                return 0
            if self.stage == number:
                self.verify_check(check, data, at)
                self.stage += 1
            at += check.size
            number += 1
        trailer = <const uint8_t *>PyBytes_AsString(self.trailer)
        for i in range(min(self.trailer_size, have - at)):
            if data[at + i] != trailer[i]:
                raise faults.wrong_trailer(self.plan, i, data[at + i])
        return 0

    cdef bint verify_magic(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Compare as much of it as is there; return whether that is all."""
        cdef const uint8_t *magic = <const uint8_t *>PyBytes_AsString(self.magic)
        cdef const uint8_t *mask = <const uint8_t *>PyBytes_AsString(self.magic_mask)
        cdef Py_ssize_t i
        for i in range(min(self.magic_size, have - self.magic_at)):
            if (data[self.magic_at + i] ^ magic[i]) & mask[i]:
                raise faults.wrong_magic(self.plan, i, data[self.magic_at + i])
        return have >= self.magic_at + self.magic_size

    cdef int verify_head(self, const uint8_t *data, bint of_body) except -1:
        cdef Py_ssize_t at = self.header - self.head_sum
        for check in self.head_checks:
            if (<int>check.of != HEAD) == of_body:
                self.verify_check(check, data, at)
            at += check.size
        return 0

    cdef int verify_check(self, check, const uint8_t *data, Py_ssize_t at) except -1:
        """Verify the checksum that stands ``at`` bytes into the frame."""
        cdef Py_ssize_t first = 0
        cdef Py_ssize_t last = at
        cdef int of = check.of
        cdef Py_ssize_t size = check.size
        sent = int.from_bytes(
            PyBytes_FromStringAndSize(<const char *>data + at, size),
            "big" if check.big_endian else "little",
        )
        if of == HEAD:
            last = self.header - self.head_sum
        elif of == BODY:
            first = self.header
            last = self.counted
        covered = memoryview(
            PyBytes_FromStringAndSize(<const char *>data + first, last - first)
        )
        # As a Python object: 8 bytes and a sign are too much for any number in C.
        low = (<object>1 << 8 * size) - 1
        with covered:
            worked_out = check.function(covered) & low
        if sent != worked_out:
            raise faults.wrong_checksum(of, size, sent, worked_out)
        return 0
