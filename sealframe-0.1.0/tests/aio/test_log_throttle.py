"""How many lines a crowd gets in the log."""

from __future__ import annotations

from sealframe.aio.log_throttle import LogThrottle


def test_a_crowd_is_one_line_a_minute() -> None:
    """The first of a crowd is logged at once; the next line tells of all since then."""
    throttle = LogThrottle()
    assert [throttle.count(5.0 + second) for second in range(60)] == [1] + [0] * 59
    assert throttle.count(65.0) == 60
    assert throttle.count(65.1) == 0
    assert throttle.count(1000.0) == 2


def test_or_a_few_lines() -> None:
    throttle = LogThrottle(lines=3)
    assert [throttle.count(second) for second in (0, 1, 2, 3, 59, 60, 61)] == [1, 1, 1, 0, 0, 3, 1]
