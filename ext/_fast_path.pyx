# cython: language_level=3
# cython: boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False, freethreading_compatible=True
"""What a connection does for every read and for every message: the compiled backend, equal to
``sealframe.aio._fast_path_py``, which has the contract. Same steps, same names.

It looks at the state of the connection each time, and keeps none of its own: whatever is out of
the ordinary goes the slow path, as if this were not here.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #if defined(__unix__) || defined(__APPLE__)
    #include <sys/types.h>
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    #include <errno.h>
    static Py_ssize_t send_now(int socket, const char *data, Py_ssize_t size) {
        ssize_t sent = send(socket, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        switch (errno) {
        case EAGAIN:
    #if EWOULDBLOCK != EAGAIN
        case EWOULDBLOCK:
    #endif
        case EINTR: case ENOBUFS: case ENOMEM:
            return 0;
        default:
            return -errno;
        }
    }
    #else
    static Py_ssize_t send_now(int socket, const char *data, Py_ssize_t size) {
        return 0;
    }
    #endif
    """
    # How many bytes were sent, or the negative errno of a socket that has failed.
    Py_ssize_t send_now(int, const char *, Py_ssize_t)

cdef extern from *:
    """
    /* Where the objects of a class keep one of its __slots__; 0 if that is to be left to Python. */
    #if defined(Py_LIMITED_API) || defined(PYPY_VERSION) || defined(Py_GIL_DISABLED)
    static Py_ssize_t place_of(PyObject *descriptor) {
        return 0;
    }
    #else
    #include <structmember.h>
    static Py_ssize_t place_of(PyObject *descriptor) {
        PyMemberDef *member;
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type))
            return -1;
        member = ((PyMemberDescrObject *)descriptor)->d_member;
        return member->type == T_OBJECT_EX ? member->offset : -1;
    }
    #endif
    """
    Py_ssize_t place_of(object)

cdef extern from "Python.h":
    bint PyObject_TypeCheck(object, PyTypeObject *)
    void _drop "Py_XDECREF" (PyObject *)

from sealframe.core.closing import CloseState
from sealframe.core.control_output import ControlOutput
from sealframe.core.events import Phase
from sealframe.core.keepalive import Keepalive
from sealframe.core.multiplexer import Multiplexer, ViolationError
from sealframe.core.protocol import ProtocolMachine
from sealframe.core.retention import Retention
from sealframe.core.session import Session
from sealframe.core.window import Window
from sealframe.errors import DecryptionError, FramingError, NonceExhaustedError
from sealframe.noise.records import SCRATCH_SIZE, SMALL_RECORD, RecordLayer, spare_buffers
from sealframe.wire import MAX_CHUNK, MESSAGE_OVERHEAD, MIN_RECORD, Opcode

from sealframe.aio.callables import refuse_awaitable
from sealframe.aio.closer import Closer
from sealframe.aio.keepalive_timer import KeepaliveTimer
from sealframe.aio.writing import NO_SOCKET, socket_of
from sealframe.aio.intake import FAIR_SHARE, PILE, SMALL_READ, Intake

__all__ = ["Counters", "ReadPath", "ReceivePath", "SendPath"]

cdef enum:
    # Kept equal to wire.HEAD_SIZE.
    _HEAD = 4
    # Of a request, in its frame and in that of its reply.
    _NUMBER = 8

cdef Py_ssize_t _OVERHEAD = MESSAGE_OVERHEAD
cdef Py_ssize_t _MAX_CHUNK = MAX_CHUNK
cdef Py_ssize_t _MIN_RECORD = MIN_RECORD
cdef Py_ssize_t _SMALL_RECORD = SMALL_RECORD
cdef Py_ssize_t _SCRATCH_SIZE = SCRATCH_SIZE
cdef Py_ssize_t _SMALL_READ = SMALL_READ
cdef Py_ssize_t _FAIR_SHARE = FAIR_SHARE
cdef Py_ssize_t _PILE = PILE
cdef list _spare_buffers = spare_buffers
cdef object _EXTENDED = Phase.EXTENDED
cdef object _PACKETS = Phase.PACKETS
cdef object _FAILED = Phase.FAILED
cdef object _OPEN = CloseState.OPEN
cdef object _DELIVER = Intake.DELIVER
cdef object _OVER = Intake.OVER
cdef object _REQUEST = int(Opcode.REQUEST)
cdef object _REPLY = int(Opcode.REPLY)


@cython.final
@cython.internal
cdef class Slot:
    """One of the ``__slots__`` of a Python class: read where it stands.

    To look it up by name, some fifty times in a round trip, takes a fifth of its time.
    """

    cdef PyTypeObject *owner
    cdef str name
    cdef Py_ssize_t place

    def __cinit__(self, type owner not None, str name not None):
        # The module that has the class keeps it.
        self.owner = <PyTypeObject *>owner
        self.name = name
        self.place = place_of(getattr(owner, name))
        if self.place < 0:
            raise TypeError(f"{owner.__name__}.{name} is no slot")

    cdef inline object get(self, object of):
        cdef PyObject *value = NULL
        if self.place and PyObject_TypeCheck(of, self.owner):
            value = (<PyObject **>(<char *><PyObject *>of + self.place))[0]
        # Where it has no value, this raises the error.
        return getattr(of, self.name) if value == NULL else <object>value

    cdef inline int set(self, object of, object value) except -1:
        cdef PyObject **place
        cdef PyObject *before
        if not self.place or not PyObject_TypeCheck(of, self.owner):
            setattr(of, self.name, value)
            return 0
        place = <PyObject **>(<char *><PyObject *>of + self.place)
        before = place[0]
        Py_INCREF(value)
        place[0] = <PyObject *>value
        _drop(before)
        return 0


cdef Slot machine_decoder = Slot(ProtocolMachine, "decoder")
cdef Slot machine_encoder = Slot(ProtocolMachine, "encoder")
cdef Slot machine_extended = Slot(ProtocolMachine, "extended")
cdef Slot machine_frames = Slot(ProtocolMachine, "frames_received")
cdef Slot machine_opened = Slot(ProtocolMachine, "opened")
cdef Slot machine_output = Slot(ProtocolMachine, "output")
cdef Slot machine_phase = Slot(ProtocolMachine, "phase")
cdef Slot machine_records = Slot(ProtocolMachine, "records")
cdef Slot machine_session = Slot(ProtocolMachine, "session")
cdef Slot output_pending = Slot(ControlOutput, "pending")
cdef Slot records_exported = Slot(RecordLayer, "exported")
cdef Slot records_held = Slot(RecordLayer, "held")
cdef Slot records_output = Slot(RecordLayer, "output")
cdef Slot records_receiver = Slot(RecordLayer, "receiver")
cdef Slot records_sender = Slot(RecordLayer, "sender")
cdef Slot retention_cost = Slot(Retention, "cost")
cdef Slot retention_given = Slot(Retention, "given")
cdef Slot retention_resent = Slot(Retention, "resent")
cdef Slot session_limit = Slot(Session, "limit")
cdef Slot session_retention = Slot(Session, "retention")
cdef Slot opened_ready = Slot(Multiplexer, "ready")
cdef Slot opened_requests = Slot(Multiplexer, "requests")
cdef Slot opened_urgent = Slot(Multiplexer, "urgent")
cdef Slot window_granted = Slot(Window, "granted")
cdef Slot window_next_grant = Slot(Window, "next_grant")
cdef Slot window_received = Slot(Window, "received")
cdef Slot closer_state = Slot(Closer, "state")
cdef Slot keepalive_clocks = Slot(KeepaliveTimer, "clocks")
cdef Slot keepalive_idle = Slot(KeepaliveTimer, "idle")
cdef Slot clocks_last_received = Slot(Keepalive, "last_received")
cdef Slot clocks_probed_at = Slot(Keepalive, "probed_at")


cdef inline uint32_t _read_head(const uint8_t *place) noexcept:
    return (
        place[0]
        | <uint32_t>place[1] << 8
        | <uint32_t>place[2] << 16
        | <uint32_t>place[3] << 24
    )


cdef bytes _with_head(bytes body):
    """Return the native head of ``body``, and it."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(body)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, _HEAD + size)
    cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(whole)
    place[0] = size & 0xFF
    place[1] = size >> 8 & 0xFF
    place[2] = size >> 16 & 0xFF
    place[3] = size >> 24 & 0xFF
    memcpy(place + _HEAD, PyBytes_AS_STRING(body), size)
    return whole


cdef class Counters:
    """Numbers that only grow."""

    cdef public long long messages_received
    cdef public long long messages_sent
    cdef public long long bytes_received
    cdef public long long bytes_sent
    cdef public long long dropped
    cdef public long long discarded
    cdef public long long unsent


cdef class ReadPath:
    """What the event loop calls for each read. For the contract see the pure backend."""

    cdef public object loop
    cdef public object machine
    cdef public object transport
    cdef public object closer
    cdef public object keepalive
    cdef public object channels
    cdef public object trace
    cdef public double since
    cdef public Counters stats
    cdef public ReceivePath receiver
    cdef public SendPath sender

    def get_buffer(self, Py_ssize_t sizehint):
        """Return where the next bytes go."""
        machine = self.machine
        if self.receiver.small_reads:
            return memoryview(machine.get_buffer())[:_SMALL_READ]
        records = machine_records.get(machine)
        if records is None:
            if machine_phase.get(machine) is not _FAILED:
                return machine_decoder.get(machine).get_buffer()
        elif (
            records_receiver.get(records) is not None
            and machine_phase.get(machine) is not _FAILED
        ):
            exported = records_exported.get(records)
            if exported is None:
                # Not to ask first: without the GIL, another thread may take the last one.
                try:
                    exported = _spare_buffers.pop()
                except IndexError:
                    exported = bytearray(_SCRATCH_SIZE)
                records_exported.set(records, exported)
            return exported
        return machine.get_buffer()

    def buffer_updated(self, Py_ssize_t nbytes):
        """Take in the bytes of one read."""
        cdef ReceivePath receiver = self.receiver
        cdef Py_ssize_t work = 0
        cdef object event = None
        cdef object came = self.read_fast(nbytes, &work)
        machine = self.machine
        if came is None:
            came = machine.buffer_updated(nbytes)
            work = machine.work_items
        elif not PyList_CheckExact(came):
            event = came
        self.stats.bytes_received += nbytes
        # What comes in may be answered, and nothing of this turn was written yet.
        self.sender.written = False
        keepalive = self.keepalive
        if keepalive is not None:
            clocks = keepalive_clocks.get(keepalive)
            if clocks_probed_at.get(clocks) is None and not keepalive_idle.get(keepalive):
                # All that clocks.received() would do then.
                clocks_last_received.set(clocks, self.loop.time())
            elif clocks.received(self.loop.time(), machine.frames_received):
                keepalive.answered()
        if event is not None:
            if receiver.intake is not _OVER:
                self.channels.exchange(*event)
        elif PyList_GET_SIZE(came):
            receiver.deliver(came)
        if work:
            if machine.events:
                self.handle_events()
            if machine.has_output:
                self.sender.flush()
            if work > _FAIR_SHARE:
                receiver.give_others_a_turn()
        if nbytes >= _PILE and receiver.on_message is not None:
            receiver.yield_turn()
        if receiver.small_reads:
            receiver.small_reads -= 1

    def flush_soon(self):
        """Write what streams and requests have to say, now or at the end of this turn."""
        self.sender.flush_soon()

    def socket_failed(self, number):
        """End the connection: a write to its socket failed; for the subclass."""
        raise NotImplementedError

    def output_failed(self, error, messages):
        """End the connection: what was to be sent cannot be; for the subclass."""
        raise NotImplementedError

    def handle_events(self, *, at_fin=False):
        """Take in what the machine has to tell; for the subclass."""
        raise NotImplementedError

    cdef object read_fast(self, Py_ssize_t nbytes, Py_ssize_t *work):
        """Take in a read in which nothing is out of the ordinary; else return None, and then
        nothing has happened.

        :param work: set to the items handled one by one, where there were any
        :return: the messages, or what came of the one request or reply of which it consists
        """
        cdef list frames
        machine = self.machine
        phase = machine_phase.get(machine)
        if (phase is not _EXTENDED and phase is not _PACKETS) or self.trace is not None:
            return None
        records = machine_records.get(machine)
        decoder = machine_decoder.get(machine)
        try:
            if records is None:
                frames = decoder.buffer_updated(nbytes)
            else:
                plaintext = self.open_single(records, nbytes)
                if plaintext is None:
                    return None
                frames = decoder.feed(plaintext)
        except FramingError as fault:
            machine.work_items = 1
            frames = machine.receive_fault(fault)
            work[0] = machine.work_items
            return frames
        if decoder.saw_control:
            if PyList_GET_SIZE(frames) == 1 and self.channels is not None:
                event = self.take_exchange(machine, frames[0])
                if event is not None:
                    return event
            machine.work_items = 1
            frames = machine.receive_frames(frames)
            work[0] = machine.work_items
        else:
            machine_frames.set(machine, machine_frames.get(machine) + PyList_GET_SIZE(frames))
        return frames

    cdef object take_exchange(self, object machine, object frame):
        """Count a request or a reply, and return what it is, for ``Channels``; None if it is
        neither, or is refused: the slow path finds that again, and fails."""
        cdef const uint8_t *place
        cdef Py_ssize_t size
        cdef uint64_t number = 0
        cdef int i
        opcode, body = <tuple>frame
        size = PyBytes_GET_SIZE(body) - _NUMBER
        if (opcode != _REQUEST and opcode != _REPLY) or not 0 <= size <= _MAX_CHUNK:
            return None
        if not machine_extended.get(machine) or machine_phase.get(machine) is not _EXTENDED:
            return None
        place = <const uint8_t *>PyBytes_AS_STRING(body)
        for i in range(_NUMBER):
            number |= <uint64_t>place[i] << 8 * i
        table = opened_requests.get(machine_opened.get(machine))
        try:
            if opcode == _REQUEST:
                table.receive(number)
            else:
                table.receive_answer(number)
        except ViolationError:
            return None
        machine_frames.set(machine, machine_frames.get(machine) + 1)
        return opcode == _REQUEST, number, PyBytes_FromStringAndSize(<const char *>place + 8, size)

    cdef bytes open_single(self, object records, Py_ssize_t nbytes):
        """Return the plaintext of the small record of which the read consists, as in a dialogue;
        else None, also where it does not open: the slow path finds that again, and fails."""
        cdef Py_ssize_t size = nbytes - _HEAD
        cdef const uint8_t *place
        cdef bytes record
        cdef object plaintext
        exported = records_exported.get(records)
        if exported is None or len(records_held.get(records)) or not _MIN_RECORD <= size < _SMALL_RECORD:
            return None
        place = <const uint8_t *>PyByteArray_AS_STRING(exported)
        if _read_head(place) != <uint32_t>size:
            return None
        record = PyBytes_FromStringAndSize(<const char *>place + _HEAD, size)
        try:
            plaintext = records_receiver.get(records).open_record(record)
        except (DecryptionError, NonceExhaustedError):
            return None
        records_exported.set(records, None)
        if not PyList_GET_SIZE(_spare_buffers) and PyByteArray_GET_SIZE(exported) == _SCRATCH_SIZE:
            _spare_buffers.append(exported)
        return plaintext


cdef class ReceivePath:
    """What takes the messages in. For the contract see the pure backend."""

    cdef public ReadPath protocol
    cdef public object queue
    cdef public object on_message
    cdef public object conn
    cdef public object intake
    cdef public object window
    cdef public Py_ssize_t small_reads

    def deliver(self, list messages not None):
        """Hand over or queue messages that came, or drop them where nobody wants them any more."""
        cdef ReadPath protocol = self.protocol
        cdef Py_ssize_t cost = 0
        cdef Py_ssize_t last = 0
        cdef long long received, queued, low_water
        if self.intake is not _DELIVER or closer_state.get(protocol.closer) is not _OPEN:
            self.deliver_slow_path(messages)
            return
        protocol.stats.messages_received += PyList_GET_SIZE(messages)
        window = self.window
        if window is not None:
            for message in messages:
                last = PyBytes_GET_SIZE(message) + _OVERHEAD
                cost += last
            received = <long long>window_received.get(window) + cost
            window_received.set(window, received)
            if received - last >= <long long>window_granted.get(window):
                self.deny(messages)
                return
        queue = self.queue
        if self.on_message is None:
            queue.extend(messages)
        else:
            self.call_back(messages)
        queued = queue.queued_bytes
        if window is None:
            if queued and queue.full:
                self.pause_if_full()
            return
        # What was called is taken; what was not is in the queue by now. What was called may
        # have made the window grow.
        low_water = (
            <long long>window_received.get(window) - <long long>window_next_grant.get(window)
        )
        if queued <= low_water:
            self.update_window()
        elif self.on_message is None:
            queue.set_low_water(low_water)
        if queued >= _PILE:
            self.yield_turn()

    def call_back(self, list messages not None):
        """Call ``on_message`` with each of these; queue the rest once the send queue is full."""
        cdef Py_ssize_t count = 0
        on_message = self.on_message
        conn = self.conn
        send_queue = self.protocol.sender.queue
        try:
            for message in messages:
                if send_queue.above_high_water and self.must_stop():
                    break
                count += 1
                result = on_message(conn, message)
                if result is not None:
                    refuse_awaitable("on_message", result)
            else:
                return
        except BaseException as error:
            self.fail_call(error, PyList_GET_SIZE(messages) - count)
        else:
            self.hold_back(messages[count:])

    def deliver_slow_path(self, list messages):
        """The same, in any state; for the subclass."""
        raise NotImplementedError

    def must_stop(self):
        """Return whether ``on_message`` is not to be called now; for the subclass."""
        raise NotImplementedError

    def hold_back(self, messages):
        """Queue what ``on_message`` is not called with now; for the subclass."""
        raise NotImplementedError

    def fail_call(self, error, left):
        """Fail: ``on_message`` raised an exception; for the subclass."""
        raise NotImplementedError

    def pause_if_full(self):
        """Pause reading while the queue is full; for the subclass."""
        raise NotImplementedError

    def update_window(self):
        """Send CREDIT for what was taken, once it is worth a frame; for the subclass."""
        raise NotImplementedError

    def deny(self, messages):
        """Fail: the peer sent messages without credit; for the subclass."""
        raise NotImplementedError

    def yield_turn(self):
        """Let others run before more is read; for the subclass."""
        raise NotImplementedError


cdef class SendPath:
    """What gives the messages out. For the contract see the pure backend."""

    cdef public ReadPath protocol
    cdef public object queue
    cdef public object credit_limit
    cdef public long long sent_cost
    cdef public bint write_paused
    cdef public bint written
    cdef public bint writing
    cdef public object socket

    cdef int write(self, object transport, bytes data) except -1:
        """Write now: to the socket, where the transport has nothing to write before, and would
        otherwise do it in a later turn of the event loop."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t sent
        if self.socket is None and not self.protocol.receiver.small_reads:
            # Only now: uvloop keeps 300 bytes from then on, and most connections are idle.
            self.socket = socket_of(transport)
        if (
            self.socket is not None
            and self.socket != NO_SOCKET
            and transport.get_write_buffer_size() == 0
        ):
            sent = send_now(self.socket, PyBytes_AS_STRING(data), size)
            if sent == size:
                return 0
            if sent > 0:
                transport.write(data[sent:])
                return 0
            if sent < 0:
                # The kernel tells why only once: the transport would get EPIPE.
                self.protocol.socket_failed(-sent)
                return 0
        transport.write(data)
        return 0

    def flush_soon(self):
        """Write what is queued, now or at the end of this turn."""
        queue = self.queue
        if not queue.due:
            return
        if not queue.paused and not self.writing and (not self.written or queue.scheduled):
            self.written = True
            if not self.write_urgent():
                self.flush()
        elif not queue.scheduled:
            # It costs as much as to write a small message, so not for the first.
            queue.scheduled = True
            self.protocol.loop.call_soon(self.end_turn)

    def flush(self):
        """Write what may be written; for the subclass."""
        raise NotImplementedError

    cdef bint write_urgent(self) except -1:
        """Write the requests and replies that wait, where nothing else does."""
        cdef ReadPath protocol = self.protocol
        cdef list frames
        cdef bytes data
        if len(self.queue) or not self.may_write():
            return False
        machine = protocol.machine
        opened = machine_opened.get(machine)
        if opened is None or opened_ready.get(opened):
            return False
        records = machine_records.get(machine)
        self.writing = True
        try:
            frames = opened.take_all_urgent()
            if not PyList_GET_SIZE(frames):
                return False
            session = machine_session.get(machine)
            if session is not None:
                session.keep(frames, [], 0, [])
            data = frames[0] if PyList_GET_SIZE(frames) == 1 else b"".join(frames)
            if records is not None:
                data = self.seal(records, data, 0)
                if data is None:
                    return True
            self.write(protocol.transport, data)
        finally:
            self.writing = False
        protocol.stats.bytes_sent += PyBytes_GET_SIZE(data)
        return True

    cdef bytes seal(self, object records, bytes frames, Py_ssize_t messages):
        """Return frames as records; None where that fails, which ends the connection: nothing may
        follow without them.

        :param messages: how many there are, where they were not taken from the queue
        """
        try:
            if PyBytes_GET_SIZE(frames) >= _SMALL_RECORD:
                return b"".join(records.seal(frames))
            # A record has a head of the same form as a native frame.
            return _with_head(records_sender.get(records).seal_record(frames))
        except Exception as error:
            self.protocol.output_failed(error, messages)
            return None

    cdef bint may_write(self) except -1:
        """Return whether bytes can be written, and no control frame is to go before them."""
        cdef ReadPath protocol = self.protocol
        if (
            self.write_paused
            or self.writing
            or protocol.transport is None
            or closer_state.get(protocol.closer) is not _OPEN
            or protocol.trace is not None
        ):
            return False
        machine = protocol.machine
        session = machine_session.get(machine)
        if session is not None:
            retention = session_retention.get(session)
            if retention_resent.get(retention) != retention_given.get(retention):
                return False
            if protocol.transport.is_closing():
                # A write has failed: the next link gets the rest.
                return False
        output = machine_output.get(machine)
        if output is not None and output_pending.get(output):
            return False
        records = machine_records.get(machine)
        return records is None or not records_output.get(records)

    def end_turn(self):
        """Write at the end of this turn of the event loop; for the subclass."""
        raise NotImplementedError

    def write_now(self, bytes message not None):
        """Write one message past the queue; return False, and do nothing, where it has to wait
        or something else is to be written too."""
        cdef ReadPath protocol = self.protocol
        cdef Py_ssize_t size = PyBytes_GET_SIZE(message)
        cdef bytes data
        if self.written or size >= _SMALL_RECORD - _HEAD:
            return False
        if not self.may_write():
            return False
        limit = self.credit_limit
        if limit is not None and self.sent_cost >= <long long>limit:
            return False
        machine = protocol.machine
        opened = machine_opened.get(machine)
        if opened is not None and (opened_urgent.get(opened) or opened_ready.get(opened)):
            return False
        session = machine_session.get(machine)
        if session is not None:
            retention = session_retention.get(session)
            if <long long>retention_cost.get(retention) >= <long long>session_limit.get(session):
                return False
        records = machine_records.get(machine)
        self.written = True
        self.writing = True
        try:
            # What is sealed is framed natively.
            if records is None:
                data = machine_encoder.get(machine).encode(message)
            else:
                data = _with_head(message)
            if session is not None:
                retention.keep_messages([message], size + _OVERHEAD)
            if records is not None:
                data = self.seal(records, data, 1)
                if data is None:
                    return True
            self.write(protocol.transport, data)
        finally:
            self.writing = False
        protocol.stats.bytes_sent += PyBytes_GET_SIZE(data)
        protocol.stats.messages_sent += 1
        self.sent_cost += size + _OVERHEAD
        if limit is not None and self.sent_cost >= <long long>limit:
            self.queue.paused = True
        keepalive = protocol.keepalive
        if keepalive is not None and keepalive_idle.get(keepalive):
            keepalive.sent()
        return True
