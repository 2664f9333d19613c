"""How long the last PING and its PONG took."""

from __future__ import annotations

import asyncio

import pytest

from sealframe.aio.pings import Pings
from sealframe.wire import Control, Opcode, control

from .ends import Mode, open_pair
from .scripted import Role, facing, message, until

pytestmark = pytest.mark.usefixtures("no_leaks")

PONGS_LATER = 0.05
"""Seconds that the peer takes to answer."""


async def test_it_is_that_of_a_ping(control_mode: Mode) -> None:
    async with open_pair(control_mode) as (client, accepted, _):
        for conn in (client, accepted):
            assert conn.latency is None
        await client.send(b"over")
        assert await accepted.recv() == b"over"
        for conn in (client, accepted):
            seconds = await conn.ping()
            assert conn.latency == pytest.approx(seconds, abs=5)
        kept = client.latency
    assert client.latency == kept


async def test_it_is_that_of_a_probe(control_mode: Mode, role: Role) -> None:
    async with facing(role, control_mode, keepalive_interval=0.02) as (conn, peer):
        frame = await peer.read()
        assert isinstance(frame, Control)
        assert frame.opcode == Opcode.PING
        await asyncio.sleep(PONGS_LATER)
        await peer.write(control.frame(Opcode.PONG, frame.body))
        await until(lambda: (conn.latency or 0) >= 0.9 * PONGS_LATER)


async def test_packets_have_none() -> None:
    async with open_pair(Mode("packets")) as (client, accepted, _):
        await client.send(b"hello")
        assert await accepted.recv() == b"hello"
        assert client.latency is None
        assert accepted.latency is None


async def test_a_made_up_answer_is_none(control_mode: Mode, role: Role) -> None:
    async with facing(role, control_mode) as (conn, peer):
        for body in (b"", bytes(8), b"\xff" * 8, (7).to_bytes(8, "little")):
            await peer.write(control.frame(Opcode.PONG, body))
        await peer.write(message(b"that was all"))
        assert await conn.recv() == b"that was all"
        assert conn.latency is None


async def test_an_answer_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr("sealframe.aio.pings.perf_counter", clock.time)
    pings = Pings(asyncio.get_running_loop())
    body = pings.next_body()
    clock.now = 2.0
    pings.answer(body)
    assert pings.latency == 2.0
    clock.now = 9.0
    pings.answer(body)
    assert pings.latency == 2.0
    newer = pings.next_body()
    pings.answer(body)
    assert pings.latency == 2.0
    clock.now = 10.0
    pings.answer(newer)
    assert pings.latency == 1.0


class _Clock:
    now = 0.0

    def time(self) -> float:
        return self.now


async def test_it_is_finer_than_the_clock_of_the_event_loop(control_mode: Mode) -> None:
    """That of uvloop counts whole milliseconds, and a round trip may take less."""
    async with open_pair(control_mode) as (client, _, _):
        measured = [await client.ping() for _ in range(3)]
        assert all(seconds > 0 and round(seconds, 6) != round(seconds, 3) for seconds in measured)
