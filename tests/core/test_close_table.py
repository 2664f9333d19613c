"""The close of a connection as a table: every state and event, and what can follow what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.core.closing import (
    CLOSING,
    TABLE,
    WRITE_CLOSED,
    CloseAction,
    CloseEvent,
    CloseState,
    transition,
)

S, E, A = CloseState, CloseEvent, CloseAction

ORDER = {
    S.HANDSHAKE: 0,
    S.OPEN: 1,
    S.GOING_AWAY: 2,
    S.PEER_CLOSED: 2,
    S.GOING_AWAY_PEER_CLOSED: 3,
    S.DRAINING: 4,
    S.DRAINING_PEER_CLOSED: 5,
    S.CLOSE_SENT: 6,
    S.AWAITING_END: 7,
    S.FAILED: 8,
    S.DISCONNECTING: 9,
    S.CLOSED: 10,
}
"""Nothing leads back but the next link of a session, and that to what it has to hear again, or to
say where it counts anew."""
LINKS = (E.NEXT_LINK, E.NEW_NUMBERING)

SPECIFIED = [
    # state, event, next
    (S.OPEN, E.CLOSE, S.DRAINING),
    (S.OPEN, E.PEER_CLOSE, S.PEER_CLOSED),
    (S.OPEN, E.SERVER_CLOSE, S.DRAINING_PEER_CLOSED),
    (S.OPEN, E.PEER_DISCONNECT, S.DRAINING_PEER_CLOSED),
    (S.OPEN, E.FAULT, S.FAILED),
    (S.OPEN, E.FAULT_UNANSWERED, S.DISCONNECTING),
    (S.OPEN, E.GO_AWAY, S.GOING_AWAY),
    (S.OPEN, E.ALL_SENT, S.OPEN),
    (S.HANDSHAKE, E.GO_AWAY, S.DISCONNECTING),
    (S.GOING_AWAY, E.CLOSE, S.DRAINING),
    (S.GOING_AWAY, E.PEER_CLOSE, S.GOING_AWAY_PEER_CLOSED),
    (S.GOING_AWAY, E.PEER_DISCONNECT, S.DRAINING_PEER_CLOSED),
    (S.PEER_CLOSED, E.CLOSE, S.DRAINING_PEER_CLOSED),
    (S.PEER_CLOSED, E.GO_AWAY, S.GOING_AWAY_PEER_CLOSED),
    (S.PEER_CLOSED, E.FAULT, S.FAILED),
    (S.DRAINING, E.CLOSE, S.DRAINING),
    (S.DRAINING, E.PEER_CLOSE, S.DRAINING_PEER_CLOSED),
    (S.DRAINING, E.SERVER_CLOSE, S.DRAINING_PEER_CLOSED),
    (S.DRAINING, E.ALL_SENT, S.CLOSE_SENT),
    (S.DRAINING_PEER_CLOSED, E.ALL_SENT, S.DISCONNECTING),
    (S.CLOSE_SENT, E.PEER_CLOSE, S.DISCONNECTING),
    (S.CLOSE_SENT, E.SERVER_CLOSE, S.DISCONNECTING),
    (S.CLOSE_SENT, E.PEER_DISCONNECT, S.DISCONNECTING),
    (S.CLOSE_SENT, E.FAULT, S.FAILED),
    (S.OPEN, E.SESSION_CLOSE, S.DRAINING_PEER_CLOSED),
    (S.DRAINING, E.SESSION_CLOSE, S.DRAINING_PEER_CLOSED),
    (S.CLOSE_SENT, E.SESSION_CLOSE, S.AWAITING_END),
    (S.DRAINING_PEER_CLOSED, E.ALL_GIVEN, S.AWAITING_END),
    (S.DRAINING_PEER_CLOSED, E.NEXT_LINK, S.DRAINING),
    (S.DRAINING_PEER_CLOSED, E.NEW_NUMBERING, S.DRAINING),
    (S.CLOSE_SENT, E.NEW_NUMBERING, S.DRAINING),
    (S.AWAITING_END, E.NEW_NUMBERING, S.DRAINING),
    (S.DRAINING, E.NEW_NUMBERING, S.DRAINING),
    (S.OPEN, E.NEW_NUMBERING, S.OPEN),
    (S.AWAITING_END, E.PEER_FIN, S.DISCONNECTING),
    (S.AWAITING_END, E.NEXT_LINK, S.CLOSE_SENT),
    (S.AWAITING_END, E.CLOSE, S.AWAITING_END),
    (S.FAILED, E.PEER_FIN, S.DISCONNECTING),
    (S.FAILED, E.CLOSE, S.FAILED),
    (S.DISCONNECTING, E.CLOSE, S.DISCONNECTING),
    (S.CLOSED, E.ABORT, S.CLOSED),
]


@pytest.mark.parametrize(("state", "event", "expected"), SPECIFIED)
def test_what_follows(state: CloseState, event: CloseEvent, expected: CloseState) -> None:
    assert transition(state, event)[0] is expected


def test_every_state_has_a_row() -> None:
    assert TABLE.keys() == set(S)


@pytest.mark.parametrize("state", [state for state in S if state is not S.CLOSED])
def test_the_loss_of_the_socket_and_an_abort_end_every_state(state: CloseState) -> None:
    assert transition(state, E.LOST)[0] is S.CLOSED
    following, actions = transition(state, E.ABORT)
    assert following is S.DISCONNECTING
    assert actions[-1] is A.ABORT_SOCKET


def test_a_server_that_has_closed_is_sent_what_was_accepted_and_nothing_more() -> None:
    for state in set(S) - {S.CLOSED, S.FAILED, S.DISCONNECTING, S.AWAITING_END}:
        following, actions = transition(state, E.SERVER_CLOSE)
        assert following in CLOSING
        assert A.FLUSH in actions
        assert A.DROP_QUEUE not in actions
        if state not in CLOSING:
            assert {A.END_SENDING, A.ARM_TIMER} <= set(actions)


def test_both_directions_end_with_the_socket() -> None:
    for state in set(S) - {S.CLOSED}:
        actions = transition(state, E.LOST)[1]
        assert {A.END_RECEIVING, A.END_SENDING, A.STOP_TIMERS} <= set(actions)


def test_an_answer_to_a_fault_is_followed_by_fin_and_no_credit() -> None:
    """After FIN nothing can be written, and what is read is discarded."""
    for state in set(S) - {S.FAILED, S.DISCONNECTING, S.CLOSED}:
        actions = transition(state, E.FAULT)[1]
        assert actions.index(A.FLUSH) < actions.index(A.SEND_FIN) < actions.index(A.RESUME_READING)
        assert A.UPDATE_WINDOW not in actions
        assert A.DISCARD in actions


@given(st.lists(st.sampled_from(list(E)), max_size=30))
def test_whatever_happens_nothing_leads_back(events: list[CloseEvent]) -> None:
    """CLOSE goes out once at most in a numbering; a socket is closed or aborted by states that say
    so."""
    state: CloseState = S.HANDSHAKE
    sent = 0
    for event in events:
        following, actions = transition(state, event)
        assert ORDER[following] >= ORDER[state] or event in LINKS
        if event is E.NEW_NUMBERING:
            sent = 0
        sent += A.SEND_CLOSE in actions
        if A.CLOSE_SOCKET in actions or A.ABORT_SOCKET in actions:
            assert following is S.DISCONNECTING
        if event is E.CLOSE and state not in {*CLOSING, S.CLOSED}:
            assert following in CLOSING
            assert A.ARM_TIMER in actions
        if state in WRITE_CLOSED:
            assert A.SEND_CLOSE not in actions
        state = following
    assert sent <= 1
