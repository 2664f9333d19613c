"""What servers say to each other of sessions: to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.cluster.messages import MalformedFrameError
from sealframe.cluster.session_messages import (
    Body,
    Confirm,
    Failed,
    Find,
    Moved,
    MovedMessage,
    NotMoved,
    Release,
    Status,
    decode,
    encode,
)
from sealframe.server.moving import HeldSession, LaterLink, SessionQuestion
from sealframe.server.session_table import EndedSession
from sealframe.wire.writers import Writers

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
attempts = st.tuples(u32, u32)
names = st.binary(min_size=8, max_size=8)
own = names.filter(any)
writers = st.none() | st.builds(Writers, own, st.lists(names, max_size=2).map(tuple))
questions = st.builds(
    SessionQuestion, st.binary(min_size=32, max_size=32), attempts, u64, u64, writers
)
ended = st.builds(EndedSession, u32, u64, u64, names)
bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(Find, questions),
    st.builds(Release, questions),
    st.builds(Confirm, questions),
    st.builds(Status, st.none() | ended | st.builds(HeldSession, attempts, st.booleans())),
    st.builds(MovedMessage, st.booleans(), st.binary()),
    st.builds(Moved, u64, u32, u32, names),
    st.builds(NotMoved, st.none() | ended | st.builds(LaterLink, attempts)),
    st.builds(Failed, st.text(st.characters(codec="utf-8"), max_size=50)),
)


@given(bodies)
def test_what_was_encoded_is_decoded(body: Body) -> None:
    assert decode(encode(body)) == body


@given(st.binary(max_size=80))
def test_any_bytes_are_a_body_unknown_or_refused(data: bytes) -> None:
    try:
        body = decode(data)
    except MalformedFrameError:
        return
    assert body is None or decode(encode(body)) == body


@given(bodies.filter(lambda body: not isinstance(body, Failed | MovedMessage)))
def test_what_is_cut_short_is_refused(body: Body) -> None:
    with pytest.raises(MalformedFrameError):
        decode(encode(body)[:-1])


def test_a_later_version_may_say_more() -> None:
    assert decode(b"\x40whatever") is None
