# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False, freethreading_compatible=True
"""The queues of a connection: the compiled backend, equal to ``sealframe.aio._queues_py``, which
has the contract. Same steps, same names.

What makes them fast is that a call which need not wait costs no coroutine: it returns
an object that does what a coroutine would, when it is awaited and not before.
"""

cimport cython
from cpython.bytes cimport PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE, PyList_SET_ITEM
from cpython.object cimport PyObject
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint32_t

from asyncio import _get_running_loop
from collections import OrderedDict
from sys import maxsize

from sealframe.wire import MESSAGE_OVERHEAD

__all__ = ["ALWAYS_WAKE", "InQueue", "OutQueue"]

ALWAYS_WAKE = maxsize

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

cdef extern from *:
    """
    /* A new list, whose items are still to be set. No finalizer runs meanwhile, which could send or
       close: up to Python 3.11 a new object can begin a collection. */
    static PyObject *list_undisturbed(Py_ssize_t size) {
    #if PY_VERSION_HEX < 0x030C0000 && !defined(PYPY_VERSION)
        int enabled = PyGC_Disable();
        PyObject *list = PyList_New(size);
        if (enabled)
            PyGC_Enable();
        return list;
    #else
        return PyList_New(size);
    #endif
    }
    """
    list list_undisturbed(Py_ssize_t)

cdef extern from "<stdbool.h>":
    ctypedef bint flag "bool"

cdef extern from "Python.h":
    int PyIter_Send(object, object, PyObject **) except -1
    int PYGEN_RETURN
    int PYGEN_NEXT
    int PyErr_WarnEx(object, const char *, Py_ssize_t)
    void PyErr_WriteUnraisable(object)
    void PyErr_Clear()
    void PyErr_Fetch(PyObject **, PyObject **, PyObject **)
    void PyErr_Restore(PyObject *, PyObject *, PyObject *)
    Py_ssize_t PY_SSIZE_T_MAX
    void _drop "Py_DECREF" (PyObject *)
    void _set_item "PyList_SET_ITEM" (object, Py_ssize_t, PyObject *)
    # Without an exception of Cython's, and with NULL, which deletes.
    int _set_slice "PyList_SetSlice" (PyObject *, Py_ssize_t, Py_ssize_t, PyObject *)

# Kept equal to the constants of the same names in the pure backend.
cdef enum:
    FLUSH_BYTES = 128 * 1024
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
@cython.no_gc_clear
cdef class _Call:
    """A call that is over at its first step, or goes on as the coroutine of its slow path.

    One class for all of them: only a class without a base has a free list. Cycles are broken at
    the other objects in them: one that waits needs what it has until it is gone.
    """

    cdef object owner
    cdef object queue
    cdef object message
    cdef object coroutine
    cdef object waiter
    """The future that it waits for, where it waits itself and needs no coroutine for that."""
    cdef _Kind kind
    cdef bint fresh
    """Whether nothing has been done with it; false in one that was not made here."""

    @property
    def __name__(self):
        return "send" if self.kind == SEND else "recv"

    @property
    def __qualname__(self):
        return f"Connection.{self.__name__}"

    cdef int try_fast_path(self, PyObject **result) except -1:
        """Try the fast path; return 0 if it cannot be taken, with nothing done."""
        cdef OutQueue outgoing
        cdef InQueue incoming
        if self.kind == SEND:
            outgoing = <OutQueue>self.queue
            if not outgoing.accept(self.owner, self.message):
                return 0
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

    cdef object begin_slow_path(self):
        """Return the coroutine of the slow path."""
        if self.kind == SEND:
            return self.queue.send_slow_path(self.owner, self.message)
        return self.queue.recv_slow_path(self.owner, self.kind == NEXT)

    cdef int step(self, object value, PyObject **result) except -1:
        if self.coroutine is None:
            if not self.fresh:
                raise RuntimeError("cannot reuse already awaited coroutine")
            if value is not None:
                raise TypeError("can't send non-None value to a just-started coroutine")
            self.fresh = False
            if self.try_fast_path(result):
                return PYGEN_RETURN
            if self.kind != SEND and (<InQueue>self.queue).may_wait(self.owner):
                self.begin_wait()
            else:
                self.coroutine = self.begin_slow_path()
        if self.waiter is not None:
            return self.go_on_waiting(value, result)
        return PyIter_Send(self.coroutine, value, result)

    cdef int begin_wait(self) except -1:
        """Wait for a message here: a coroutine for it would cost as much as all the rest."""
        cdef InQueue queue = <InQueue>self.queue
        waiter = queue.loop.create_future()
        self.coroutine = iter(waiter.__await__())
        queue.add_waiter(waiter)
        self.waiter = waiter
        return 0

    cdef int go_on_waiting(self, object value, PyObject **result) except -1:
        """Step to the future; once it is done, take the message, or go the slow path."""
        cdef int state
        try:
            state = PyIter_Send(self.coroutine, value, result)
        except BaseException:
            self.end_wait()
            raise
        if state != PYGEN_RETURN:
            return state
        _drop(result[0])
        self.waiter = None
        self.coroutine = None
        if (<InQueue>self.queue).ready():
            result[0] = (<InQueue>self.queue).pop_raw()
            return PYGEN_RETURN
        self.coroutine = self.begin_slow_path()
        return PyIter_Send(self.coroutine, None, result)

    cdef int end_wait(self) except -1:
        """Give up waiting; a wake-up that it got goes to the next."""
        waiter = self.waiter
        if waiter is not None:
            self.waiter = self.coroutine = None
            self.queue.discard_waiter(waiter)
        return 0

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
            self.coroutine = self.begin_slow_path()
        try:
            if value is None and traceback is None:
                return self.coroutine.throw(kind)
            return self.coroutine.throw(kind, value, traceback)
        except BaseException:
            self.end_wait()
            raise

    def close(self):
        """End it where it stands, as a coroutine does."""
        self.fresh = False
        if self.coroutine is not None:
            self.coroutine.close()
        self.end_wait()

    def __dealloc__(self):
        if self.fresh:
            _warn_never_awaited(self.kind)
        elif self.waiter is not None:
            # It was dropped while it waited. A coroutine is closed then.
            self.end_wait()


cdef inline _Call _make_call(_Kind kind, object owner, object queue, object message):
    cdef _Call call = _Call.__new__(_Call)
    call.owner = owner
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
    """Messages that wait to be written. For the contract see the pure backend."""

    cdef readonly Py_ssize_t queued_bytes
    cdef public Py_ssize_t high_water
    cdef public Py_ssize_t smallest
    cdef public Py_ssize_t largest
    # In eight bytes together: there is one of these for each connection, and most are idle.
    cdef public flag paused
    cdef public flag scheduled
    cdef uint32_t place
    """Of the oldest message; before it stands nothing any more. A message costs 64 bytes and more,
    so that there are never too many for 32 bits."""
    cdef list messages
    """None while there are none."""
    cdef object loop
    cdef unsigned long thread

    def __cinit__(self, *_):
        self.loop = _get_running_loop()
        self.thread = PyThread_get_thread_ident()

    def __len__(self):
        return 0 if self.messages is None else PyList_GET_SIZE(self.messages) - self.place

    @property
    def due(self):
        return self.is_due()

    @property
    def above_high_water(self):
        return self.queued_bytes >= self.high_water

    def send(self, owner, message):
        """Return an awaitable that sends one message."""
        return _make_call(SEND, owner, self, message)

    def send_slow_path(self, owner, message):
        """Check the message and the connection, and wait for room; for the subclass."""
        raise NotImplementedError

    def send_nowait(self, owner, message):
        """Send one message, without waiting."""
        if not self.accept(owner, message):
            self.send_nowait_slow_path(owner, message)

    def send_nowait_slow_path(self, owner, message):
        """Check the message and the connection, and whether there is room; for the subclass."""
        raise NotImplementedError

    def offer(self, list messages not None):
        """Accept all messages, or none; return whether they were accepted."""
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t size
        if self.queued_bytes >= self.high_water:
            return False
        for message in messages:
            if not PyBytes_CheckExact(message):
                return False
            size = PyBytes_GET_SIZE(message)
            if not self.smallest <= size <= self.largest:
                return False
            total += size + _OVERHEAD
        self.list_of_messages().extend(messages)
        self.queued_bytes += total
        return True

    def append(self, bytes message not None):
        """Accept a message, even above the high-water mark."""
        self.push(message)

    def extend(self, list messages not None):
        """Accept messages, even above the high-water mark."""
        for message in messages:
            self.append(message)

    def take(self, Py_ssize_t size):
        """Take the oldest messages, until they count ``size`` bytes or more."""
        cdef list messages = self.messages
        cdef Py_ssize_t first = self.place
        cdef Py_ssize_t last = first
        cdef Py_ssize_t total = 0
        cdef Py_ssize_t i
        if messages is None:
            return []
        if self.queued_bytes <= size and not first:
            self.forget()
            return messages
        while total < size and last < PyList_GET_SIZE(messages):
            total += PyBytes_GET_SIZE(<object>PyList_GET_ITEM(messages, last)) + _OVERHEAD
            last += 1
        taken = list_undisturbed(last - first)
        # From here on nothing is made, so that nobody sees the queue half changed.
        for i in range(first, last):
            # The list's own reference goes to the other one.
            _set_item(taken, i - first, PyList_GET_ITEM(messages, i))
            Py_INCREF(None)
            PyList_SET_ITEM(messages, i, None)
        self.queued_bytes -= total
        self.place = last
        if last == PyList_GET_SIZE(messages):
            self.forget()
        elif last >= _COMPACT and 2 * last >= PyList_GET_SIZE(messages):
            # Not each time: to move all that is behind them takes longer than all the rest.
            # No `del`: that makes a slice. Without memory for it, it is left to the next time.
            if _set_slice(<PyObject *>messages, 0, last, NULL) < 0:
                PyErr_Clear()
            else:
                self.place = 0
        return taken

    def peek(self, Py_ssize_t first, Py_ssize_t count):
        """Return some of the messages, and leave them where they are."""
        first += self.place
        return [] if self.messages is None else self.messages[first:first + count]

    def clear(self):
        """Drop all messages; return how many there were."""
        cdef Py_ssize_t count = len(self)
        self.forget()
        return count

    cdef void forget(self) noexcept:
        self.messages = None
        self.place = 0
        self.queued_bytes = 0

    cdef bint is_due(self) noexcept:
        return not self.scheduled or (self.queued_bytes >= FLUSH_BYTES and not self.paused)

    cdef bint accept(self, object owner, object message) except -1:
        cdef Py_ssize_t size
        if self.queued_bytes >= self.high_water or not PyBytes_CheckExact(message):
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
        if (
            self.messages is not None
            or self.scheduled
            or self.paused
            or not owner.write_now(message)
        ):
            self.push(message)
            if self.is_due():
                owner.flush_soon()
        return True

    cdef int push(self, object message) except -1:
        self.list_of_messages().append(message)
        self.queued_bytes += PyBytes_GET_SIZE(message) + _OVERHEAD
        return 0

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
    cdef object owner

    def __aiter__(self):
        return self

    def __anext__(self):
        # One that was made by hand has no queue.
        if self.queue is None or not (self.queue.ready() or self.queue.may_wait(self.owner)):
            return self.queue.recv_slow_path(self.owner, True)
        return _make_call(NEXT, self.owner, self.queue, None)


cdef class InQueue:
    """Messages that wait to be received. For the contract see the pure backend."""

    cdef readonly Py_ssize_t queued_bytes
    cdef public Py_ssize_t low_water
    cdef public bint waits_here
    cdef readonly object waiters
    cdef Py_ssize_t mark
    """The low-water mark while no task waits."""
    cdef list messages
    cdef Py_ssize_t place
    """Of the oldest message; before it stands nothing any more."""
    cdef object loop
    cdef unsigned long thread

    def __cinit__(self, *_):
        self.low_water = self.mark = -1
        self.loop = _get_running_loop()
        self.thread = PyThread_get_thread_ident()

    def __len__(self):
        return 0 if self.messages is None else PyList_GET_SIZE(self.messages) - self.place

    def extend(self, list messages not None):
        """Add messages; the list is the queue's from now on."""
        cdef Py_ssize_t total = 0
        for message in messages:
            total += PyBytes_GET_SIZE(message) + _OVERHEAD
        self.queued_bytes += total
        if self.messages is None:
            if messages:
                self.messages = messages
        else:
            self.messages.extend(messages)
        if self.low_water == PY_SSIZE_T_MAX:
            self.wake()

    def set_low_water(self, Py_ssize_t mark):
        """Set the low-water mark for the time in which no task waits."""
        self.mark = mark
        if self.waiters is None:
            self.low_water = mark

    def add_waiter(self, waiter):
        """Have :meth:`wake` set the result of a future."""
        waiters = self.waiters
        if waiters is None:
            self.waiters = waiter
        elif isinstance(waiters, OrderedDict):
            waiters[waiter] = None
        else:
            self.waiters = OrderedDict.fromkeys((waiters, waiter))
        self.low_water = PY_SSIZE_T_MAX

    def discard_waiter(self, waiter):
        """Remove a waiter whose task was cancelled; a wake-up that it got goes to the next."""
        waiters = self.waiters
        if waiter.done() and not waiter.cancelled():
            self.wake()
        elif isinstance(waiters, OrderedDict):
            waiters.pop(waiter, None)
            if not waiters:
                self.end_waiting()
        elif waiters is waiter:
            self.end_waiting()

    def wake(self):
        """Wake the task that waits longest; it wakes the next while there are messages."""
        waiters = self.waiters
        if isinstance(waiters, OrderedDict):
            while waiters:
                waiter, _ = waiters.popitem(last=False)
                if not waiter.done():
                    waiter.set_result(None)
                    break
            if waiters:
                return
        elif waiters is not None and not waiters.done():
            waiters.set_result(None)
        self.end_waiting()

    def wake_all(self):
        """Wake every task that waits."""
        while self.waiters is not None:
            self.wake()

    cdef void end_waiting(self) noexcept:
        self.waiters = None
        self.low_water = self.mark

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
            self.queued_bytes = 0
            return taken
        return [self.pop() for _ in range(limit)]

    def recv(self, owner):
        """Return an awaitable that takes the oldest message."""
        return _make_call(RECV, owner, self, None)

    def iterate(self, owner):
        """Return an asynchronous iterator that takes message by message."""
        cdef _Messages messages = _Messages.__new__(_Messages)
        messages.queue = self
        messages.owner = owner
        return messages

    def recv_slow_path(self, owner, iterating):
        """Wait for a message, take it, and do what is due at the low-water mark; for the
        subclass."""
        raise NotImplementedError

    cdef bint may_wait(self, object owner) except -1:
        """Return whether the call may wait here: it is the only one, and nothing is over."""
        return (
            self.waits_here
            and self.messages is None
            and self.waiters is None
            and PyThread_get_thread_ident() == self.thread
            and owner.error is None
            and _get_running_loop() is self.loop
        )

    cdef bint ready(self) noexcept:
        """Return whether there is a message whose pop stays above the low-water mark."""
        cdef list messages
        # First: another thread must not touch what this one may be changing.
        if PyThread_get_thread_ident() != self.thread or self.messages is None:
            return False
        if self.low_water < 0:
            return True
        messages = self.messages
        message = <object>PyList_GET_ITEM(messages, self.place)
        return self.queued_bytes - PyBytes_GET_SIZE(message) - _OVERHEAD > self.low_water

    cdef PyObject *pop_raw(self) noexcept:
        """Return the oldest message as a new reference; there must be one."""
        cdef list messages = self.messages
        cdef PyObject *message = PyList_GET_ITEM(messages, self.place)
        # The list's own reference goes to the caller.
        Py_INCREF(None)
        PyList_SET_ITEM(messages, self.place, None)
        self.place += 1
        self.queued_bytes -= PyBytes_GET_SIZE(<object>message) + _OVERHEAD
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
