# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False, freethreading_compatible=True
"""The codec for layouts of all kinds, in C.

The pure backends, ``sealframe.framing._varied_py``, ``_stepping_py`` and ``varied_encoder``, have
the same steps under the same names.

Four rules keep it safe.

- The plan's numbers are checked once, by ``check_plan``; no read or write below depends on a
  number that came from elsewhere, except through a bound that stands beside it.
- Memory that is kept of an unfinished frame belongs to its decoder alone, and checksums are
  worked out from copies. A ``bytes`` object that is still being written is exported as in
  ``_codec.pyx``: meanwhile it is neither moved nor freed.
- Functions of checksums, of ``Sized`` and ``Choice``, finalisers and ``__buffer__`` are Python
  code that could call this decoder again: ``busy`` keeps them out, and, without the GIL, with
  critical sections other threads too. What is being read cannot go
  or move meanwhile: it is a ``bytes`` object of the caller's, or a buffer that is held, or what
  the decoder keeps. A decoder that cuts the frames of a ``Choice`` is known to that alone.
- What a decoder in Python says of where it stopped is checked before it is used.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from operator import index

from sealframe.errors import (
    FramingError,
    MalformedLengthError,
    MessageTooLargeError,
    MessageTooSmallError,
)

include "_borrowed.pxi"
include "_numbers.pxi"
include "_stream.pxi"

__all__ = ["ChoiceDecoder", "Decoder", "Encoder", "SizedDecoder"]


@cython.final
cdef class Decoder(StreamDecoder):
    """Cuts one byte stream into frames as a plan has them."""

    cdef PlanNumbers numbers
    # Of the frame whose head was read last:
    cdef Py_ssize_t header
    cdef int stage

    def __cinit__(self, plan):
        self.numbers = _numbers_of(plan)

    cdef int split(self, const uint8_t *place, const uint8_t *end, list frames) except -1:
        while place < end:
            if self.numbers.simple and not self.kept_size and self.body == NULL:
                place = self.split_whole(place, end, frames, PY_SSIZE_T_MAX)
                if place == end:
                    break
            place = self.cut(place, end, frames)
        return 0

    cdef const uint8_t *cut(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        cdef Py_ssize_t have = end - place
        cdef const uint8_t *stop
        if self.body != NULL:
            return self.fill(place, end, frames)
        if self.kept_size:
            while place < end:
                place = self.keep(place, end, frames)
                if self.kept_size == 0:
                    return place
            self.pending = self.kept_size
            return place
        if self.numbers.simple:
            stop = self.split_whole(place, end, frames, 1)
            if stop > place:
                return stop
        if self.read_head(place, have):
            if not self.numbers.bare:
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
            if self.reads_into_message():
                return self.begin(place, end, frames)
        self.store(place, have)
        self.pending = self.kept_size
        return end

    cdef const uint8_t *split_whole(
        self, const uint8_t *place, const uint8_t *end, list frames, Py_ssize_t most
    ) except NULL:
        """The hot loop: cut out messages while they are whole and nothing is wrong with them.

        At most ``most`` of them. ``read_head`` and ``verify`` tell what is wrong.
        """
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t size
        cdef Span message
        while most > 0 and place < end:
            size = n.measure_whole(place, end - place, &message)
            if size == 0:
                break
            add_new(
                frames,
                new_bytes(<const char *>place + message.start, message.stop - message.start),
            )
            place += size
            most -= 1
        return place

    cdef bint reads_into_message(self) noexcept:
        """Whether the message that was begun is read into its own memory."""
        return self.numbers.unsummed and self.counted - self.start > _DIRECT

    cdef const uint8_t *keep(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Take bytes from ``place`` on for the frame that is kept; return where it stopped."""
        cdef Py_ssize_t known = self.frame_size
        cdef Py_ssize_t count = (known if known else self.numbers.offset) - self.kept_size
        count = min(max(count, 1), end - place)
        self.store(place, count)
        place += count
        if not known:
            if not self.read_head(self.kept, self.kept_size):
                return place
            self.stage = 0
        if not self.numbers.bare:
            self.verify(self.kept, self.kept_size)
        if self.kept_size == self.frame_size:
            self.hand_out_kept(frames)
        elif not known and self.reads_into_message():
            return self.begin(place, end, frames)
        return place

    cdef bint read_head(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Read the field of the frame that starts here; False if it is incomplete.

        Sets what is known of the frame then.
        """
        cdef PlanNumbers n = self.numbers
        cdef uint64_t value = 0
        cdef Py_ssize_t added = 0
        cdef Py_ssize_t used
        cdef int64_t header
        cdef int64_t counted
        cdef int64_t start
        cdef int64_t frame
        if n.magic_size and not n.magic_behind:
            self.verify_magic(data, have)
        if have <= n.offset:
            return False
        used = n.read_field(data + n.offset, have - n.offset, &value, &added)
        if used == 0:
            return False
        header = n.offset + used + added + n.head_sum
        if value <= n.largest:
            counted = <int64_t>value * n.unit + n.adjustment
            if not n.includes_header:
                counted += header
            start = header if n.strip < 0 else n.strip
            if (
                counted >= header
                and counted >= start
                and n.minimum <= counted - start <= n.maximum
            ):
                frame = counted + n.tail
                if n.align > 1 and frame % n.align:
                    frame += n.align - frame % n.align
                if n.minimum_frame <= frame <= n.maximum_frame:
                    self.header = header
                    self.counted = counted
                    self.start = start
                    self.frame_size = frame
                    return True
        raise faults.wrong_size(n.plan, value, header)

    cdef int verify(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Verify what has not been yet, of a frame of which ``have`` bytes are there."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t at = self.counted
        cdef int number = 2
        if n.unsummed:
            if have > at:
                self.verify_tail(data + at, 0, have - at)
            return 0
        if self.stage == 0:
            if n.magic_behind and not self.verify_magic(data, have):
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
        for check in n.end_checks:
            if have < at + <Py_ssize_t>check.size:
                return 0
            if self.stage == number:
                self.verify_check(check, data, at)
                self.stage += 1
            at += check.size
            number += 1
        if have > at:
            self.verify_tail(data + at, 0, have - at)
        return 0

    cdef int verify_tail(
        self, const uint8_t *place, Py_ssize_t number, Py_ssize_t count
    ) except -1:
        """Compare bytes of the trailer, from the one of that number on, and none of the padding."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t i
        for i in range(min(count, n.trailer_size - number)):
            if place[i] != n.trailer[number + i]:
                raise faults.wrong_trailer(n.plan, number + i, place[i])
        return 0

    cdef bint verify_magic(self, const uint8_t *data, Py_ssize_t have) except -1:
        """Compare as much of it as is there; return whether that is all."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t i
        for i in range(min(n.magic_size, have - n.magic_at)):
            if (data[n.magic_at + i] ^ n.magic[i]) & n.magic_mask[i]:
                raise faults.wrong_magic(n.plan, i, data[n.magic_at + i])
        return have >= n.magic_at + n.magic_size

    cdef int verify_head(self, const uint8_t *data, bint of_body) except -1:
        cdef Py_ssize_t at = self.header - self.numbers.head_sum
        for check in self.numbers.head_checks:
            if (<int>check.of != HEAD) == of_body:
                self.verify_check(check, data, at)
            at += check.size
        return 0

    cdef int verify_check(self, check, const uint8_t *data, Py_ssize_t at) except -1:
        """Verify the checksum that stands ``at`` bytes into the frame."""
        cdef Py_ssize_t size = check.size
        sent = int.from_bytes(
            PyBytes_FromStringAndSize(<const char *>data + at, size),
            "big" if check.big_endian else "little",
        )
        worked_out = self.numbers.sum_up(check, data, self.header, self.counted, at)
        if sent != worked_out:
            raise faults.wrong_checksum(check.of, size, sent, worked_out)
        return 0


include "_stepping.pxi"
include "_varied_encoder.pxi"
