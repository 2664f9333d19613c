# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False
"""The queues of a connection in C, twin of ``sealframe.aio._queues_py``: same steps, same names.

What makes them fast is that a call which need not wait costs no coroutine: it returns
an object that does what a coroutine would, when it is awaited and not before.
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_INCREF

from asyncio import _get_running_loop
from sys import maxsize

from sealframe.wire import MESSAGE_OVERHEAD

__all__ = ["ANYHOW", "InQueue", "OutQueue"]

ANYHOW = maxsize

cdef extern from *:
    """
    /* What an await calls: am_send in Python 3.11 and in event loops, tp_iternext from 3.12 on.
       Cython's own would make a traceback of each StopIteration, and cost five times as much. */
    #if !defined(Py_LIMITED_API) && !defined(PYPY_VERSION)
    typedef int (*step_function)(PyObject *, PyObject *, PyObject **);
    static step_function step_of_calls;

    static PyObject *next_of_calls(PyObject *call) {
        PyObject *result = NULL;
        int state = step_of_calls(call, Py_None, &result);
        if (state == PYGEN_NEXT || result == NULL)
            return result;
        if (result != Py_None) {  /* without an exception, the end is that of None */
            PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    #if PY_VERSION_HEX >= 0x030C0000
            if (stop != NULL)
                PyErr_SetRaisedException(stop);
    #else
            if (stop != NULL)
                PyErr_SetObject(PyExc_StopIteration, stop);
            Py_XDECREF(stop);
    #endif
        }
        Py_DECREF(result);
        return NULL;
    }

    static void take_slots(PyTypeObject *type, step_function step) {
        step_of_calls = step;
        type->tp_as_async->am_send = (sendfunc)step;
        type->tp_iternext = next_of_calls;
    }
    #else
    static void take_slots(PyTypeObject *type, int (*step)(PyObject *, PyObject *, PyObject **)) {}
    #endif
    """
    void take_slots(type, int (*)(object, object, PyObject **) except -1)

cdef extern from "Python.h":
    int PyIter_Send(object, object, PyObject **) except -1
    int PYGEN_RETURN
    int PYGEN_NEXT
    int PyErr_WarnEx(object, const char *, Py_ssize_t)
    void PyErr_WriteUnraisable(object)
    void PyErr_Fetch(PyObject **, PyObject **, PyObject **)
    void PyErr_Restore(PyObject *, PyObject *, PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX
    void _drop "Py_DECREF" (PyObject *)

# Kept equal to the constants of the same names in the twin.
cdef enum:
    _FLUSH_COST = 128 * 1024
    _COMPACT = 1024

cdef Py_ssize_t _OVERHEAD = MESSAGE_OVERHEAD


cdef object _owned(PyObject *result):
    """Return what a function gave as a new reference."""
    value = <object>result
    _drop(result)
    return value


cdef int _step(object call, object value, PyObject **result) except -1:
    return (<_Call>call).step(value, result)


cdef enum _Kind:
    SEND
    RECV
    NEXT


@cython.final
@cython.freelist(16)
cdef class _Call:
    """A call that is over at its first step, or is carried on by a coroutine from there.

    One class for all of them: only a class without a base has a free list.
    """

    cdef object connection
    cdef object queue
    cdef object message
    cdef object coroutine
    cdef _Kind kind
    cdef bint fresh
    """Whether nothing has been done with it; false in one that was not made here."""

    @property
    def __name__(self):
        return "send" if self.kind == SEND else "recv"

    @property
    def __qualname__(self):
        return f"Connection.{self.__name__}"

    cdef int attempt(self, PyObject **result) except -1:
        """Do it at once; return 0 if that is not possible, with nothing done."""
        cdef OutQueue outgoing
        cdef InQueue incoming
        if self.kind == SEND:
            outgoing = <OutQueue>self.queue
            if not outgoing.accept(self.message):
                return 0
            if outgoing.is_due():
                self.connection._sent()
            Py_INCREF(None)
            result[0] = <PyObject *>None
            return 1
        incoming = <InQueue>self.queue
        if not incoming.ready():
            return 0
        # An iteration began in the right loop; to look for each message costs too much.
        if self.kind == RECV and _get_running_loop() is not incoming.loop:
            return 0
        result[0] = incoming.pop_raw()
        return 1

    cdef object carry_on(self):
        """Return the coroutine that does it otherwise."""
        if self.kind == SEND:
            return self.connection._send_slowly(self.message)
        return self.connection._recv_slowly(self.kind == NEXT)

    cdef int step(self, object value, PyObject **result) except -1:
        if self.coroutine is None:
            if not self.fresh:
                raise RuntimeError("cannot reuse already awaited coroutine")
            if value is not None:
                raise TypeError("can't send non-None value to a just-started coroutine")
            self.fresh = False
            if self.attempt(result):
                return PYGEN_RETURN
            self.coroutine = self.carry_on()
        return PyIter_Send(self.coroutine, value, result)

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    def send(self, value):
        """Go on, as a coroutine does."""
        cdef PyObject *result = NULL
        cdef int state = self.step(value, &result)
        outcome = _owned(result)
        if state == PYGEN_NEXT:
            return outcome
        raise StopIteration(outcome)

    def throw(self, kind, value=None, traceback=None):
        """Raise an exception where it stands, as a coroutine does."""
        if self.coroutine is None:
            if not self.fresh:
                raise RuntimeError("cannot reuse already awaited coroutine")
            self.fresh = False
            self.coroutine = self.carry_on()
        if value is None and traceback is None:
            return self.coroutine.throw(kind)
        return self.coroutine.throw(kind, value, traceback)

    def close(self):
        """End it where it stands, as a coroutine does."""
        self.fresh = False
        if self.coroutine is not None:
            self.coroutine.close()

    def __dealloc__(self):
        if self.fresh:
            _warn_never_awaited(self.kind)


cdef inline _Call _make_call(_Kind kind, object connection, object queue, object message):
    cdef _Call call = _Call.__new__(_Call)
    call.connection = connection
    call.queue = queue
    call.message = message
    call.kind = kind
    call.fresh = True
    return call


cdef void _warn_never_awaited(_Kind kind) noexcept:
    cdef PyObject *error
    cdef PyObject *value
    cdef PyObject *traceback
    cdef const char *text = b"coroutine 'Connection.recv' was never awaited"
    if kind == SEND:
        text = b"coroutine 'Connection.send' was never awaited"
    PyErr_Fetch(&error, &value, &traceback)
    if PyErr_WarnEx(RuntimeWarning, text, 1) < 0:
        PyErr_WriteUnraisable(None)
    PyErr_Restore(error, value, traceback)


cdef class OutQueue:
    """Messages that wait to be written. For the contract see the twin."""

    cdef readonly Py_ssize_t cost
    cdef public Py_ssize_t mark
    cdef public Py_ssize_t smallest
    cdef public Py_ssize_t largest
    cdef public bint held
    cdef public bint scheduled
    cdef list messages
    """None while there are none."""
    cdef object loop
    cdef unsigned long thread

    def __cinit__(self, *_):
        self.loop = _get_running_loop()
        self.thread = PyThread_get_thread_ident()

    def __len__(self):
        return 0 if self.messages is None else PyList_GET_SIZE(self.messages)

    @property
    def due(self):
        return self.is_due()

    def send(self, connection, message):
        """Return an awaitable that sends one message."""
        return _make_call(SEND, connection, self, message)

    def offer(self, list messages not None):
        """Accept all messages, or none; return whether they were accepted."""
        cdef Py_ssize_t cost = 0
        cdef Py_ssize_t size
        if self.cost >= self.mark:
            return False
        for message in messages:
            if not PyBytes_CheckExact(message):
                return False
            size = PyBytes_GET_SIZE(message)
            if not self.smallest <= size <= self.largest:
                return False
            cost += size + _OVERHEAD
        self.list_of_messages().extend(messages)
        self.cost += cost
        return True

    def append(self, bytes message not None):
        """Accept a message, whatever the cost."""
        self.list_of_messages().append(message)
        self.cost += PyBytes_GET_SIZE(message) + _OVERHEAD

    def extend(self, list messages not None):
        """Accept messages, whatever the cost."""
        for message in messages:
            self.append(message)

    def take(self, Py_ssize_t size):
        """Take the oldest messages, until their cost reaches ``size``."""
        cdef list messages = self.messages
        cdef Py_ssize_t cost = 0
        cdef Py_ssize_t count = 0
        if messages is None:
            return []
        if self.cost <= size:
            self.messages = None
            self.cost = 0
            return messages
        while cost < size and count < PyList_GET_SIZE(messages):
            cost += PyBytes_GET_SIZE(<object>PyList_GET_ITEM(messages, count)) + _OVERHEAD
            count += 1
        taken = messages[:count]
        del messages[:count]
        self.cost -= cost
        return taken

    def clear(self):
        """Drop everything; return how many messages that were."""
        cdef Py_ssize_t count = len(self)
        self.messages = None
        self.cost = 0
        return count

    cdef bint is_due(self) noexcept:
        return not self.scheduled or (self.cost >= _FLUSH_COST and not self.held)

    cdef bint accept(self, object message) except -1:
        cdef Py_ssize_t size
        if self.cost >= self.mark or not PyBytes_CheckExact(message):
            return False
        size = PyBytes_GET_SIZE(message)
        if not self.smallest <= size <= self.largest:
            return False
        # Within a tick of the loop, in its own thread, no other runs (unless it was stopped
        # in that very tick).
        if PyThread_get_thread_ident() != self.thread:
            return False
        if not self.scheduled and _get_running_loop() is not self.loop:
            return False
        self.list_of_messages().append(message)
        self.cost += size + _OVERHEAD
        return True

    cdef inline list list_of_messages(self):
        if self.messages is None:
            # To make a list can run finalizers, and those can send.
            fresh = []
            if self.messages is None:
                self.messages = fresh
        return self.messages


@cython.final
cdef class _Messages:
    """``async for`` over what arrives."""

    cdef InQueue queue
    cdef object connection

    def __aiter__(self):
        return self

    def __anext__(self):
        # One that was made by hand has no queue.
        if self.queue is None or not self.queue.ready():
            return self.connection._recv_slowly(True)
        return _make_call(NEXT, self.connection, self.queue, None)


cdef class InQueue:
    """Messages that wait to be taken. For the contract see the twin."""

    cdef readonly Py_ssize_t cost
    cdef public Py_ssize_t low_mark
    cdef list messages
    cdef Py_ssize_t place
    """Of the oldest message; before it stands nothing any more."""
    cdef object loop
    cdef unsigned long thread

    def __cinit__(self, *_):
        self.low_mark = -1
        self.loop = _get_running_loop()
        self.thread = PyThread_get_thread_ident()

    def __len__(self):
        return 0 if self.messages is None else PyList_GET_SIZE(self.messages) - self.place

    def extend(self, list messages not None):
        """Add messages; the list is the queue's from now on."""
        cdef Py_ssize_t cost = 0
        for message in messages:
            cost += PyBytes_GET_SIZE(message) + _OVERHEAD
        self.cost += cost
        if self.messages is None:
            if messages:
                self.messages = messages
        else:
            self.messages.extend(messages)
        if self.low_mark == PY_SSIZE_T_MAX:
            self.wake()

    def wake(self):
        """Do what is to be done when messages came and tasks wait; for the subclass."""
        raise NotImplementedError

    def pop(self):
        """Take the oldest message; there must be one."""
        if self.messages is None:
            raise IndexError("pop from an empty queue")
        return _owned(self.pop_raw())

    def peek(self):
        """Return the oldest message and leave it there; there must be one."""
        if self.messages is None:
            raise IndexError("peek into an empty queue")
        return <object>PyList_GET_ITEM(self.messages, self.place)

    def pop_many(self, limit):
        """Take all messages, or the oldest ``limit`` of them."""
        cdef list taken = self.messages
        if taken is None:
            return []
        if limit is None or limit >= len(self):
            if self.place:
                taken = taken[self.place :]
            self.forget()
            self.cost = 0
            return taken
        return [self.pop() for _ in range(limit)]

    def recv(self, connection):
        """Return an awaitable that takes the oldest message."""
        return _make_call(RECV, connection, self, None)

    def iterate(self, connection):
        """Return an asynchronous iterator that takes message by message."""
        cdef _Messages messages = _Messages.__new__(_Messages)
        messages.queue = self
        messages.connection = connection
        return messages

    cdef bint ready(self) noexcept:
        """Return whether the oldest message can be taken and nobody is to be told."""
        cdef list messages = self.messages
        if messages is None or PyThread_get_thread_ident() != self.thread:
            return False
        if self.low_mark < 0:
            return True
        message = <object>PyList_GET_ITEM(messages, self.place)
        return self.cost - PyBytes_GET_SIZE(message) - _OVERHEAD > self.low_mark

    cdef PyObject *pop_raw(self) noexcept:
        """Return the oldest message as a new reference; there must be one."""
        cdef list messages = self.messages
        cdef PyObject *message = PyList_GET_ITEM(messages, self.place)
        # The list's own reference goes to the caller.
        Py_INCREF(None)
        PyList_SET_ITEM(messages, self.place, None)
        self.place += 1
        self.cost -= PyBytes_GET_SIZE(<object>message) + _OVERHEAD
        if self.place == PyList_GET_SIZE(messages):
            self.forget()
        elif self.place >= _COMPACT and 2 * self.place >= PyList_GET_SIZE(messages):
            del messages[: self.place]
            self.place = 0
        return message

    cdef void forget(self) noexcept:
        self.messages = None
        self.place = 0


take_slots(_Call, _step)
