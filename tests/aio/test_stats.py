"""Counters start at zero and count nothing but what they name."""

from __future__ import annotations

import dataclasses

import pytest

from sealframe.aio.stats import ServerStats, Stats


@pytest.mark.parametrize("kind", [Stats, ServerStats])
def test_every_counter_starts_at_zero(kind: type[Stats | ServerStats]) -> None:
    counters = kind()
    named = counters.as_dict() if isinstance(counters, Stats) else dataclasses.asdict(counters)
    assert set(named.values()) == {0}


def test_counters_add_up() -> None:
    total, one = Stats(), Stats()
    total.messages_sent, one.messages_sent, one.unsent = 1, 2, 3
    total.add(one)
    assert (total.messages_sent, total.unsent, total.bytes_sent) == (3, 3, 0)
    assert repr(one).startswith("Stats(messages_received=0, messages_sent=2, ")


def test_the_counters_have_these_names() -> None:
    """They are public: programs read them."""
    assert list(Stats().as_dict()) == [
        *("messages_received", "messages_sent", "bytes_received", "bytes_sent"),
        *("dropped", "discarded", "unsent"),
    ]
    assert [field.name for field in dataclasses.fields(ServerStats)] == [
        *("accepted", "turned_away", "too_fast", "failed_handshakes", "unauthorized"),
        *("dropped_handshakes", "probes", "proxy_refused", "dropped"),
        *("sessions_resumed", "sessions_lost"),
    ]


@pytest.mark.parametrize("kind", [Stats, ServerStats])
def test_a_misspelt_counter_is_an_error(kind: type[Stats | ServerStats]) -> None:
    with pytest.raises(AttributeError):
        kind().messages_lost = 1  # type: ignore[union-attr]
