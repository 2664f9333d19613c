# The encoder for layouts of all kinds.
#
# Included by _varied.pyx.


cdef struct Shape:
    # What stands around a payload that has nothing of the header.
    uint8_t[_WIDEST_FIELD] field
    Py_ssize_t field_size
    Py_ssize_t header
    # Bytes before the payload, and bytes behind it.
    Py_ssize_t front
    Py_ssize_t tail


@cython.final
cdef class Encoder:
    """Makes frames as a plan has them. For the contract see the pure backend."""

    cdef PlanNumbers numbers
    # The payload has nothing of the header.
    cdef bint stripped
    # Nothing but its size depends on the payload.
    cdef bint plain

    def __cinit__(self, plan):
        cdef PlanNumbers n = _numbers_of(plan)
        self.numbers = n
        self.stripped = n.strip < 0 or n.strip >= n.offset + n.fewest + n.head_sum
        if n.magic_size and n.magic_at + n.magic_size > max(n.offset, n.strip):
            # Otherwise it is in the front that is made, or in a payload that is looked at.
            if self.stripped or n.strip > 0:
                raise faults.contradictory(plan)
        self.plain = self.stripped and not n.end_checks
        for check in n.head_checks:
            if <int>check.of == BODY:
                self.plain = False

    def __reduce__(self):
        raise refuse.no_pickle(self)

    def encode(self, payload, /):
        """Return the frame that carries ``payload``."""
        cdef Py_buffer view
        if PyBytes_CheckExact(payload):
            return self.frame_of(
                <const uint8_t *>PyBytes_AsString(payload), PyBytes_Size(payload)
            )
        _acquire(payload, &view)
        try:
            return self.frame_of(<const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def encode_many(self, payloads, /):
        """Return the frames that carry ``payloads``, joined; or raise and make none."""
        cdef list messages = self.ready(payloads)
        return self.join(messages, 0, PyList_GET_SIZE(messages), b"", -1)

    def pack(self, payloads, /):
        """Return the frames that carry ``payloads`` as buffers to be written in one call."""
        cdef list messages = self.ready(payloads)
        cdef Py_ssize_t count = PyList_GET_SIZE(messages)
        cdef Py_ssize_t first = 0
        cdef Py_ssize_t size
        cdef Py_ssize_t i
        cdef bytes before = b""
        cdef list buffers = []
        cdef Shape shape
        if self.plain:
            for i in range(count):
                size = PyBytes_Size(messages[i])
                if size >= _LARGE:
                    buffers.append(self.join(messages, first, i, before, size))
                    buffers.append(messages[i])
                    self.measure(size, &shape)
                    before = PyBytes_FromStringAndSize(NULL, shape.tail)
                    self.write_tail(<uint8_t *>PyBytes_AsString(before), shape.tail)
                    first = i + 1
        if first < count or PyBytes_Size(before):
            buffers.append(self.join(messages, first, count, before, -1))
        return buffers

    def head(self, length, /):
        """Return what goes before a payload of ``length`` bytes."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t size
        cdef Shape shape
        if not self.plain or n.trailer_size or n.align > 1:
            raise faults.no_head(n.plan)
        length = index(length)
        size = PyNumber_AsSsize_t(length, NULL)
        # Named as it was given: size itself may have been clipped.
        if size > n.maximum:
            raise MessageTooLargeError(length, n.maximum)
        if size < 0:
            raise MessageTooSmallError(length, n.minimum)
        self.measure(size, &shape)
        head = PyBytes_FromStringAndSize(NULL, shape.front)
        self.write_front(<uint8_t *>PyBytes_AsString(head), &shape)
        self.complete_head(<uint8_t *>PyBytes_AsString(head), shape.header, shape.front + size)
        return head

    cdef list ready(self, payloads):
        """Return a list of our own: of payloads as bytes, or of frames where not all is plain."""
        cdef list messages = list(payloads)
        cdef Py_ssize_t i
        for i in range(PyList_GET_SIZE(messages)):
            message = messages[i]
            if not PyBytes_CheckExact(message):
                if self.plain:
                    try:
                        messages[i] = _copied(message)
                    except (TypeError, BufferError):
                        # Of several faults the first one is told, here as in the pure backend.
                        self.join(messages, 0, i, b"", -1)
                        raise
                    continue
            if not self.plain:
                messages[i] = self.encode(message)
        return messages

    cdef bytes join(
        self, list messages, Py_ssize_t first, Py_ssize_t last, bytes before, Py_ssize_t head
    ):
        """Return some frames behind ``before``; and behind them the head of a message of ``head``
        bytes, if that is not -1."""
        cdef Py_ssize_t total = PyBytes_Size(before)
        cdef Py_ssize_t size
        cdef Py_ssize_t i
        cdef uint8_t *place
        cdef Shape shape
        for i in range(first, last):
            size = PyBytes_Size(messages[i])
            if self.plain:
                self.measure(size, &shape)
                size += shape.front + shape.tail
            if size > PY_SSIZE_T_MAX - total:
                raise MemoryError
            total += size
        if head >= 0:
            self.measure(head, &shape)
            total += shape.front
        joined = PyBytes_FromStringAndSize(NULL, total)
        place = <uint8_t *>PyBytes_AsString(joined)
        memcpy(place, PyBytes_AsString(before), PyBytes_Size(before))
        place += PyBytes_Size(before)
        for i in range(first, last):
            message = messages[i]
            size = PyBytes_Size(message)
            if self.plain:
                self.measure(size, &shape)
                place = self.write_plain(
                    place, <const uint8_t *>PyBytes_AsString(message), size, &shape
                )
            else:
                memcpy(place, PyBytes_AsString(message), size)
                place += size
        if head >= 0:
            self.measure(head, &shape)
            self.write_front(place, &shape)
            self.complete_head(place, shape.header, shape.front + head)
        return joined

    cdef bytes frame_of(self, const uint8_t *payload, Py_ssize_t size):
        cdef Shape shape
        if not self.stripped:
            return self.filled_in(payload, size)
        self.measure(size, &shape)
        frame = PyBytes_FromStringAndSize(NULL, shape.front + size + shape.tail)
        self.write_plain(<uint8_t *>PyBytes_AsString(frame), payload, size, &shape)
        return frame

    cdef int measure(self, Py_ssize_t size, Shape *shape) except -1:
        """Work out what stands around a payload of ``size`` bytes, if it can be sent."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t stripped = n.strip - n.fewest if n.strip >= 0 else n.offset + n.head_sum
        self.make_field(stripped + size, n.flags, 0, shape)
        shape.header = n.offset + shape.field_size + n.head_sum
        shape.front = max(shape.header, n.strip)
        shape.tail = self.tail_of(shape.front + size)
        return 0

    cdef Py_ssize_t tail_of(self, int64_t counted) noexcept:
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t over = (counted + n.tail) % n.align
        return n.tail + (n.align - over if over else 0)

    cdef uint8_t *write_plain(
        self, uint8_t *place, const uint8_t *payload, Py_ssize_t size, Shape *shape
    ) except NULL:
        """Write a whole frame, and return where the next one goes."""
        self.write_front(place, shape)
        memcpy(place + shape.front, payload, size)
        self.complete(place, shape.header, shape.front + size, shape.tail)
        return place + shape.front + size + shape.tail

    cdef void write_front(self, uint8_t *place, Shape *shape) noexcept:
        memset(place, 0, shape.front)
        memcpy(place + self.numbers.offset, shape.field, shape.field_size)

    cdef void write_tail(self, uint8_t *place, Py_ssize_t tail) noexcept:
        """Write the trailer, and zeros up to ``tail`` bytes."""
        cdef PlanNumbers n = self.numbers
        memcpy(place, n.trailer, n.trailer_size)
        memset(place + n.trailer_size, 0, tail - n.trailer_size)

    cdef bytes filled_in(self, const uint8_t *payload, Py_ssize_t size):
        """Return the frame of a payload that brings its header.

        A length that is right stays as it is: it may be longer than it has to be.
        """
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t strip = max(n.strip, 0)
        cdef Py_ssize_t have = strip + size
        cdef Py_ssize_t added = 0
        cdef Py_ssize_t used
        cdef Py_ssize_t tail
        cdef Py_ssize_t counted
        cdef uint64_t value = 0
        cdef uint64_t bits = 0
        cdef uint8_t *place
        cdef const uint8_t *given
        cdef Shape shape
        # The payload behind what is stripped, which is zeros.
        whole = PyBytes_FromStringAndSize(NULL, have)
        place = <uint8_t *>PyBytes_AsString(whole)
        given = place
        memset(place, 0, strip)
        memcpy(place + strip, payload, size)
        self.check_magic(given, have)
        if have <= n.offset:
            raise MessageTooSmallError(size, n.minimum)
        try:
            used = n.read_field(given + n.offset, have - n.offset, &value, &added)
        except MalformedLengthError as fault:
            raise faults.no_length_in(fault) from None
        if not used:
            raise MessageTooSmallError(size, n.minimum)
        if (
            self.total(have, used, added) == <int64_t>(value * <uint64_t>n.unit)
            and value <= n.largest
        ):
            memcpy(shape.field, given + n.offset, used)
            shape.field_size = used
        else:
            if n.kind == UINT or n.kind == ESCAPED:
                bits = _read_uint(given + n.offset, n.width, n.big_endian) & ~n.mask
            self.make_field(have - used, bits, added, &shape)
        counted = have - used + shape.field_size
        tail = self.tail_of(counted)
        frame = PyBytes_FromStringAndSize(NULL, counted + tail)
        place = <uint8_t *>PyBytes_AsString(frame)
        memcpy(place, given, n.offset)
        memcpy(place + n.offset, shape.field, shape.field_size)
        memcpy(
            place + n.offset + shape.field_size,
            given + n.offset + used,
            have - n.offset - used,
        )
        self.complete(
            place, n.offset + shape.field_size + added + n.head_sum, counted, tail
        )
        return frame

    cdef int check_magic(self, const uint8_t *frame, Py_ssize_t have) except -1:
        """Refuse a payload that brings other bytes than the magic; zeros are to be filled in."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t wrong = -1
        cdef bint filled = False
        cdef Py_ssize_t i
        cdef uint8_t bits
        for i in range(max(0, n.strip - n.magic_at), min(n.magic_size, have - n.magic_at)):
            bits = frame[n.magic_at + i] & n.magic_mask[i]
            filled = filled or bits != 0
            if wrong < 0 and bits != n.magic[i] & n.magic_mask[i]:
                wrong = i
        if filled and wrong >= 0:
            raise faults.other_magic(n.plan, wrong, frame[n.magic_at + wrong])
        return 0

    cdef int make_field(
        self, int64_t rest, uint64_t bits, Py_ssize_t added, Shape *shape
    ) except -1:
        """Write the length of a frame of whose counted part ``rest`` bytes are not the length.

        ``bits`` are those outside the mask, and ``added`` bytes that they add to the header.
        """
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t width = n.fewest
        cdef int64_t total
        while True:
            total = self.total(rest + width, width, added)
            if total % n.unit:
                raise faults.not_in_units(total, n.plan, over=total % n.unit)
            shape.field_size = n.write_number(shape.field, total // n.unit, bits, width)
            if shape.field_size == width:
                return 0
            width = shape.field_size

    cdef int64_t total(self, int64_t counted, Py_ssize_t used, Py_ssize_t added) except -1:
        """Return the bytes that the length of such a frame counts, if it can be sent."""
        cdef PlanNumbers n = self.numbers
        cdef int64_t header = n.offset + used + added + n.head_sum
        cdef int64_t size = counted - (header if n.strip < 0 else n.strip)
        cdef int64_t frame = counted + n.tail
        cdef int64_t total = counted - n.adjustment - (0 if n.includes_header else header)
        if n.align > 1 and frame % n.align:
            frame += n.align - frame % n.align
        if size > n.maximum or frame > n.maximum_frame:
            raise MessageTooLargeError(size, n.maximum)
        if size < n.minimum or frame < n.minimum_frame:
            raise MessageTooSmallError(size, n.minimum)
        if counted < header or total < 0:
            raise MessageTooSmallError(size, size + max(header - counted, -total))
        return total

    cdef int complete(
        self, uint8_t *frame, Py_ssize_t header, Py_ssize_t counted, Py_ssize_t tail
    ) except -1:
        """Write what has not been written: magic, checksums, trailer and padding."""
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t at = counted
        self.complete_head(frame, header, counted)
        for check in n.end_checks:
            at += self.write_checksum(check, frame, header, counted, at)
        self.write_tail(frame + at, tail - n.end_sum)
        return 0

    cdef int complete_head(
        self, uint8_t *frame, Py_ssize_t header, Py_ssize_t counted
    ) except -1:
        cdef PlanNumbers n = self.numbers
        cdef Py_ssize_t at = header - n.head_sum
        cdef Py_ssize_t i
        for i in range(n.magic_size):
            if self.stripped or n.magic_at + i < n.strip:
                frame[n.magic_at + i] = n.magic[i]
            elif n.magic_at + i < counted:
                # Bits that are not the magic's own are those of the payload.
                frame[n.magic_at + i] &= ~n.magic_mask[i]
                frame[n.magic_at + i] |= n.magic[i] & n.magic_mask[i]
        for check in n.head_checks:
            at += self.write_checksum(check, frame, header, counted, at)
        return 0

    cdef Py_ssize_t write_checksum(
        self,
        check,
        uint8_t *frame,
        Py_ssize_t header,
        Py_ssize_t counted,
        Py_ssize_t at,
    ) except -1:
        cdef Py_ssize_t size = check.size
        number = self.numbers.sum_up(check, frame, header, counted, at)
        # Of the class itself: it returns that many bytes.
        written = int.to_bytes(number, size, "big" if check.big_endian else "little")
        memcpy(frame + at, PyBytes_AsString(written), size)
        return size
