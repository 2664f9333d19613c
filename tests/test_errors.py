"""Errors that carry numbers keep them, wherever they go."""

from __future__ import annotations

import copy
import pickle

from sealframe import CloseCode, ConnectionClosedError, SessionLostError, StreamResetError


def test_a_lost_session_keeps_its_numbers() -> None:
    """Raised many times, as a copy, and from another process."""
    error = SessionLostError(
        "lost", code=CloseCode.SESSION_LOST, reason="gone", arrived=3, unknown=2, unsent=1
    )
    error.__cause__ = OSError("why")
    assert isinstance(error, ConnectionClosedError)
    assert error.fresh().__cause__ is error.__cause__
    for twin in (error, error.fresh(), copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(twin, SessionLostError)
        assert (str(twin), twin.code, twin.reason) == ("lost", 14, "gone")
        assert (twin.arrived, twin.unknown, twin.unsent) == (3, 2, 1)


def test_nothing_is_counted_where_nothing_was_sent() -> None:
    error = SessionLostError("lost")
    assert (error.code, error.arrived, error.unknown, error.unsent) == (None, 0, 0, 0)
    assert repr(error) == "SessionLostError('lost')"


def test_a_note_on_one_of_many_is_not_on_the_next() -> None:
    kept = StreamResetError(1)
    assert kept.__notes__
    first, second = kept.fresh(), kept.fresh()
    first.add_note("of the first")
    assert "of the first" in first.__notes__
    assert "of the first" not in second.__notes__ + kept.__notes__ + kept.fresh().__notes__
