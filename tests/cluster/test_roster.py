"""One roster by itself, and two that are connected directly."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from sealframe import UnknownClientError
from sealframe.cluster.events import (
    AskRoster,
    Event,
    GoneReason,
    Joined,
    LeaveReason,
    Left,
    MalformedRoster,
    OwnHeartbeatSeen,
    Probe,
    ProbeOutcome,
    Renamed,
    ServerGone,
    ServerJoined,
    Superseded,
    UnknownVersion,
)
from sealframe.cluster.events import (
    ClusterClient as Client,
)
from sealframe.cluster.events import (
    ClusterServer as Server,
)
from sealframe.cluster.messages import MalformedFrameError, RosterPart
from sealframe.cluster.numbers import (
    ECHO_TIMEOUT,
    HEARTBEAT_INTERVAL,
    MAX_DELTAS,
    MAX_TEXT,
    ROSTER_RETRY,
    SLICE,
)
from sealframe.cluster.presence import Put, encode_delta, encode_presence
from sealframe.cluster.roster import NamePolicy, Roster

OWN, OTHER = "0" * 16, "1" * 16
WALL = 1_764_460_800.0
HEAD = {"id": OTHER, "label": "other:1", "started": WALL, "figures": {}}
SERVER = Server(OTHER, "other:1", WALL, {})
HOSTILE = [
    "",
    "\0",
    "a.*.>",
    "$SYS",
    '","n":9,"x":"',
    "\ufeff\u202e\u2028",
    "👩‍👩‍👧",
    "x" * MAX_TEXT,
    "\0" * MAX_TEXT,
    "é" * (MAX_TEXT // 2),
]


def roster(id: str = OWN, names: NamePolicy = NamePolicy.NEWEST, size: int = 1 << 18) -> Roster:
    return Roster(id, f"host:{id[0]}", wall=WALL, now=0.0, names=names, size=size)


def heartbeat(number: int = 0, *deltas: Put) -> bytes:
    return encode_presence(HEAD, number, map(encode_delta, deltas))


def put(number: int) -> Put:
    return Put(f"b-{number}", None, WALL + number)


def client(number: int) -> Client:
    return Client(f"b-{number}", None, OTHER, WALL + number)


def exchange(sender: Roster, receiver: Roster, now: float = 0.0) -> list[Event]:
    """Hand over what a roster publishes, and the roster itself if it is asked for."""
    events: list[Event] = []
    for data in sender.take_presence(now):
        events += receiver.receive_presence(data, now)
    for event in list(events):
        if isinstance(event, AskRoster):
            for part in sender.roster_parts():
                events += receiver.receive_roster(sender.id, part, now)
    while receiver.busy:
        events += receiver.check(now)
    return events


# This server's own clients


def test_own_clients_come_and_go() -> None:
    own = roster()
    ann = Client("a-1", "ann", OWN, WALL)
    bob = Client("a-1", "bob", OWN, WALL + 1)
    assert own.join("a-1", "ann", WALL) == [Joined(ann)]
    assert own.clients == {"a-1": ann} == own.of_server(OWN)
    assert own.rename("a-1", "ann", WALL + 1) == []
    assert own.rename("a-1", "bob", WALL + 1) == [Renamed(bob, ann)]
    assert (own.newest("ann"), own.newest("bob"), own.named("bob")) == (None, bob, (bob,))
    assert own.leave("a-1") == [Left(bob, LeaveReason.LEFT)]
    assert own.leave("a-1") == []
    assert (own.clients, own.of_server(OWN), own.named("bob")) == ({}, {}, ())


def test_the_clients_are_a_view_that_nobody_can_change() -> None:
    own = roster()
    with pytest.raises(TypeError):
        own.clients["a"] = Client("a", None, OWN, 0.0)  # type: ignore[index]


def test_who_is_not_there_has_no_name() -> None:
    with pytest.raises(UnknownClientError):
        roster().rename("a-1", "ann", WALL)


@pytest.mark.parametrize(("wall", "since"), [(WALL - 100, WALL), (-5.0, WALL)])
def test_a_clock_that_goes_back_makes_nobody_older(wall: float, since: float) -> None:
    own = roster()
    own.join("a-1", "ann", WALL)
    events = own.join("a-2", "ann", wall)
    [joined] = [event for event in events if isinstance(event, Joined)]
    assert since < joined.client.since < since + 0.001
    assert Superseded("a-1", joined.client) in events
    assert own.join("a-3", None, -5.0) == [Joined(Client("a-3", None, OWN, 0.0))]


@pytest.mark.parametrize("text", ["a\ud800", "x" * (MAX_TEXT + 1)])
def test_text_that_cannot_be_sent_is_refused_and_changes_nothing(text: str) -> None:
    own = roster()
    own.take_presence(0.0)
    for id, name in (("a", text), (text, None)):
        with pytest.raises(ValueError, match="id or name between servers"):
            own.join(id, name, WALL)
    assert own.clients == {}
    assert own.take_presence(0.0) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": "0" * 15},
        {"id": "G" * 16},
        {"label": "x" * 257},
        {"size": 4095},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object]) -> None:
    given: dict[str, object] = {"id": OWN, "label": "host:1", "size": 4096, **arguments}
    with pytest.raises(ValueError, match=r"16 hexadecimal|at most 256|at least 4096"):
        Roster(**given, wall=WALL, now=0.0)  # type: ignore[arg-type]


# Two of them


@pytest.mark.parametrize("size", [4096, 1 << 18])
def test_hostile_names_arrive(size: int) -> None:
    """Also those that are too large for a presence message: the roster has them."""
    own, other = roster(size=size), roster(OTHER)
    exchange(own, other)
    for number, name in enumerate(HOSTILE):
        own.join(f"{number}-{name}"[: MAX_TEXT // 2], name, WALL)
        exchange(own, other, 10.0 * number)
        assert other.clients == own.clients
        newest = other.newest(name)
        assert newest is not None
        assert newest.name == name
    assert len(other.clients) == len(HOSTILE)


def test_ten_thousand_clients_arrive_with_a_roster() -> None:
    own, other = roster(), roster(OTHER)
    for number in range(10_000):
        own.join(f"a-{number}", f"name {number}", WALL + number)
    events = exchange(own, other)
    assert other.clients == own.clients
    assert sum(isinstance(event, AskRoster) for event in events) == 1
    assert sum(isinstance(event, Joined) for event in events) == 10_000
    assert len(own.roster_parts()) > 1
    for number in range(0, 10_000, 2):
        own.leave(f"a-{number}")
    exchange(own, other)
    assert len(other.clients) == 5000
    assert other.clients == own.clients


def test_a_large_roster_is_taken_in_by_slices() -> None:
    """No turn of the event loop is held up, and what comes meanwhile is behind it."""
    own, other = roster(), roster(OTHER)
    for number in range(8 * SLICE):
        own.join(f"a-{number}", None, WALL + number)
    own.take_presence(0.0)
    own.leave("a-0")
    (late,) = own.take_presence(0.2)
    other.receive_presence(late, 0.2)
    parts = own.roster_parts()
    assert len(parts) > 2
    # They come together, and so in one turn.
    assert sum(len(other.receive_roster(OWN, part, 0.2)) for part in parts) == 0
    own.leave(f"a-{8 * SLICE - 1}")
    for data in own.take_presence(0.2):
        other.receive_presence(data, 0.2)
    other.take_presence(0.2)  # its heartbeat
    slices = []
    while other.next_time() == 0.2:
        cost = calls(lambda: slices.append(len(other.check(0.2))))
        # Neither is decoding all of it one turn.
        assert cost < 20 * SLICE
    assert len(slices) > 4
    assert max(slices) == SLICE
    assert other.clients == own.clients


def test_a_large_roster_of_ones_own_is_not_encoded_in_one_turn() -> None:
    """Each client was, as it came."""
    own = roster()
    for number in range(8 * SLICE):
        own.join(f"a-{number}", None, WALL + number)
    assert calls(own.roster_parts) < SLICE


def test_the_clients_of_a_large_server_that_is_gone_leave_by_slices() -> None:
    own, other = roster(), roster(OTHER)
    for number in range(3 * SLICE):
        own.join(f"a-{number}", None, WALL + number)
    exchange(own, other)
    assert len(other.clients) == 3 * SLICE
    other.check(0.0)
    slices = [other.receive_presence(own.bye(), 0.0)]
    assert list(other.servers) == []
    while other.busy:
        slices.append(other.check(0.0))
    assert [len(events) for events in slices] == [SLICE, SLICE, SLICE + 1]
    assert all(isinstance(event, Left) for events in slices for event in events[:SLICE])
    gone = slices[-1][-1]
    assert isinstance(gone, ServerGone)
    assert gone.reason is GoneReason.BYE
    assert other.clients == {}


def test_a_server_that_is_heard_again_while_its_clients_leave_is_a_new_one_after_that() -> None:
    own, other = roster(), roster(OTHER)
    for number in range(2 * SLICE):
        own.join(f"a-{number}", None, WALL + number)
    exchange(own, other)
    other.check(0.0)
    other.receive_presence(own.bye(), 0.0)
    # However many are left, no turn takes out more than a slice.
    own.announce(0.0)
    (heard,) = own.take_presence(0.0)
    assert other.receive_presence(heard, 0.0) == []
    assert [type(event) for event in other.check(0.0)] == [*[Left] * SLICE, ServerGone]
    own.announce(0.0)
    events = exchange(own, other)
    kinds = [type(event) for event in events if not isinstance(event, Joined)]
    assert kinds == [ServerJoined, AskRoster]
    assert other.clients == own.clients


def calls(action: Callable[[], object]) -> int:
    """Return how many functions of sealframe an action calls."""
    count = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal count
        count += event == "call" and "sealframe" in frame.f_code.co_filename

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("names", NamePolicy)
def test_a_join_costs_the_same_however_many_are_there(names: NamePolicy) -> None:
    """Also where all of them have one name."""
    costs = []
    own, other = roster(names=names), roster(OTHER, names=names)
    for number in range(3001):
        name = "ann" if names is NamePolicy.MANY else f"name {number}"
        other.check(float(number) / 1000)

        def step(number: int = number, name: str = name) -> None:
            own.join(f"a-{number}", name, WALL + number)
            exchange(own, other, float(number) / 1000)

        if number in (10, 3000):
            costs += [calls(step)]
        else:
            step()
    assert costs[0] == costs[1] < 60
    assert len(other.named("ann")) == (3001 if names is NamePolicy.MANY else 0)


# Deltas and rosters


def test_a_new_server_that_says_all_from_the_beginning_is_not_asked() -> None:
    own = roster()
    assert own.receive_presence(heartbeat(2, put(1), put(2)), 0.0) == [
        ServerJoined(SERVER),
        Joined(client(1)),
        Joined(client(2)),
    ]
    assert own.receive_presence(heartbeat(3, put(3)), 0.1) == [Joined(client(3))]


def test_a_server_whose_beginning_was_missed_is_asked_and_what_comes_meanwhile_is_held() -> None:
    own = roster()
    assert own.receive_presence(heartbeat(2, put(2)), 0.0) == [
        ServerJoined(SERVER),
        AskRoster(OTHER),
    ]
    assert own.receive_presence(heartbeat(3, put(3)), 0.0) == []
    assert own.receive_presence(heartbeat(4, put(4)), 0.0) == []
    part = RosterPart(3, 0, 1, b"[%s]" % b",".join(encode_delta(put(n)) for n in (1, 2, 3)))
    assert own.receive_roster(OTHER, part, 0.1) == [Joined(client(n)) for n in (1, 2, 3, 4)]
    assert own.receive_presence(heartbeat(5, put(5)), 0.1) == [Joined(client(5))]


def known(number: int = 1) -> Roster:
    """Return a roster that knows the other server and so many clients of it."""
    own = roster()
    own.receive_presence(heartbeat(number, *map(put, range(1, number + 1))), 0.0)
    return own


def test_a_missing_number_is_noticed_by_the_next_delta_or_heartbeat() -> None:
    for data in (heartbeat(3, put(3)), heartbeat(2)):
        own = known()
        assert own.receive_presence(data, 0.1) == [AskRoster(OTHER)]
        assert own.clients == {"b-1": client(1)}


def test_what_was_taken_is_not_taken_again() -> None:
    own = known(3)
    assert own.receive_presence(heartbeat(2, put(1), put(2)), 0.1) == []
    assert own.receive_presence(heartbeat(4, put(3), put(4)), 0.1) == [Joined(client(4))]
    own.receive_presence(encode_presence(HEAD, 5, [b'["b-1"]']), 0.1)
    again = encode_presence(HEAD, 6, [encode_delta(put(1)), b'["b-1"]', encode_delta(put(6))])
    assert own.receive_presence(again, 0.1) == [Joined(client(6))]
    assert own.receive_presence(heartbeat(1, put(1)), 0.1) == []
    assert "b-1" not in own.clients


def test_a_roster_that_does_not_come_is_asked_for_again() -> None:
    own = known()
    own.receive_presence(heartbeat(3, put(3)), 0.0)
    now, asked = 0.0, []
    while now < 3.5 * ROSTER_RETRY:
        now += 0.125
        events = own.receive_presence(heartbeat(3), now) + own.check(now)
        asked += [now for event in events if isinstance(event, AskRoster)]
    assert asked == [ROSTER_RETRY, 2 * ROSTER_RETRY, 3 * ROSTER_RETRY]
    own.receive_roster(OTHER, RosterPart(3, 0, 1, b"[]"), now)
    assert own.clients == {}
    for _ in range(20):
        now += 0.1
        assert own.receive_presence(heartbeat(3), now) + own.check(now) == []


def test_a_gap_behind_the_roster_is_asked_for_at_once() -> None:
    own = known()
    own.receive_presence(heartbeat(3, put(3)), 0.0)
    own.receive_presence(heartbeat(7, put(7)), 0.0)
    events = own.receive_roster(OTHER, RosterPart(3, 0, 1, b"[]"), 0.1)
    assert events == [Left(client(1), LeaveReason.LEFT), AskRoster(OTHER)]


def test_an_old_roster_is_not_taken() -> None:
    own = known(3)
    assert own.receive_roster(OTHER, RosterPart(2, 0, 1, b"[]"), 0.1) == []
    assert len(own.clients) == 3


@pytest.mark.parametrize(
    "parts",
    [
        [RosterPart(9, 1, 2, b"[]")],
        [RosterPart(9, 0, 3, b"[]"), RosterPart(9, 2, 3, b"[]")],
        [RosterPart(9, 0, 2, b"[]"), RosterPart(8, 1, 2, b"[]")],
        [RosterPart(9, 0, 2, b"[]"), RosterPart(9, 1, 3, b"[]"), RosterPart(9, 2, 3, b"[]")],
    ],
)
def test_a_roster_with_a_part_missing_is_not_taken(parts: list[RosterPart]) -> None:
    own = known()
    assert [own.receive_roster(OTHER, part, 0.1) for part in parts] == [[]] * len(parts)
    assert own.clients == {"b-1": client(1)}
    whole = [
        RosterPart(9, 0, 2, b"[%s]" % encode_delta(put(8))),
        RosterPart(9, 1, 2, b"[%s]" % encode_delta(put(9))),
    ]
    for part in whole:
        own.receive_roster(OTHER, part, 0.1)
    assert own.clients == {"b-8": client(8), "b-9": client(9)}


def test_what_is_held_is_bounded() -> None:
    """What was dropped shows as a gap behind the roster."""
    own = known()
    for number in range(3, MAX_DELTAS + 10):
        own.receive_presence(heartbeat(number, put(number)), 0.0)
    events = own.receive_roster(OTHER, RosterPart(2, 0, 1, b"[]"), 0.1)
    assert events[-1] == AskRoster(OTHER)
    assert own.clients == {}


def test_the_roster_of_an_unknown_server_is_not_taken() -> None:
    own = roster()
    assert own.receive_roster(OTHER, RosterPart(0, 0, 1, b"[]"), 0.0) == []
    own.heard(OTHER, 0.0)
    assert own.probe_result(OTHER, ProbeOutcome.NO_RESPONDERS, 0.0) == []
    assert list(own.servers) == []


def test_malformed_bytes_are_told() -> None:
    own = known()
    with pytest.raises(MalformedFrameError):
        own.receive_presence(b"hello", 0.1)
    (told,) = own.receive_roster(OTHER, RosterPart(2, 0, 1, b"{}"), 0.1)
    assert isinstance(told, MalformedRoster)
    assert "no list of clients" in str(told.error)
    assert own.receive_presence(heartbeat(2, put(2)), 0.1) == [Joined(client(2))]


def test_another_version_is_told_once() -> None:
    own = roster()
    assert own.receive_presence(b'{"v": 2}', 0.0) == [UnknownVersion(2)]
    assert own.receive_presence(b'{"v": 2}', 0.0) == []
    told = [own.receive_presence(b'{"v": %d}' % version, 0.0) for version in range(3, 100)]
    assert sum(map(len, told)) == 15


# Servers


def test_a_server_that_says_bye_is_gone_with_its_clients() -> None:
    own = known()
    bye = encode_presence(HEAD, 1, [], bye=True)
    assert own.receive_presence(bye, 0.1) == [
        Left(client(1), LeaveReason.SERVER_GONE),
        ServerGone(SERVER, GoneReason.BYE),
    ]
    assert own.receive_presence(bye, 0.1) == []
    assert own.receive_presence(heartbeat(1), 0.2) == [ServerJoined(SERVER), AskRoster(OTHER)]


def test_a_stream_is_a_sign_of_life() -> None:
    own = known()
    for step in range(1, 60):
        own.heard(OTHER, step * 0.1)
        assert own.check(step * 0.1) == []
    own.receive_roster(OTHER, RosterPart(0, 0, 2, b"[]"), 6.2)
    assert own.check(6.4) == []
    assert own.check(6.6) == [Probe(OTHER)]


def test_figures_are_those_that_were_published_last() -> None:
    own, other = roster(), roster(OTHER)
    for clients in (1, 2):
        own.set_figures({"clients": clients, "rate": 0.5})
        exchange(own, other, clients * HEARTBEAT_INTERVAL)
        server = other.server(OWN)
        assert server is not None
        assert server.figures == {"clients": clients, "rate": 0.5}


def test_its_own_heartbeats_come_back() -> None:
    own = roster()
    heard = [own.hears_itself]
    own.join("a-1", None, WALL)
    [data] = own.take_presence(0.0)
    assert own.receive_presence(data, 0.125) == [OwnHeartbeatSeen()]
    heard.append(own.hears_itself)
    for step in range(2, 10):
        own.check(step * 0.125)
        heard.append(own.hears_itself)
    assert heard == [False, *[True] * 8, False]
    assert ECHO_TIMEOUT == 8 * 0.125
    assert list(own.servers) == []


def test_it_says_when_it_wants_to_be_called() -> None:
    own = roster()
    assert own.next_time() == 0.0
    own.take_presence(0.0)
    assert own.next_time() == HEARTBEAT_INTERVAL
    own.join("a-1", None, WALL)
    assert own.next_time() == 0.0
    own.take_presence(0.05)
    assert own.next_time() == 0.05 + HEARTBEAT_INTERVAL
    own.announce(0.06)
    assert own.next_time() == 0.06
    assert len(own.take_presence(0.06)) == 1
