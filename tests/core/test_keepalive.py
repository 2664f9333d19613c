"""When to probe a peer and when to give it up, on a clock that the test turns."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from sealframe.core.keepalive import Keepalive, KeepaliveAction
from sealframe.options import Options

OPTIONS = Options(keepalive_interval=20.0, keepalive_timeout=5.0)
IDLE = Options(idle_timeout=60.0, keepalive_interval=None)
BOTH = Options(idle_timeout=60.0, keepalive_interval=20.0, keepalive_timeout=5.0)


def test_silence_is_probed_once_and_then_fatal() -> None:
    """SEND_PING after the interval, once; ABORT when the time-out has passed since the probe."""
    live = Keepalive(OPTIONS, now=100.0)
    assert live.check(119.9, probing=True) is KeepaliveAction.WAIT
    assert live.check(120.0, probing=True) is KeepaliveAction.SEND_PING
    assert live.check(120.0, probing=True) is KeepaliveAction.WAIT
    assert live.check(124.9, probing=True) is KeepaliveAction.WAIT
    assert live.check(125.0, probing=True) is KeepaliveAction.GIVE_UP


def test_any_byte_after_the_probe_counts_as_life() -> None:
    """What came after the probe ends the wait, and the next interval starts with it."""
    live = Keepalive(OPTIONS, now=100.0)
    assert live.check(120.0, probing=True) is KeepaliveAction.SEND_PING
    live.received(124.0, 0)
    assert live.check(126.0, probing=True) is KeepaliveAction.WAIT
    assert live.check(143.9, probing=True) is KeepaliveAction.WAIT
    assert live.check(144.0, probing=True) is KeepaliveAction.SEND_PING
    assert live.check(149.0, probing=True) is KeepaliveAction.GIVE_UP


def test_traffic_makes_probes_needless() -> None:
    live = Keepalive(OPTIONS, now=0.0)
    for now in range(1, 200):
        live.received(float(now), 0)
        assert live.check(float(now) + 0.5, probing=True) is KeepaliveAction.WAIT


def test_a_hold_gives_the_peer_its_time_again() -> None:
    """While reading is paused the peer cannot show life, so nothing may count against it."""
    live = Keepalive(BOTH, now=0.0)
    assert live.check(20.0, probing=True) is KeepaliveAction.SEND_PING
    live.restart(59.0)
    assert live.check(60.0, probing=True) is KeepaliveAction.WAIT
    assert live.check(78.9, probing=True) is KeepaliveAction.WAIT
    assert live.check(79.0, probing=True) is KeepaliveAction.SEND_PING


def test_a_peer_that_answers_no_ping_is_never_dead() -> None:
    """Where only packets flow, TCP keepalive does that work."""
    live = Keepalive(OPTIONS, now=0.0)
    assert live.check(1e9, probing=False) is KeepaliveAction.WAIT
    assert live.next_check(probing=False) == math.inf


def test_probing_may_begin_later() -> None:
    """On a plain server HELLO may come at any time before the first message."""
    live = Keepalive(OPTIONS, now=0.0)
    assert live.check(1000.0, probing=False) is KeepaliveAction.WAIT
    assert live.check(1000.0, probing=True) is KeepaliveAction.SEND_PING
    assert live.check(1005.0, probing=True) is KeepaliveAction.GIVE_UP


def test_idleness_is_counted_in_messages_not_bytes() -> None:
    """PING and PONG keep a connection alive, and do not keep it from being idle."""
    live = Keepalive(BOTH, now=0.0)
    live.received(59.0, 0)
    assert live.check(59.9, probing=True) is KeepaliveAction.WAIT
    assert live.check(60.0, probing=True) is KeepaliveAction.DISCONNECT
    live.last_message = 30.0
    assert live.check(60.0, probing=True) is KeepaliveAction.WAIT
    assert live.check(90.0, probing=True) is KeepaliveAction.DISCONNECT


def test_without_timers_nothing_is_ever_due() -> None:
    live = Keepalive(Options(keepalive_interval=None), now=0.0)
    assert live.check(1e9, probing=True) is KeepaliveAction.WAIT
    assert live.next_check(probing=True) == math.inf


def test_the_next_check_is_the_earliest_that_is_due() -> None:
    live = Keepalive(BOTH, now=0.0)
    assert live.next_check(probing=True) == 20.0
    assert live.next_check(probing=False) == 60.0
    assert live.check(20.0, probing=True) is KeepaliveAction.SEND_PING
    assert live.next_check(probing=True) == 25.0
    live.received(22.0, 0)
    assert live.next_check(probing=True) == 42.0
    assert Keepalive(IDLE, now=7.0).next_check(probing=True) == 67.0


@given(st.lists(st.tuples(st.sampled_from("rm."), st.integers(0, 30)), max_size=40))
def test_a_check_at_the_announced_time_is_never_in_vain(steps: list[tuple[str, int]]) -> None:
    """Whatever came in between, at the time that next_check names something is due:
    so a timer set by it neither spins nor misses the moment. Just before, nothing is."""
    live = Keepalive(BOTH, now=0.0)
    now = 0.0
    for kind, wait in steps:
        due = live.next_check(probing=True)
        if now + wait >= due:
            assert live.check(math.nextafter(due, 0), probing=True) is KeepaliveAction.WAIT
            verdict = live.check(due, probing=True)
            assert verdict is not KeepaliveAction.WAIT
            if verdict is not KeepaliveAction.SEND_PING:
                return
            now = due
        else:
            now += wait
        if kind != ".":
            live.received(now, 0)
        if kind == "m":
            live.last_message = now
