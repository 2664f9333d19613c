"""The frames with which a connection begins: HELLO, WELCOME, and what may come in their place.

docs/PROTOCOL.md, sections 2, 4 and 6. Each function ``on_...`` takes one kind of frame;
:mod:`.rules` says in which phases, and the phase that follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import wire
from ..errors import HandshakeError
from ..wire import CloseCode, Control, Opcode, control
from ..wire.control import Close, Hello
from .control_frames import decode_close
from .events import Established, Joining, Phase
from .faults import opcode_name, refused
from .introductions import UnreadableIntroductionError

if TYPE_CHECKING:
    from .protocol import ProtocolMachine


def on_hello(machine: ProtocolMachine, frame: Control) -> None:
    """Server: a client introduces itself."""
    hello = _read_introduction(machine, frame)
    if hello is None:
        return
    if machine.write_closed:
        # It crossed our FIN, after which nothing can be answered.
        machine.phase = Phase.PACKETS
        return
    if machine.joining is not None and hello.session:
        machine.joining.name(hello)
        if check_identity(machine, hello.invitation):
            machine.phase = Phase.JOINING
            machine.emit(Joining(hello))
        return
    machine.joining = None
    if check_identity(machine, hello.invitation):
        machine.queue(control.frame(Opcode.WELCOME, machine.introductions.welcome()))
        _establish(machine, hello)


def on_welcome(machine: ProtocolMachine, frame: Control) -> None:
    """Client: the server introduces itself."""
    if machine.joining is not None:
        machine.joining.answer()
    hello = _read_introduction(machine, frame)
    if hello is None or not check_identity(machine, b""):
        return
    if machine.joining is None:
        _establish(machine, hello)
    elif hello.session:
        machine.joining.name(hello)
        machine.phase = Phase.JOINING
        machine.emit(Joining(hello))
    else:
        machine.extended = True
        code = CloseCode.NORMAL
        text = "the server keeps no sessions: start it with sessions=..., or connect without"
        machine.fail(HandshakeError(text, code=code), code)


def on_plain_handshake(machine: ProtocolMachine, frame: Control) -> None:
    """Server without a key: a client asks for a sealed connection."""
    if frame.body.startswith(wire.MAGIC):
        refusal = control.frame(Opcode.CLOSE, Close(CloseCode.PLAIN).encode())
        machine.make_output().add_plaintext(refusal)
    machine.fail(
        HandshakeError(
            "a client asked for a sealed connection and this server is plain: "
            "give the server the key, or the client none",
            code=CloseCode.PLAIN,
        )
    )


def on_refusal(machine: ProtocolMachine, frame: Control) -> None:
    """Client: CLOSE in place of WELCOME."""
    close = decode_close(machine, frame)
    if close is None:
        return
    if machine.joining is not None:
        machine.joining.answer(close)
    machine.fail(refused(close, sealed=machine.sealed))


def check_identity(machine: ProtocolMachine, invitation: bytes) -> bool:
    """Return whether the peer is let in, with the key that it has proved; fail if not.

    :param invitation: the token that it showed, perhaps empty
    """
    key = b"" if machine.records is None else machine.records.peer_key
    refused = machine.introductions.check_identity(key, invitation)
    if refused is not None:
        machine.fail(refused, CloseCode.UNAUTHORIZED)
    return refused is None


def _establish(machine: ProtocolMachine, hello: Hello) -> None:
    machine.extended = True
    # Its numbers are those of many connections; each of this HELLO takes 32 bytes more.
    peer = machine.introductions.settle(hello)
    machine.send_limit = peer.max_frame
    machine.emit(Established(hello))


def _read_introduction(machine: ProtocolMachine, frame: Control) -> Hello | None:
    try:
        return machine.introductions.read(frame.body)
    except UnreadableIntroductionError as error:
        text = machine.explain(f"{opcode_name(frame.opcode)} is malformed: {error}")
        machine.extended = error.reads_control
        machine.fail(HandshakeError(text, code=error.code), error.code)
        return None
