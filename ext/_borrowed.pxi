# What the decoders have in common: memory that is exported, bytes objects that grow, and lists
# with room.
#
# Included by _codec.pyx and _varied.pyx; each has a scratch buffer of its own.

from cpython.buffer cimport (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_SIMPLE,
    PyBUF_STRIDES,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cpython.bytearray cimport PyByteArray_AsString, PyByteArray_FromStringAndSize
from cpython.bytes cimport (
    PyBytes_AsString,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_Size,
)
from cpython.object cimport PyObject

from sealframe.framing import refusals as refuse

cdef extern from "Python.h":
    # The raw forms: a bytes object that grows is held as a bare pointer, so that
    # Cython adds no reference of its own.
    PyObject *new_bytes "PyBytes_FromStringAndSize" (const char *, Py_ssize_t) except NULL
    char *bytes_memory "PyBytes_AsString" (PyObject *) except NULL
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    Py_ssize_t references "Py_REFCNT" (PyObject *)
    void drop "Py_XDECREF" (PyObject *)
    # With NULL, numbers out of range are clipped.
    Py_ssize_t PyNumber_AsSsize_t(object, PyObject *) except? -1
    Py_ssize_t PY_SSIZE_T_MAX

cdef extern from *:
    """
    static Py_ssize_t exports_of(PyObject *view) {
    #ifdef PYPY_VERSION
        return 1;  /* not known there: it is released when nobody has it any more */
    #else
        return ((PyMemoryViewObject *)view)->exports;
    #endif
    }

    /* An empty list that grows to so many items without being moved. */
    static PyObject *list_with_room(Py_ssize_t room) {
    #ifdef PYPY_VERSION
        return PyList_New(0);
    #else
        PyObject *list = PyList_New(room);
        if (list != NULL)
            Py_SET_SIZE(list, 0);
        return list;
    #endif
    }

    /* Append a new item, whose only reference is the list's from here on. What Cython makes of
       append() calls a function while a list is less than half full. */
    static inline int add_new(PyObject *list, PyObject *item) {
    #ifndef PYPY_VERSION
        Py_ssize_t size = PyList_GET_SIZE(list);
        if (size < ((PyListObject *)list)->allocated) {
            PyList_SET_ITEM(list, size, item);
            Py_SET_SIZE(list, size + 1);
            return 0;
        }
    #endif
        int result = PyList_Append(list, item);
        Py_DECREF(item);
        return result;
    }

    /* What is kept for whoever asks next. It is taken out and put back in one step each, so
       two threads never hold the same. Without the GIL there is one for each thread, more or
       less: two event loops that shared one would wait for each other's caches, as they would
       for two that are in one line of them: so far apart are the places. A line has 128 bytes on
       Apple's processors, 64 on most others. */
    #ifdef Py_GIL_DISABLED
    typedef union { PyObject *item; char line[128]; } Place;
    typedef struct { Place places[16]; } Kept;

    static PyObject **place_of_thread(Kept *kept) {
        uint64_t mixed = (uint64_t)PyThread_get_thread_ident() * 0x9E3779B97F4A7C15u;
        return &kept->places[mixed >> 60].item;
    }
    static PyObject *swap_kept(Kept *kept, PyObject *item) {
        return (PyObject *)_Py_atomic_exchange_ptr(place_of_thread(kept), item);
    }
    #else
    typedef struct { PyObject *place; } Kept;

    static inline PyObject *swap_kept(Kept *kept, PyObject *item) {
        PyObject *before = kept->place;
        kept->place = item;
        return before;
    }
    #endif

    static inline void keep(Kept *kept, PyObject *item) {
        Py_INCREF(item);
        Py_XDECREF(swap_kept(kept, item));
    }

    static Kept spare_scratch;
    """
    Py_ssize_t exports_of(object)
    list list_with_room(Py_ssize_t)
    int add_new(list, PyObject *) except -1
    ctypedef struct Kept:
        pass
    # A new reference, or NULL: given up by the place, for NULL or another item.
    PyObject *swap_kept(Kept *, PyObject *)
    void put_back "keep" (Kept *, object)
    Kept spare_scratch

# Kept equal to the constants of the same names in the pure backends.
cdef enum:
    _SCRATCH = 256 * 1024
    _LARGE = 64 * 1024
    # So much of a message has to be missing before its own memory is exported.
    _DIRECT = 16 * 1024
    _FIRST_STORAGE = 1024
    _PREFIX = 8

cdef char *_UNSIGNED_BYTES = b"B"


cdef BorrowedBuffer _take_scratch():
    """Return memory of 256 KiB that nobody else writes to; whoever is done puts it back."""
    cdef BorrowedBuffer scratch = None
    cdef PyObject *kept = swap_kept(&spare_scratch, NULL)
    if kept != NULL:
        scratch = <BorrowedBuffer>kept
        drop(kept)
    # While anyone has a view of it, it is left to them.
    if scratch is None or scratch.views:
        scratch = BorrowedBuffer.__new__(BorrowedBuffer)
        scratch.owner = PyByteArray_FromStringAndSize(NULL, _SCRATCH)
        scratch.start = PyByteArray_AsString(scratch.owner)
        scratch.size = _SCRATCH
    return scratch


cdef inline list _new_frames(Py_ssize_t usual, Py_ssize_t size):
    """Return a list for the messages in ``size`` bytes, with room for the usual number of them.

    A list that grows is moved again and again, and leaves holes among large messages. Its items
    never take more memory than the bytes that were received.
    """
    return list_with_room(min(usual, size >> 3))


cdef int _acquire(object data, Py_buffer *view) except -1:
    try:
        PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except BufferError:
        raise refuse.not_contiguous() from None
    except TypeError:
        raise refuse.not_bytes(data) from None
    return 0


cdef bytes _copied(object data):
    cdef Py_buffer view
    _acquire(data, &view)
    try:
        return PyBytes_FromStringAndSize(<const char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


@cython.final
@cython.internal
cdef class BorrowedBuffer:
    """Memory exported through the buffer protocol; it stays alive while there are views of it."""

    cdef char *start
    cdef Py_ssize_t size
    cdef Py_ssize_t views
    cdef object owner

    def __getbuffer__(self, Py_buffer *view, int flags):
        view.buf = self.start
        view.obj = self
        view.len = self.size
        view.itemsize = 1
        view.readonly = 0
        view.ndim = 1
        view.format = _UNSIGNED_BYTES if flags & PyBUF_FORMAT else NULL
        view.shape = &self.size if flags & PyBUF_ND else NULL
        view.strides = &view.itemsize if flags & PyBUF_STRIDES == PyBUF_STRIDES else NULL
        view.suboffsets = NULL
        view.internal = NULL
        self.views += 1

    def __releasebuffer__(self, Py_buffer *view):
        self.views -= 1

    cdef void clear(self) noexcept:
        self.start = NULL
        self.size = 0
        self.owner = None
