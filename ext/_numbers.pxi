# The numbers of a plan as C has them, and the ways in which a length is written.
#
# Included by _varied.pyx.

from sealframe.framing import faults
from sealframe.framing import plan as plans

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
    _MOST_PAIRS = 8
    # No field has more: 20 digits and what ends them.
    _WIDEST_FIELD = 128
    _WIDEST_UNTIL = 64

assert (UINT, DIGITS, UNTIL, BCD, VARINT, BER, ESCAPED) == (
    plans.UINT, plans.DIGITS, plans.UNTIL, plans.BCD, plans.VARINT, plans.BER, plans.ESCAPED
)
assert (HEAD, BODY) == (plans.HEAD, plans.BODY)

cdef const char *_FIGURES = b"0123456789abcdef"

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


# Where the message is in a frame.
cdef struct Span:
    Py_ssize_t start
    Py_ssize_t stop


cdef inline bint _same(const uint8_t *place, const uint8_t *what, Py_ssize_t size) noexcept:
    # For a few bytes a call of memcmp takes longer.
    cdef Py_ssize_t i
    for i in range(size):
        if place[i] != what[i]:
            return False
    return True


cdef inline uint64_t _read_uint(const uint8_t *place, Py_ssize_t width, bint big_endian) noexcept:
    cdef uint64_t value = 0
    cdef Py_ssize_t i
    if big_endian:
        for i in range(width):
            value = value << 8 | place[i]
    else:
        for i in range(width):
            value |= <uint64_t>place[i] << 8 * i
    return value


cdef inline void _write_uint(
    uint8_t *place, uint64_t value, Py_ssize_t width, bint big_endian
) noexcept:
    cdef Py_ssize_t i
    for i in range(width):
        place[width - 1 - i if big_endian else i] = value & 0xFF
        value >>= 8


@cython.final
@cython.internal
cdef class PlanNumbers:
    """A plan in C: one for all connections of a layout."""

    cdef object plan
    cdef int kind
    cdef int base
    cdef Py_ssize_t width
    cdef Py_ssize_t fewest
    cdef int shift
    cdef bint big_endian
    cdef bint includes_header
    cdef uint64_t mask
    cdef uint64_t flags
    cdef uint64_t largest
    cdef int64_t unit
    cdef int64_t adjustment
    cdef int64_t strip
    cdef int64_t align
    cdef int64_t minimum
    cdef int64_t maximum
    cdef int64_t minimum_frame
    cdef int64_t maximum_frame
    cdef Py_ssize_t offset
    cdef Py_ssize_t head_sum
    cdef Py_ssize_t end_sum
    cdef int wider_count
    cdef int adds_count
    cdef Pair[_MOST_PAIRS] wider
    cdef Pair[_MOST_PAIRS] adds

    cdef bytes until_bytes
    cdef const uint8_t *until
    cdef Py_ssize_t until_size
    cdef bytes magic_bytes
    cdef const uint8_t *magic
    cdef bytes mask_bytes
    cdef const uint8_t *magic_mask
    cdef Py_ssize_t magic_size
    cdef Py_ssize_t magic_at
    cdef bytes trailer_bytes
    cdef const uint8_t *trailer
    cdef Py_ssize_t trailer_size
    # Behind the counted part, without what fills the frame up.
    cdef Py_ssize_t tail
    cdef tuple head_checks
    cdef tuple end_checks

    # Part of the magic stands behind the length.
    cdef bint magic_behind
    # Nothing but the head is to be verified.
    cdef bint bare
    # There are no checksums, and the magic stands before the length.
    cdef bint unsummed
    # The same, and the magic has no bits that may be anything.
    cdef bint simple

    def __cinit__(self, plan):
        faults.check_plan(plan)
        self.plan = plan
        self.kind = plan.kind
        self.base = plan.base
        self.width = plan.width
        self.shift = plan.shift
        self.big_endian = plan.big_endian
        self.includes_header = plan.includes_header
        self.mask = plan.mask
        self.flags = plan.flags
        self.largest = plan.largest
        self.unit = plan.unit
        self.adjustment = plan.adjustment
        self.strip = plan.strip
        self.align = plan.align
        self.minimum = plan.minimum
        self.maximum = plan.maximum
        self.minimum_frame = plan.minimum_frame
        self.maximum_frame = plan.maximum_frame
        self.offset = plan.offset
        self.head_sum = plan.head_sum
        self.end_sum = plan.end_sum
        self.wider_count = self.read_pairs(plan.wider, self.wider)
        self.adds_count = self.read_pairs(plan.adds, self.adds)
        self.until_bytes = plan.until
        self.until = <const uint8_t *>PyBytes_AsString(self.until_bytes)
        self.until_size = len(plan.until)
        if self.until_size > _WIDEST_UNTIL:
            raise faults.contradictory(plan)
        self.magic_bytes = plan.magic
        self.magic = <const uint8_t *>PyBytes_AsString(self.magic_bytes)
        self.mask_bytes = plan.magic_mask
        self.magic_mask = <const uint8_t *>PyBytes_AsString(self.mask_bytes)
        self.magic_size = len(plan.magic)
        self.magic_at = plan.magic_at
        self.trailer_bytes = plan.trailer
        self.trailer = <const uint8_t *>PyBytes_AsString(self.trailer_bytes)
        self.trailer_size = len(plan.trailer)
        self.tail = self.end_sum + self.trailer_size
        self.head_checks = plan.head_checks
        self.end_checks = plan.end_checks
        if self.kind == VARINT or self.kind == BER:
            self.fewest = 1
        else:
            self.fewest = 1 + self.until_size if self.kind == UNTIL else self.width
        self.magic_behind = self.magic_at + self.magic_size > self.offset
        self.bare = not (
            plan.head_checks or plan.end_checks or plan.trailer or self.magic_behind
        )
        self.unsummed = not (plan.head_checks or plan.end_checks or self.magic_behind)
        self.simple = self.unsummed and not plan.magic_mask.strip(b"\xff")

    cdef int read_pairs(self, tuple given, Pair *pairs) except -1:
        cdef int i
        if len(given) > _MOST_PAIRS:
            raise faults.contradictory(self.plan)
        for i in range(len(given)):
            key, more = given[i]
            pairs[i].key = key
            pairs[i].more = more
        return len(given)

    cdef inline Py_ssize_t measure_whole(
        self, const uint8_t *place, Py_ssize_t have, Span *message
    ) except -1:
        """Return the size of the frame that starts here, and where its message is.

        0 if it is not whole, or if anything is wrong with it. For ``simple`` ones alone.
        """
        cdef uint64_t value = 0
        cdef Py_ssize_t added = 0
        cdef Py_ssize_t used
        cdef int64_t header
        cdef int64_t counted
        cdef int64_t start
        cdef int64_t frame
        # Before the length, and so it is there.
        if have <= self.offset or not _same(place + self.magic_at, self.magic, self.magic_size):
            return 0
        used = self.read_field(place + self.offset, have - self.offset, &value, &added)
        if used == 0 or value > self.largest:
            return 0
        header = self.offset + used + added
        counted = <int64_t>value * self.unit + self.adjustment
        if not self.includes_header:
            counted += header
        start = header if self.strip < 0 else self.strip
        frame = counted + self.trailer_size
        if self.align > 1 and frame % self.align:
            frame += self.align - frame % self.align
        if (
            frame > have
            or counted < header
            or counted < start
            or not self.minimum <= counted - start <= self.maximum
            or not self.minimum_frame <= frame <= self.maximum_frame
            or not _same(place + counted, self.trailer, self.trailer_size)
        ):
            return 0
        message.start = start
        message.stop = counted
        return frame

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
        if self.kind == UNTIL:
            return self.read_until(data, have, value)
        if self.kind == DIGITS:
            for i in range(min(have, width)):
                if _digits[data[i]] >= self.base:
                    raise faults.not_a_digit(self.plan, data[i])
                total = total * self.base + _digits[data[i]]
            value[0] = total
            return 0 if have < width else width
        if self.kind == BCD:
            for i in range(min(have, width)):
                byte = data[i]
                if byte >> 4 > 9 or byte & 15 > 9:
                    raise faults.not_a_digit(self.plan, byte)
                total = total * 100 + 10 * (byte >> 4) + (byte & 15)
            value[0] = total
            return 0 if have < width else width
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
            if data[place] != self.until[i]:
                raise faults.not_the_end(self.plan, data[place])
            place += 1
        value[0] = total
        return place

    cdef Py_ssize_t write_number(
        self, uint8_t *field, uint64_t value, uint64_t bits, Py_ssize_t least
    ) except -1:
        """Write a field of at most ``_WIDEST_FIELD`` bytes, as short as can be; return its size.

        ``bits`` are those outside the mask. ``least`` is as in the pure backend.
        """
        cdef uint8_t[24] digits
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t more = 0
        cdef Py_ssize_t i
        cdef bint taken
        cdef uint64_t escape = 0
        if self.kind == UINT:
            _write_uint(field, value << self.shift | bits, self.width, self.big_endian)
            return self.width
        if self.kind == VARINT:
            while value > 0x7F:
                field[size] = value & 0x7F | 0x80
                value >>= 7
                size += 1
            field[size] = <uint8_t>value
            return size + 1
        if self.kind == DIGITS or self.kind == UNTIL:
            while value or not size:
                digits[size] = _FIGURES[value % <uint64_t>self.base]
                value //= <uint64_t>self.base
                size += 1
            more = max(0, self.width - size) if self.kind == DIGITS else 0
            memset(field, c"0", more)
            for i in range(size):
                field[more + i] = digits[size - 1 - i]
            memcpy(field + more + size, self.until, self.until_size)
            return more + size + self.until_size
        if self.kind == BCD:
            for i in range(self.width - 1, -1, -1):
                field[i] = <uint8_t>(value % 10 | value // 10 % 10 << 4)
                value //= 100
            return self.width
        if self.kind == BER:
            if value < 0x80:
                field[0] = <uint8_t>value
                return 1
            while size < 8 and value >> 8 * size:
                size += 1
            field[0] = 0x80 | size
            _write_uint(field + 1, value, size, True)
            return 1 + size
        # ESCAPED
        taken = self.width < least or value > self.mask >> self.shift
        for i in range(self.wider_count):
            taken = taken or self.wider[i].key == value
        if taken:
            for i in range(self.wider_count):
                size = self.wider[i].more
                # Of equally wide ones the least value: they are sorted by it.
                if (
                    (size >= 8 or value >> 8 * size == 0)
                    and self.width + size >= least
                    and (more == 0 or size < more)
                ):
                    more, escape = size, self.wider[i].key
            if more == 0:
                raise faults.contradictory(self.plan)
            _write_uint(field + self.width, value, more, self.big_endian)
            value = escape
        _write_uint(field, value << self.shift | bits, self.width, self.big_endian)
        return self.width + more

    cdef object sum_up(
        self, check, const uint8_t *frame, Py_ssize_t header, Py_ssize_t counted, Py_ssize_t at
    ):
        """Return what a checksum that stands ``at`` bytes into the frame has to be.

        Its function gets a copy: nobody has a view of the frame's own memory.
        """
        cdef Py_ssize_t first = 0
        cdef Py_ssize_t last = at
        cdef int of = check.of
        if of == HEAD:
            last = header - self.head_sum
        elif of == BODY:
            first = header
            last = counted
        covered = memoryview(
            PyBytes_FromStringAndSize(<const char *>frame + first, last - first)
        )
        # As a Python object: 8 bytes and a sign are too much for any number in C.
        low = (<object>1 << 8 * <Py_ssize_t>check.size) - 1
        with covered:
            return check.function(covered) & low


cdef extern from *:
    """
    static Kept last_numbers;
    """
    # Those that were asked for last: the connections of a server all have the same plan.
    Kept last_numbers


cdef PlanNumbers _numbers_of(plan):
    cdef PlanNumbers numbers = None
    cdef PyObject *kept = swap_kept(&last_numbers, NULL)
    if kept != NULL:
        numbers = <PlanNumbers>kept
        drop(kept)
    if numbers is None or numbers.plan is not plan:
        numbers = PlanNumbers.__new__(PlanNumbers, plan)
    put_back(&last_numbers, numbers)
    return numbers
