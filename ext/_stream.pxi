# What all decoders of _varied.pyx have in common: all but the cutting.
#
# Included by _varied.pyx.

from cpython.list cimport PyList_GET_SIZE

cdef enum:
    # Storage of so many bytes is kept from one frame to the next.
    _SMALL = 4096
    _LEAST_STORAGE = 64


@cython.internal
cdef class StreamDecoder:
    """A decoder that lacks only ``cut``. For the contract see the pure backend.

    Bytes of a frame whose size is not known, and of a small one, are kept in ``kept``. Of a large
    one, of which nothing but a trailer is left to be verified, the message is read into ``body``,
    which is handed out: into its own memory it is copied once, or not at all where that memory is
    exported.
    """

    cdef readonly Py_ssize_t pending
    cdef readonly Py_ssize_t frame_size

    # Each idle connection has one: what is small stands together, and takes a byte.
    cdef uint8_t busy
    cdef uint8_t exports_body
    cdef uint8_t first_size
    cdef uint8_t[_PREFIX] first

    # Of the frame whose size was found last: the message is from start to counted.
    cdef Py_ssize_t start
    cdef Py_ssize_t counted

    cdef uint8_t *kept
    cdef Py_ssize_t kept_size
    cdef Py_ssize_t capacity
    cdef PyObject *body
    cdef Py_ssize_t body_capacity

    # What is being decoded, where it is a bytes object, and where that begins.
    cdef bytes source
    cdef const uint8_t *source_first

    # Messages in all, and those of the last read.
    cdef Py_ssize_t count
    cdef Py_ssize_t usual
    cdef tuple fault
    cdef BorrowedBuffer exported
    cdef object view

    def __dealloc__(self):
        PyMem_Free(self.kept)
        drop(self.body)

    def __reduce__(self):
        raise refuse.no_pickle(self)

    @property
    def prefix(self):
        return PyBytes_FromStringAndSize(<const char *>self.first, self.first_size)

    @property
    def saw_control(self):
        return False

    @cython.critical_section
    def feed(self, data, /):
        """Take the next bytes of the stream; return the messages that are now whole."""
        cdef Py_buffer view
        self.check_feed()
        if PyBytes_CheckExact(data):
            return self.parse(
                <const uint8_t *>PyBytes_AsString(data), PyBytes_Size(data), <bytes>data
            )
        _acquire(data, &view)
        try:
            self.check_feed()  # again: __buffer__ may have called this decoder
            return self.parse(<const uint8_t *>view.buf, view.len, None)
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
            self.die(type(error), str(error))
            raise
        finally:
            self.busy = False
        return self.view

    @cython.critical_section
    def buffer_updated(self, nbytes, /):
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
                return self.parse(<const uint8_t *>exported.start, count, None)
            finally:
                put_back(&spare_scratch, exported)
        self.note_prefix(<const uint8_t *>exported.start, count)
        if exported.views == 0:
            exported.clear()
        self.pending += count
        if self.pending == self.frame_size:
            self.end_frame(frames)
            self.count += 1
        return frames

    @cython.critical_section
    def finish(self):
        """Raise IncompleteFrameError if the stream, which has ended, ends inside a frame."""
        self.check()
        if self.pending:
            raise refuse.incomplete(self.pending, self.frame_size, number=self.count + 1)

    @cython.critical_section
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
        self.source = data
        self.source_first = first
        try:
            stop = self.cut(first + place, end, frames)
        finally:
            self.source = None
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

    cdef int export(self) except -1:
        cdef BorrowedBuffer exported
        cdef Py_ssize_t filled = self.pending - self.start
        self.exports_body = (
            self.body != NULL and filled >= 0 and self.counted - self.pending > _DIRECT
        )
        if self.exports_body:
            if self.body_capacity - filled < _LARGE:
                self.reserve(filled + _LARGE)
            exported = BorrowedBuffer.__new__(BorrowedBuffer)
            exported.owner = <object>self.body
            exported.start = bytes_memory(self.body) + filled
            exported.size = self.body_capacity - filled
        else:
            exported = _take_scratch()
        self.view = memoryview(exported)
        self.exported = exported
        return 0

    cdef void note_prefix(self, const uint8_t *data, Py_ssize_t size) noexcept:
        size = min(size, _PREFIX - self.first_size)
        if size > 0:
            memcpy(self.first + self.first_size, data, size)
            self.first_size += size

    cdef list parse(self, const uint8_t *data, Py_ssize_t size, bytes source):
        cdef list frames = _new_frames(self.usual, size)
        self.note_prefix(data, size)
        self.busy = True
        self.source = source
        self.source_first = data
        try:
            self.split(data, data + size, frames)
        except FramingError as error:
            self.die(type(error), str(error))
            error.frames = frames
            raise
        except BaseException as error:
            # From a function that the program gave. Where the next frame starts is not known.
            self.die(FramingError, f"the decoder was left by {type(error).__name__}: {error}")
            raise
        finally:
            self.source = None
            self.busy = False
        self.usual = PyList_GET_SIZE(frames)
        self.count += self.usual
        return frames

    cdef int die(self, kind, text) except -1:
        self.forget()
        self.pending = self.frame_size = 0
        self.fault = (kind, text)
        return 0

    cdef int forget(self) except -1:
        """Let go of the bytes that are kept: the decoder is dead."""
        PyMem_Free(self.kept)
        self.kept = NULL
        self.kept_size = self.capacity = 0
        drop(self.body)
        self.body = NULL
        self.body_capacity = 0
        return 0

    cdef int split(self, const uint8_t *place, const uint8_t *end, list frames) except -1:
        while place < end:
            place = self.cut(place, end, frames)
        return 0

    cdef const uint8_t *cut(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Take bytes from ``place`` on, to the end of a frame or of what is there.

        Appends the message if the frame is whole now; return where it stopped.
        """
        raise NotImplementedError

    cdef int store(self, const uint8_t *place, Py_ssize_t count) except -1:
        """Keep some bytes: the storage is doubled, so that copies stay few.

        What a head declares is an upper bound and nothing more: a peer that
        declares much and sends little costs little.
        """
        cdef Py_ssize_t need = self.kept_size + count
        cdef Py_ssize_t grown
        cdef uint8_t *kept
        if need > self.capacity:
            grown = max(need, 2 * self.capacity, _LEAST_STORAGE)
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

    cdef int empty(self) except -1:
        """Go on without what is kept; large storage is given back."""
        self.kept_size = 0
        if self.capacity > _SMALL:
            PyMem_Free(self.kept)
            self.kept = NULL
            self.capacity = 0
        return 0

    cdef int hand_out_kept(self, list frames) except -1:
        """End a frame all of which is kept."""
        frames.append(
            PyBytes_FromStringAndSize(
                <const char *>self.kept + self.start, self.counted - self.start
            )
        )
        self.pending = self.frame_size = 0
        self.empty()
        return 0

    cdef const uint8_t *begin(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Begin to read a large message into its own memory, with what is kept and the input."""
        self.pending = 0
        self.reserve(1)
        if self.kept_size:
            self.fill(self.kept, self.kept + self.kept_size, frames)
            self.empty()
        return self.fill(place, end, frames) if place < end else end

    cdef const uint8_t *fill(
        self, const uint8_t *place, const uint8_t *end, list frames
    ) except NULL:
        """Move bytes from ``place`` on to the large frame; return where it stopped."""
        cdef Py_ssize_t before = self.pending
        cdef Py_ssize_t after = min(before + (end - place), self.frame_size)
        cdef Py_ssize_t first = max(before, self.start)
        cdef Py_ssize_t last = min(after, self.counted)
        if first < last:
            self.reserve(last - self.start)
            memcpy(
                bytes_memory(self.body) + (first - self.start),
                place + (first - before),
                last - first,
            )
        if after > self.counted:
            first = max(before, self.counted)
            self.verify_tail(place + (first - before), first - self.counted, after - first)
        self.pending = after
        if after == self.frame_size:
            self.end_frame(frames)
        return place + (after - before)

    cdef int verify_tail(
        self, const uint8_t *place, Py_ssize_t number, Py_ssize_t count
    ) except -1:
        """Verify ``count`` bytes behind the counted part, from the one of that number on."""
        return 0

    cdef int reserve(self, Py_ssize_t need) except -1:
        """Grow the message's memory to ``need`` bytes: double, so that copies stay few."""
        cdef Py_ssize_t grown
        cdef PyObject *body
        if self.body_capacity >= need:
            return 0
        grown = min(
            self.counted - self.start, max(need, 2 * self.body_capacity, _FIRST_STORAGE)
        )
        if self.body != NULL and references(self.body) == 1:
            _PyBytes_Resize(&self.body, grown)
        else:
            body = new_bytes(NULL, grown)
            if self.body != NULL:
                # A borrower kept a view: the old memory is left to it.
                memcpy(bytes_memory(body), bytes_memory(self.body), self.body_capacity)
                drop(self.body)
            self.body = body
        self.body_capacity = grown
        return 0

    cdef int end_frame(self, list frames) except -1:
        """End a large frame: its message is full, and like any other bytes object from here on."""
        message = <object>self.body
        drop(self.body)
        self.body = NULL
        self.body_capacity = 0
        self.pending = self.frame_size = 0
        frames.append(message)
        return 0
