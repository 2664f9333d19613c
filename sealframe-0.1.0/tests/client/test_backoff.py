"""Delays between attempts to reconnect."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.client.backoff import Backoff
from sealframe.options import ClientOptions

OPTIONS = ClientOptions(backoff_initial=0.1, backoff_factor=2.0, backoff_maximum=5.0)


@given(
    st.floats(0.001, 10),
    st.floats(1, 100),
    st.floats(10, 1000),
    st.integers(0, 2**32),
)
def test_delays_stay_within_the_jitter_and_the_maximum(
    initial: float, factor: float, maximum: float, seed: int
) -> None:
    """Each delay lies within 50% to 150% of its mean and never over the maximum;
    the mean grows by the factor up to the maximum."""
    random.seed(seed)
    backoff = Backoff(
        ClientOptions(backoff_initial=initial, backoff_factor=factor, backoff_maximum=maximum)
    )
    mean = initial
    for _ in range(20):
        delay = backoff.next_delay()
        assert 0 < delay <= maximum
        assert 0.5 * mean <= delay <= 1.5 * mean
        mean = min(mean * factor, maximum)


def test_a_reset_starts_from_the_initial_delay_again() -> None:
    backoff = Backoff(OPTIONS)
    for _ in range(10):
        last = backoff.next_delay()
    assert last > 0.15
    backoff.reset()
    assert backoff.next_delay() <= 0.15


def test_clients_of_a_restarted_server_do_not_come_back_in_step() -> None:
    """Two hundred first delays are spread over the whole range."""
    random.seed(1)
    delays = [Backoff(OPTIONS).next_delay() for _ in range(200)]
    assert min(delays) < 0.06
    assert max(delays) > 0.14
    assert len(set(delays)) > 190


def test_the_bounds_are_those_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the jitter held at its ends the sequence is exact, and ends at the maximum."""
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    backoff = Backoff(ClientOptions(backoff_initial=1.0, backoff_factor=3.0, backoff_maximum=10.0))
    assert [backoff.next_delay() for _ in range(4)] == [1.5, 4.5, 10.0, 10.0]
    monkeypatch.setattr(random, "uniform", lambda low, high: low)
    backoff.reset()
    assert [backoff.next_delay() for _ in range(4)] == [0.5, 1.5, 4.5, 5.0]
