"""The control frames of a connection whose introductions are over: what comes of each.

Each function takes one kind of frame; :mod:`.rules` says in which phases, and the phase that
follows. The machine has counted the frame and written it to the trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import wire
from ..errors import ProtocolError
from ..wire import CloseCode, Control, control
from ..wire.control import Close, MalformedBodyError
from .events import Acknowledged, Credited, Ended, GoingAway, Phase, Ponged
from .faults import opcode_name
from .multiplexer import ViolationError

if TYPE_CHECKING:
    from .protocol import ProtocolMachine


def on_message(machine: ProtocolMachine, frame: Control) -> None:
    """Stands in the rows where messages may come; they are delivered without it."""


def on_close(machine: ProtocolMachine, frame: Control) -> None:
    close = decode_close(machine, frame)
    if close is None:
        return
    session = machine.session
    if session is not None and close.frames_received is not None:
        # It acknowledges as ACK does.
        try:
            session.retention.receive_ack(close.frames_received)
        except ViolationError as error:
            machine.fail_protocol(f"CLOSE breaks the rules: {error}")
            return
    machine.emit(Ended(close))


def on_go_away(machine: ProtocolMachine, frame: Control) -> None:
    close = decode_close(machine, frame)
    if close is not None:
        machine.emit(GoingAway(close))


def decode_close(machine: ProtocolMachine, frame: Control) -> Close | None:
    # Its fields, of 4 bytes or more each, are handled one by one too.
    machine.work_items += len(frame.body) // 4
    try:
        return Close.decode(frame.body)
    except MalformedBodyError as error:
        text = f"{opcode_name(frame.opcode)} is malformed: {error}"
        machine.fail(machine.fault(text, CloseCode.PROTOCOL), CloseCode.PROTOCOL)
        return None


def on_ping(machine: ProtocolMachine, frame: Control) -> None:
    if len(frame.body) > wire.MAX_PING:
        text = f"a PING of {len(frame.body)} bytes is over {wire.MAX_PING}"
        machine.fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)
    elif machine.extended:
        machine.make_output().pong(frame.body)


def on_pong(machine: ProtocolMachine, frame: Control) -> None:
    machine.emit(Ponged(frame.body[: wire.MAX_PING]))


def on_late_pong(machine: ProtocolMachine, frame: Control) -> None:
    """The peer has ended; in a session it still answers, and acknowledges."""
    if machine.session is None:
        machine.fail_unexpected(frame)
    else:
        on_pong(machine, frame)


def on_ack(machine: ProtocolMachine, frame: Control) -> None:
    session = machine.session
    if session is None:
        # Nothing is kept to be sent again, so nothing comes of it.
        if machine.phase is Phase.ENDED:
            machine.fail_unexpected(frame)
        return
    try:
        session.retention.receive_ack(control.parse_ack(frame.body))
    except (MalformedBodyError, ViolationError) as error:
        machine.fail_protocol(f"ACK breaks the rules: {error}")
    else:
        machine.emit(Acknowledged())


def on_credit(machine: ProtocolMachine, frame: Control) -> None:
    increment = int.from_bytes(frame.body, "little")
    if len(frame.body) != 4 or not 1 <= increment <= wire.MAX_WINDOW:
        machine.fail_protocol("CREDIT is not a number from 1 to 2^31 - 1")
    elif machine.windowed:
        machine.emit(Credited(increment))


def on_multiplexed(machine: ProtocolMachine, frame: Control) -> None:
    if not machine.extended:
        # This end has sent CLOSE, and so ended all streams and requests.
        return
    try:
        event = machine.multiplexer.receive(frame)
    except ViolationError as error:
        machine.fail_protocol(f"{opcode_name(frame.opcode)} breaks the rules: {error}")
    else:
        if event is not None:
            machine.emit(event)


def on_ignored(machine: ProtocolMachine, frame: Control) -> None:
    pass


def on_unknown(machine: ProtocolMachine, frame: Control) -> None:
    if frame.opcode & wire.OPCODE_CLOSE:
        text = f"the peer sent {opcode_name(frame.opcode)}, which must be understood"
        machine.fail(ProtocolError(text, code=CloseCode.PROTOCOL), CloseCode.PROTOCOL)
    elif not frame.opcode & wire.OPCODE_SKIP and machine.extended:
        if machine.unsupported is None:
            machine.unsupported = set()
        if frame.opcode not in machine.unsupported:
            machine.unsupported.add(frame.opcode)
            machine.queue(control.unsupported(frame.opcode, frame.body))
