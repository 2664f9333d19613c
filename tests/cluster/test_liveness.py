"""Silence, probes and their outcomes: the table of the module, and the clock behind it."""

from __future__ import annotations

import pytest

from sealframe.cluster.events import ProbeOutcome
from sealframe.cluster.liveness import ListeningClock, Liveness, Verdict
from sealframe.cluster.numbers import GONE_AFTER, LONGEST_TURN, PROBE_AFTER, PROBE_PAUSE

ANSWERED, NO_RESPONDERS, SILENCE = ProbeOutcome


def probed() -> Liveness:
    liveness = Liveness(0.0)
    assert liveness.check(PROBE_AFTER) is Verdict.PROBE
    return liveness


def refused() -> Liveness:
    liveness = probed()
    assert not liveness.probed(NO_RESPONDERS, 0.4)
    return liveness


def test_one_that_is_heard_is_not_probed() -> None:
    liveness = Liveness(0.0)
    for beat in range(1, 100):
        assert liveness.next_time == (beat - 1) * 0.125 + PROBE_AFTER
        assert liveness.check(beat * 0.125) is Verdict.ALIVE
        liveness.heard(beat * 0.125)


def test_a_silent_one_is_probed_until_it_is_gone() -> None:
    liveness = Liveness(0.0)
    probes = []
    for _ in range(7):
        time = liveness.next_time
        assert liveness.check(time) is Verdict.PROBE
        assert liveness.check(time) is Verdict.ALIVE
        liveness.probed(SILENCE, time)
        probes.append(time)
    assert probes == [PROBE_AFTER * number for number in range(1, 8)]
    assert liveness.next_time == GONE_AFTER
    assert liveness.check(GONE_AFTER) is Verdict.SILENT


def test_no_responders_counts_twice_and_with_a_pause() -> None:
    liveness = refused()
    assert liveness.next_time == 0.4 + PROBE_PAUSE
    assert liveness.check(0.45) is Verdict.ALIVE
    assert liveness.check(0.4 + PROBE_PAUSE) is Verdict.PROBE
    assert liveness.probed(NO_RESPONDERS, 0.47)


@pytest.mark.parametrize("outcome", [ANSWERED, SILENCE])
def test_anything_else_between_two_refusals_takes_back_the_first(outcome: ProbeOutcome) -> None:
    liveness = refused()
    assert not liveness.probed(outcome, 0.5)
    liveness.check(1.0)
    assert not liveness.probed(NO_RESPONDERS, 1.0)
    assert liveness.probed(NO_RESPONDERS, 1.1)


def test_what_is_heard_counts_more_than_a_probe_from_before() -> None:
    for liveness in (probed(), refused()):
        liveness.heard(0.41)
        assert not liveness.probed(NO_RESPONDERS, 0.42)
        assert not liveness.probed(NO_RESPONDERS, 0.5)
        assert liveness.next_time == 0.41 + PROBE_AFTER


def test_an_answer_is_something_heard() -> None:
    liveness = probed()
    assert not liveness.probed(ANSWERED, 0.5)
    assert liveness.next_time == 0.5 + PROBE_AFTER
    assert liveness.check(3.4) is Verdict.PROBE


def test_a_probe_whose_outcome_never_comes_is_repeated() -> None:
    liveness = refused()
    assert liveness.check(0.46) is Verdict.PROBE
    assert liveness.next_time == 0.46 + PROBE_AFTER


def test_time_in_which_nobody_listened_is_no_silence() -> None:
    clock = ListeningClock(100.0)
    assert clock.advance(100.0 + LONGEST_TURN / 2) == LONGEST_TURN / 2
    assert clock.advance(200.0) == LONGEST_TURN * 1.5
    assert clock.advance(150.0) == LONGEST_TURN * 1.5
    assert (clock.now, clock.time) == (200.0, LONGEST_TURN * 1.5)
    assert clock.moment(clock.time + 1) == 201.0
