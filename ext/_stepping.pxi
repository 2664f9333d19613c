# Decoders of frames that a function tells the size or the layout of.
#
# Included by _varied.pyx.

from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport Py_INCREF
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact, PyLong_FromVoidPtr

# Kept equal to the constants of the same names in the pure backend.
cdef enum:
    _KEPT = 64
    _REMEMBERED = 16
    _MAX_UNTIL = 64

cdef enum:
    # The pure backend has no such table.
    _TABLE_BITS = 4
    _TABLE_SIZE = 16
    _TABLE_HEAD = 8

# What a head was chosen for; its numbers are NULL, or a reference that the table owns.
cdef struct Chosen:
    uint64_t head
    PyObject *numbers


cdef inline int _place_in_table(uint64_t head) noexcept:
    # Multiplicative hashing: the upper bits of the product depend on all of the head's.
    return <int>(head * <uint64_t>0x9E3779B97F4A7C15 >> 64 - _TABLE_BITS)


cdef const uint8_t *_find(
    const uint8_t *place, const uint8_t *end, const uint8_t *what, Py_ssize_t size
) noexcept:
    """Return where ``what`` is found first, of at least one byte; NULL if it is not there."""
    cdef const uint8_t *found
    while end - place >= size:
        found = <const uint8_t *>memchr(place, what[0], end - place - size + 1)
        if found == NULL:
            return NULL
        if memcmp(found, what, size) == 0:
            return found
        place = found + 1
    return NULL


@cython.final
cdef class SizedDecoder(StreamDecoder):
    """Cuts frames whose size a function tells. For the contract see the pure backend."""

    cdef object function
    cdef bytes until
    cdef Py_ssize_t least
    cdef Py_ssize_t most
    cdef Py_ssize_t minimum
    cdef Py_ssize_t maximum

    def __cinit__(
        self,
        function,
        Py_ssize_t least,
        Py_ssize_t most,
        bytes until not None,
        Py_ssize_t minimum,
        Py_ssize_t maximum,
    ):
        if not 1 <= least <= most or len(until) > _MAX_UNTIL or minimum < 0:
            raise faults.contradictory_sizes()
        self.function = function
        self.least = least
        self.most = most
        self.until = until
        self.minimum = minimum
        self.maximum = maximum

    cdef const uint8_t *cut(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        cdef Py_ssize_t have = end - place
        cdef Py_ssize_t size = self.frame_size
        if self.body != NULL:
            return self.fill(place, end, frames)
        if not size:
            size = self.measure(place, have)
            if size and not self.kept_size and size <= have:
                frames.append(PyBytes_FromStringAndSize(<const char *>place, size))
                return place + size
            self.start = 0
            self.counted = self.frame_size = size
            if size > _DIRECT:
                return self.begin(place, end, frames)
        if size:
            have = min(size - self.kept_size, have)
        self.store(place, have)
        if self.kept_size == size:
            self.hand_out_kept(frames)
        else:
            self.pending = self.kept_size
        return place + have

    cdef Py_ssize_t measure(self, const uint8_t *place, Py_ssize_t have) except -1:
        """Return the size of the frame that goes on at ``place``; 0 if more bytes are needed."""
        cdef Py_ssize_t held = self.kept_size
        cdef Py_ssize_t limit
        cdef Py_ssize_t count
        cdef Py_ssize_t size
        if PyBytes_Size(self.until):
            return self.measure_line(place, have)
        limit = min(held + have, self.most)
        if limit < self.least:
            return 0
        # With all that was there before, the function has been asked.
        count = min(max(self.least, held + 1), limit)
        while True:
            told = self.ask(place, count)
            if told is not None:
                size = self.checked(told, self.least)
                if size < count:
                    self.check_told(size, place)
                return size
            if count == limit:
                break
            count = min(2 * count, limit)
        if limit == self.most:
            raise faults.size_not_told(self.most)
        return 0

    cdef object ask(self, const uint8_t *place, Py_ssize_t count):
        """Ask the function about the first ``count`` bytes of the frame; those kept are fewer."""
        cdef Py_ssize_t held = min(self.kept_size, count)
        cdef uint8_t *memory
        if not held:
            head = PyBytes_FromStringAndSize(<const char *>place, count)
        else:
            head = PyBytes_FromStringAndSize(NULL, count)
            memory = <uint8_t *>PyBytes_AsString(head)
            memcpy(memory, self.kept, held)
            memcpy(memory + held, place, count - held)
        return self.function(head)

    cdef int check_told(self, Py_ssize_t size, const uint8_t *place) except -1:
        """Refuse a frame that ends before the bytes that told its size.

        Bytes of the next frame would have told it, and cut elsewhere the stream would be another.
        """
        if size <= self.kept_size or self.ask(place, size) != size:
            raise faults.told_too_late(size)
        return 0

    cdef Py_ssize_t measure_line(self, const uint8_t *place, Py_ssize_t have) except -1:
        cdef const uint8_t *until = <const uint8_t *>PyBytes_AsString(self.until)
        cdef Py_ssize_t until_size = PyBytes_Size(self.until)
        cdef Py_ssize_t held = self.kept_size
        cdef Py_ssize_t again = min(held, until_size - 1)
        cdef Py_ssize_t fresh
        cdef Py_ssize_t count = 0
        cdef uint8_t[2 * _MAX_UNTIL] seam
        cdef const uint8_t *found = NULL
        if again:
            # Only so much of what is held that until may begin there.
            fresh = min(have, until_size - 1)
            memcpy(seam, self.kept + held - again, again)
            memcpy(seam + again, place, fresh)
            found = _find(seam, seam + again + fresh, until, until_size)
            if found != NULL:
                count = held - again + (found - seam) + until_size
        if found == NULL:
            # At most ``most`` bytes are kept.
            found = _find(place, place + min(have, self.most - held), until, until_size)
            if found == NULL:
                if held + have >= self.most:
                    raise faults.without_end(self.most, self.until)
                return 0
            count = held + (found - place) + until_size
        if count > self.most:
            raise faults.without_end(self.most, self.until)
        told = self.ask(place, count)
        if told is None:
            raise faults.size_not_told(count)
        return self.checked(told, count)

    cdef Py_ssize_t checked(self, told, Py_ssize_t least) except -1:
        """Return the size that the function told, if a frame can have it."""
        cdef int over = 0
        cdef long long size
        if PyLong_CheckExact(told):
            size = PyLong_AsLongLongAndOverflow(told, &over)
            if not over and max(least, self.minimum) <= size <= self.maximum:
                return size
        raise faults.wrong_told_size(told, least, self.minimum, self.maximum)


@cython.final
cdef class ChoiceDecoder(StreamDecoder):
    """Cuts frames whose layout a function tells. For the contract see the pure backend."""

    cdef object next_layout
    cdef object new_part
    cdef Py_ssize_t head_size
    cdef Py_ssize_t minimum
    # What cuts frames that begin so; and frames of the layout at that address, which is kept.
    cdef dict chosen
    cdef dict parts
    # What cuts the frame that is under way, or None.
    cdef object current
    # Of short heads whose frames the hot loop cuts: those chosen last, each at one place.
    cdef Chosen[_TABLE_SIZE] table

    def __cinit__(self, next_layout, new_part, Py_ssize_t head_size, Py_ssize_t minimum):
        if head_size < 1:
            raise faults.contradictory_sizes()
        self.next_layout = next_layout
        self.new_part = new_part
        self.head_size = head_size
        self.minimum = minimum
        self.chosen = {}
        self.parts = {}

    def __dealloc__(self):
        self.clear_table()

    cdef void clear_table(self) noexcept:
        cdef int i
        for i in range(_TABLE_SIZE):
            drop(self.table[i].numbers)
            self.table[i].numbers = NULL

    cdef int split(self, const uint8_t *place, const uint8_t *end, list frames) except -1:
        while place < end:
            if self.current is None and not self.kept_size:
                place = self.split_whole(place, end, frames)
                if place == end:
                    break
            place = self.cut(place, end, frames)
        return 0

    cdef const uint8_t *split_whole(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """The hot loop: cut out messages while they are whole and nothing is wrong with them.

        And their layout is known by the table; ``cut`` does the rest.
        """
        cdef Py_ssize_t head_size = self.head_size
        cdef Py_ssize_t size
        cdef uint64_t head
        cdef Chosen *chosen
        cdef Span message = Span(0, 0)
        while _TABLE_HEAD >= head_size <= end - place:
            head = _read_uint(place, head_size, False)
            chosen = &self.table[_place_in_table(head)]
            if chosen.numbers == NULL or chosen.head != head:
                break
            size = (<PlanNumbers>chosen.numbers).measure_whole(place, end - place, &message)
            if size < head_size or message.stop - message.start < self.minimum:
                break
            add_new(
                frames,
                new_bytes(<const char *>place + message.start, message.stop - message.start),
            )
            place += size
        return place

    cdef int remember(self, bytes head, part) except -1:
        """Let the hot loop know what cuts frames that begin so, if it can cut them."""
        cdef PlanNumbers numbers
        cdef Chosen *chosen
        cdef PyObject *before
        cdef uint64_t key
        if self.head_size > _TABLE_HEAD or type(part) is not Decoder:
            return 0
        numbers = (<Decoder>part).numbers
        if numbers.simple:
            key = _read_uint(<const uint8_t *>PyBytes_AsString(head), self.head_size, False)
            chosen = &self.table[_place_in_table(key)]
            before = chosen.numbers
            Py_INCREF(numbers)
            chosen.head = key
            chosen.numbers = <PyObject *>numbers
            # Last: it may run code of the program, which finds the table whole.
            drop(before)
        return 0

    cdef int forget(self) except -1:
        StreamDecoder.forget(self)
        self.current = None
        return 0

    cdef const uint8_t *cut(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        cdef Py_ssize_t before = PyList_GET_SIZE(frames)
        cdef Py_ssize_t taken
        cdef Py_ssize_t used
        cdef const uint8_t *first = NULL
        part = self.current
        if part is None:
            taken = self.head_size - self.kept_size
            if self.kept_size == 0 and end - place >= taken:
                first = place
                part = self.choose(PyBytes_FromStringAndSize(<const char *>place, taken))
            else:
                taken = min(taken, end - place)
                self.store(place, taken)
                place += taken
                if self.kept_size < self.head_size:
                    self.pending = self.kept_size
                    return place
                head = PyBytes_FromStringAndSize(<const char *>self.kept, self.head_size)
                self.empty()
                part = self.choose(head)
                used = part.advance(head, 0, frames)
                if PyList_GET_SIZE(frames) > before:
                    self.end_chosen(used, frames)
                    return place
                if place == end:
                    self.note(part)
                    return place
        place = self.step(part, place, end, frames)
        if PyList_GET_SIZE(frames) == before:
            self.note(part)
            return place
        self.end_chosen(place - first if first != NULL else self.head_size, frames)
        return place

    cdef const uint8_t *step(
        self, part, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        cdef Py_ssize_t start
        cdef Py_ssize_t stop
        if type(part) is Decoder:
            return (<Decoder>part).cut(place, end, frames)
        if type(part) is SizedDecoder:
            return (<SizedDecoder>part).cut(place, end, frames)
        if self.source is None:
            self.source = PyBytes_FromStringAndSize(<const char *>place, end - place)
            self.source_first = place
        start = place - self.source_first
        stop = part.advance(self.source, start, frames)
        if not start < stop <= PyBytes_Size(self.source):
            raise faults.wrong_stop(start, stop, PyBytes_Size(self.source))
        return self.source_first + stop

    cdef int note(self, part) except -1:
        self.current = part
        self.pending = part.pending
        self.frame_size = part.frame_size
        return 0

    cdef int end_chosen(self, Py_ssize_t size, list frames) except -1:
        """End a frame that was there with so many bytes, or more, since its layout was chosen."""
        cdef Py_ssize_t last = PyList_GET_SIZE(frames) - 1
        self.current = None
        self.pending = self.frame_size = 0
        if size < self.head_size:
            # What was behind it in them would be lost, or not, as the stream is cut.
            del frames[last]
            raise faults.ends_in_its_head(size, self.head_size)
        if self.minimum and len(frames[last]) < self.minimum:
            size = len(frames[last])
            del frames[last]
            raise faults.below_minimum(size, self.minimum)
        return 0

    cdef object choose(self, bytes head):
        """Return what cuts a frame that begins so."""
        cdef PyObject *found = PyDict_GetItemWithError(self.chosen, head)
        if found != NULL:
            self.remember(head, <object>found)
            return <object>found
        layout = self.next_layout(head)
        if layout is None:
            raise faults.no_layout(head)
        # By the identity of a layout, which is kept beside: to hash one costs more than to cut
        # out a frame.
        key = PyLong_FromVoidPtr(<PyObject *>layout)
        known = self.parts.get(key)
        if known is None:
            if len(self.parts) >= _KEPT:
                self.parts.clear()
                self.chosen.clear()
                self.clear_table()
            known = layout, self.new_part(layout)
            self.parts[key] = known
        part = (<tuple>known)[1]
        if self.head_size <= _REMEMBERED and len(self.chosen) < _KEPT:
            self.chosen[head] = part
            self.remember(head, part)
        return part
