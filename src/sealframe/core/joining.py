"""Which session a link carries on: from the HELLO or WELCOME that names one until it is decided.

docs/PROTOCOL.md, section 12. The machine is in ``JOINING`` then, and what comes is held in its
:class:`PendingLink`. The owner finds the session, and says :func:`join` and then :func:`release`,
or :func:`refuse`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from ..errors import ConnectionClosedError, FramingError
from ..wire import MESSAGE_OVERHEAD, SESSION_WELCOME_SIZE, Control, Opcode, control
from ..wire.control import Close, Hello, SessionWelcome
from ..wire.writers import UNKNOWN
from .events import UNANNOUNCED, Established, Failed, Phase
from .hello_frames import check_identity

if TYPE_CHECKING:
    from .protocol import ProtocolMachine
    from .session import Session

MAX_HELD: Final = 1024 * 1024
"""Cost of what may come behind HELLO while it is not decided which session that is."""


class JoinState(Enum):
    """What the peer has said of a session."""

    WAITING = auto()
    """Nothing: neither HELLO nor WELCOME has come."""
    SERVED = auto()
    """Server: nothing, and the client gets messages meanwhile, as one of packets."""
    ANSWERED = auto()
    """Client: HELLO was answered, by CLOSE or by a WELCOME that cannot be used."""
    NAMED = auto()
    """HELLO or WELCOME names one. What comes behind it is held."""


class PendingLink:
    """What is known of a link before it is decided which session it carries on.

    :ivar state: what the peer has said
    :ivar hello: the HELLO or WELCOME that names a session, None until then
    :ivar refusal: the CLOSE that came in place of WELCOME
    """

    __slots__ = ("_fault", "_held", "_held_bytes", "hello", "refusal", "state")

    def __init__(self) -> None:
        self.state = JoinState.WAITING
        self.hello: Hello | None = None
        self.refusal: Close | None = None
        # The frames behind HELLO or WELCOME, and what is wrong with the bytes behind those.
        self._held: list[bytes | Control] = []
        self._held_bytes = 0
        self._fault: FramingError | None = None

    @property
    def hello_answered(self) -> bool:
        """Client: whether the server has answered HELLO, by WELCOME or by CLOSE in its place."""
        return self.state in (JoinState.ANSWERED, JoinState.NAMED)

    def serve(self) -> bool:
        """Server: the client gets messages before it has said HELLO; return whether that is new."""
        new = self.state is JoinState.WAITING
        if new:
            self.state = JoinState.SERVED
        return new

    def answer(self, refusal: Close | None = None) -> None:
        """Client: HELLO was answered.

        :param refusal: the CLOSE in place of WELCOME
        """
        self.state = JoinState.ANSWERED
        self.refusal = refusal

    def name(self, hello: Hello) -> None:
        """HELLO or WELCOME names a session."""
        self.state = JoinState.NAMED
        self.hello = hello

    def hold(self, frame: bytes | Control) -> bool:
        """Hold a frame back; return False if that are too many."""
        size = len(frame if isinstance(frame, bytes) else frame.body)
        self._held_bytes += size + MESSAGE_OVERHEAD
        self._held.append(frame)
        return self._held_bytes <= MAX_HELD

    def hold_fault(self, fault: FramingError) -> None:
        """Hold back that the bytes behind these frames are none."""
        self._fault = fault

    def take_held(self) -> tuple[list[bytes | Control], FramingError | None]:
        """Return what was held, and what is wrong with the bytes behind it."""
        held, self._held = self._held, []
        return held, self._fault


def announce(machine: ProtocolMachine) -> None:
    """Server that keeps sessions: a client that has not said HELLO yet may get messages."""
    pending = machine.joining
    if pending is not None and machine.phase is Phase.FIRST and pending.serve():
        machine.emit(UNANNOUNCED)


def await_link(machine: ProtocolMachine, session: Session) -> None:
    """Client: stand in for a machine, until the session has its first link."""
    machine.session = session


def join(
    machine: ProtocolMachine,
    session: Session,
    *,
    welcome: SessionWelcome | None = None,
    before: ProtocolMachine | None = None,
) -> None:
    """Carry a session on from here; what came behind HELLO or WELCOME is still held.

    :param welcome: on a server, field 4 of the WELCOME that is queued now
    :param before: the machine of the link before, whose streams, requests and limits go on;
        None where the session begins
    """
    hello = _hello(machine)
    if before is None:
        peer = machine.introductions.settle(hello)
    else:
        machine.introductions, machine.opened = before.introductions, before.opened
        assert machine.introductions.peer is not None
        peer = machine.introductions.peer
    if welcome is not None:
        body = _welcome(machine, welcome.encode(), welcome.writer)
        machine.queue(control.frame(Opcode.WELCOME, body))
    machine.session = session
    machine.frames_received = session.received
    machine.send_limit = peer.max_frame
    machine.extended = True
    machine.phase = Phase.EXTENDED
    if before is None:
        machine.emit(Established(hello))


def release(machine: ProtocolMachine) -> list[bytes]:
    """Take in what was held since the HELLO or WELCOME, a fault among it; return the messages
    among it."""
    assert machine.joining is not None
    held, fault = machine.joining.take_held()
    machine.joining = None
    messages = machine.receive_frames(held)
    if fault is not None:
        machine.fail_framing(fault)
    return messages


def check_again(machine: ProtocolMachine) -> bool:
    """Server: return whether the client is still let in, after a wait; refuse it if not."""
    return check_identity(machine, _hello(machine).invitation)


def refuse(machine: ProtocolMachine, close: Close, error: ConnectionClosedError) -> None:
    """Answer CLOSE in place of WELCOME, as long as that would be.

    :param close: with field 8 where it is that of a session that is over
    """
    if machine.phase is Phase.JOINING:
        machine.phase = Phase.FAILED
        machine.make_output().end(close, size=welcome_size(machine))
        machine.emit(Failed(error))


def welcome_size(machine: ProtocolMachine) -> int:
    """Return how long the body of the WELCOME would be that the peer would get, in bytes."""
    named = machine.joining is not None and machine.joining.state is JoinState.NAMED
    if not named:
        return len(machine.introductions.welcome())
    return len(_welcome(machine, bytes(SESSION_WELCOME_SIZE), b""))


def _welcome(machine: ProtocolMachine, session: bytes, writer: bytes) -> bytes:
    # Of one length, whatever is known of the writer.
    told = (writer or UNKNOWN) if _hello(machine).writers else b""
    return machine.introductions.welcome(session, told)


def _hello(machine: ProtocolMachine) -> Hello:
    pending = machine.joining
    assert pending is not None
    assert pending.hello is not None
    return pending.hello
