"""What the log says while a session has no link: a line for each round, and few warnings."""

from __future__ import annotations

import logging

import pytest

from sealframe.client.search_log import SearchLog
from sealframe.errors import ConnectError

GONE = ConnectError(111, "refused")
HOUR = 3600.0


def warned(
    caplog: pytest.LogCaptureFixture,
    times: list[float],
    *,
    keep: float = 120.0,
    grave: bool = False,
) -> list[float]:
    """Return at which of these times, in seconds without a link, a warning came. The others have
    a line at INFO."""
    log = SearchLog("c-1")
    log.begin(keep, 1000.0)
    with caplog.at_level(logging.INFO, "sealframe.client"):
        for seconds in times:
            log.failed(GONE, 0.5, 1000.0 + seconds, grave=grave)
    assert len(caplog.records) == len(times)
    levels = [record.levelno for record in caplog.records]
    return [
        seconds for seconds, level in zip(times, levels, strict=True) if level == logging.WARNING
    ]


def test_a_server_that_is_gone_is_worth_one_after_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    times = [0.1, 59.9, 60.0, 61.0, 60.0 + HOUR - 1, 60.0 + HOUR, 61.0 + HOUR]
    assert warned(caplog, times) == [60.0, 60.0 + HOUR]
    assert "connection c-1 has no link" in caplog.text
    assert "for 60 s, and goes on looking" in caplog.text
    assert "next attempt in 0.5 s" in caplog.records[0].getMessage()


def test_no_later_than_the_session_may_be_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, [1.0, 3.0, 5.0], keep=2.0) == [3.0]


def test_what_time_does_not_cure_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    assert warned(caplog, [0.1, 60.0, HOUR, HOUR + 0.1], grave=True) == [0.1, HOUR + 0.1]


def test_a_link_that_is_lost_again_and_again_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = SearchLog("c-1")
    for now in (1.0, 2.0, HOUR, HOUR + 1.0):
        log.begin(120.0, now)
        log.failed(GONE, 0.5, now, grave=True)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 2
