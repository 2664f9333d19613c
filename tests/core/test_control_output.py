"""Control frames that wait: each goes out alone too, and one that reads nothing fills nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealframe.core.control_output import ControlOutput
from sealframe.wire import MAX_WINDOW, CloseCode, Opcode, control
from sealframe.wire.control import Close

from .peers import Peer, exchange, extended_pair, sealed_pair

PLAINTEXT = control.frame(Opcode.PAD, b"plaintext")

ALONE: dict[str, Callable[[ControlOutput], None]] = {
    "frame": lambda output: output.add(control.frame(Opcode.PAD)),
    "pong": lambda output: output.pong(b""),
    "ack": lambda output: output.acknowledge(0),
    "credit": lambda output: output.credit(1),
    "close": lambda output: output.end(Close()),
    "plaintext": lambda output: output.add_plaintext(PLAINTEXT),
}


@pytest.mark.parametrize("kind", ALONE)
def test_each_is_pending_until_it_is_taken(kind: str) -> None:
    output = ControlOutput()
    seen = [output.pending]
    ALONE[kind](output)
    seen.append(output.pending)
    taken = [*output.take_plaintext(), *output.take(), *output.take_close()]
    assert len(taken) == 1
    assert [*seen, output.pending] == [False, True, False]


def test_of_pongs_and_acks_the_last_is_kept_and_credit_adds_up() -> None:
    output = ControlOutput()
    for number in range(1000):
        output.pong(number.to_bytes(8, "little"))
        output.acknowledge(number)
        output.credit(10)
    [frames] = output.take()
    pong = control.frame(Opcode.PONG, (999).to_bytes(8, "little"))
    credit = control.frame(Opcode.CREDIT, (10_000).to_bytes(4, "little"))
    assert frames == pong + control.ack(999) + credit
    assert output.take_close() == []
    for _ in range(3):
        output.credit(MAX_WINDOW)
    [frames] = output.take()
    assert frames == control.frame(Opcode.CREDIT, MAX_WINDOW.to_bytes(4, "little"))


def test_a_failure_forgets_all_but_the_last_words() -> None:
    output = ControlOutput()
    for put in ALONE.values():
        put(output)
    output.clear()
    assert output.pending
    assert output.take_plaintext() == [PLAINTEXT]
    assert output.take() == []
    assert output.take_close() == [control.frame(Opcode.CLOSE, Close().encode())]
    output.end(Close())
    output.forget_close()
    assert not output.pending


@pytest.mark.parametrize("pair", [extended_pair, sealed_pair])
@pytest.mark.parametrize("what", ["pong", "credit", "close"])
def test_one_that_waits_alone_is_written(pair: Callable[..., tuple[Peer, Peer]], what: str) -> None:
    client, server = pair(window=1000)
    exchange(client, server)
    assert server.take() == b""
    match what:
        case "pong":
            client.protocol.ping(b"1")
            server.read(client.take())
        case "credit":
            server.protocol.give_credit(5)
        case "close":
            assert server.protocol.close(Close(CloseCode.NORMAL))
    assert server.protocol.has_output
    assert server.take() != b""
