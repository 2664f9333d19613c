"""How many lines a crowd gets in the log."""

from __future__ import annotations

from sealframe.aio.log_throttle import LogThrottle


def test_a_crowd_is_one_line_a_minute() -> None:
    """The first of a crowd is logged at once; the next line tells of all since then."""
    throttle = LogThrottle()
    assert [throttle.count(5.0 + second) for second in range(60)] == [""] + [None] * 59
    assert throttle.count(65.0) == " (and 59 more since the last such line)"
    assert throttle.count(65.1) is None
    assert throttle.count(1000.0, "tries") == " (and 1 tries since the last such line)"


def test_or_a_few_lines() -> None:
    throttle = LogThrottle(lines=3)
    seconds = (0, 1, 2, 3, 59, 60, 61)
    more = " (and 2 more since the last such line)"
    assert [throttle.count(second) for second in seconds] == ["", "", "", None, None, more, ""]
