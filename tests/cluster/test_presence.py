"""Presence messages and rosters as bytes, and what is no such thing."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealframe.cluster.announcing import Announcer
from sealframe.cluster.chunks import UnknownVersionError
from sealframe.cluster.messages import MalformedFrameError
from sealframe.cluster.numbers import (
    HEARTBEAT_INTERVAL,
    MAX_CHUNK,
    MAX_DELTAS,
    MAX_TEXT,
    MAX_WAITING,
    ROSTER_PART,
)
from sealframe.cluster.presence import (
    Delta,
    Gone,
    Presence,
    Put,
    decode_clients,
    decode_presence,
    encode_delta,
    encode_presence,
    encode_roster,
)

ID = "0123456789abcdef"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SINCE = st.floats(0, allow_infinity=False)
DELTAS: st.SearchStrategy[Delta] = st.builds(Put, TEXT, st.none() | TEXT, SINCE) | st.builds(
    Gone, TEXT
)
EXAMPLE = (
    b'{"v":1,"id":"0123456789abcdef","label":"host:4711","started":1764460800.0,'
    b'"figures":{"clients":2},"n":7,"deltas":[["a1-1","ann",1764460801.5],["a1-2"]]}'
)


def head(**fields: object) -> dict[str, object]:
    return {"id": ID, "label": "host:4711", "started": 1764460800.0, "figures": {}, **fields}


def test_presence_is_written_as_documented() -> None:
    deltas: tuple[Delta, ...] = (Put("a1-1", "ann", 1764460801.5), Gone("a1-2"))
    data = encode_presence(head(figures={"clients": 2}), 7, map(encode_delta, deltas))
    assert data == EXAMPLE
    assert decode_presence(data) == Presence(
        ID, "host:4711", 1764460800.0, 7, deltas, {"clients": 2}, bye=False
    )


@given(st.lists(DELTAS, max_size=5), st.integers(5, 2**64 - 1), TEXT, SINCE, st.booleans())
def test_what_was_encoded_is_decoded(
    deltas: list[Delta], number: int, label: str, started: float, bye: bool
) -> None:
    data = encode_presence(
        head(label=label, started=started), number, map(encode_delta, deltas), bye=bye
    )
    assert decode_presence(data) == Presence(ID, label, started, number, tuple(deltas), {}, bye=bye)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"v": True}, "no version"),
        ({"v": "1"}, "no version"),
        ({"id": "0123456789ABCDEF"}, "no id"),
        ({"id": "0123456789abcdef\n"}, "no id"),
        ({"id": 7}, "no id"),
        ({"n": -1}, "no number"),
        ({"n": 2**64}, "no number"),
        ({"n": True}, "no number"),
        ({"n": 1.0}, "no number"),
        ({"n": 1}, "more of them than there were"),
        ({"deltas": {}}, "no deltas"),
        ({"deltas": [[]]}, "no client"),
        ({"deltas": [["a", "b"]]}, "no client"),
        ({"deltas": [[1]]}, "no text"),
        ({"deltas": [["a", 1, 1.0]]}, "no text"),
        ({"deltas": [["a", "b", "c"]]}, "no number"),
        ({"deltas": [["a", "b", True]]}, "no number"),
        ({"deltas": [["a", "b", -1.0]]}, "before 1970"),
        ({"deltas": [["a", "\ud800", 1.0]]}, "lone surrogate"),
        ({"deltas": ["abc"]}, "no client"),
        ({"label": None}, "no text"),
        ({"started": None}, "no number"),
        ({"figures": []}, "no figures"),
        ({"figures": {"a": "b"}}, "no number"),
    ],
)
def test_a_wrong_field_is_told(change: dict[str, Any], complaint: str) -> None:
    data = json.dumps({**json.loads(EXAMPLE), **change}).encode()
    with pytest.raises(MalformedFrameError, match=complaint):
        decode_presence(data)


@pytest.mark.parametrize("field", ["v", "id", "label", "started", "figures", "n", "deltas"])
def test_a_missing_field_is_told(field: str) -> None:
    fields = json.loads(EXAMPLE)
    del fields[field]
    with pytest.raises(MalformedFrameError, match="malformed presence message: no "):
        decode_presence(json.dumps(fields).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff", b"{", b"[]", b"1", b"[" * 200_000, b'{"v":1,"n":' + b"9" * 5000 + b"}", b"NaN"],
)
def test_other_bytes_are_told(data: bytes) -> None:
    with pytest.raises(MalformedFrameError, match="malformed presence message"):
        decode_presence(data)
    with pytest.raises(MalformedFrameError, match="malformed presence message"):
        decode_clients(data if data != b"[]" else b"{}")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_time_is_finite(number: str) -> None:
    with pytest.raises(MalformedFrameError, match="no number"):
        decode_presence(EXAMPLE.replace(b"1764460801.5", number.encode()))


@given(st.binary(max_size=100))
def test_any_bytes_are_malformed(data: bytes) -> None:
    for decode in (decode_presence, decode_clients):
        with pytest.raises(MalformedFrameError):
            decode(data + b"\xff")


def test_another_version_is_told_whatever_else_it_has() -> None:
    with pytest.raises(UnknownVersionError, match="version 2"):
        decode_presence(b'{"v": 2}')


# Rosters


@given(st.lists(st.builds(Put, TEXT, st.none() | TEXT, SINCE), max_size=20))
def test_a_roster_is_decoded(clients: list[Put]) -> None:
    parts = encode_roster(map(encode_delta, clients))
    assert [put for part in parts for put in decode_clients(part)] == clients


def test_a_roster_of_nobody_has_one_part() -> None:
    assert encode_roster([]) == [b"[]"]


def test_a_roster_is_in_parts_of_bounded_size() -> None:
    names = ["\0" * 65536, "b", "x" * 40_000, "y" * 40_000, *map(str, range(5000))]
    clients = [Put(f"id-{place}", name, 1.5) for place, name in enumerate(names)]
    parts = encode_roster(map(encode_delta, clients))
    assert [put.name for part in parts for put in decode_clients(part)] == names
    small = [part for part in parts if len(decode_clients(part)) > 1]
    assert len(small) >= len(parts) - 4
    assert all(len(part) <= ROSTER_PART + 2 for part in small)
    assert len(small) < 20


# What a server says of itself


def published(announcer: Announcer, now: float = 0.0) -> list[Presence]:
    return list(map(decode_presence, announcer.take(now)))


def announcer(size: int = 4096) -> Announcer:
    return Announcer(ID, "host:1", 1.0, 0.0, size)


def test_long_names_are_not_kept_as_json() -> None:
    """NUL has six bytes there."""
    clients = [Put(str(number), "\0" * MAX_TEXT, 1.0) for number in range(10)]
    own = announcer(MAX_CHUNK)
    tracemalloc.start()
    try:
        for client in clients:
            own.add(client)
        published(own)
        own.roster()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < MAX_TEXT
    own.add(Put("0", "short", 1.0))
    own.add(Gone("1"))
    short = Put("1", "short", 1.0)
    own.add(short)
    own.add(clients[0])
    roster = [put for part in own.roster() for put in decode_clients(part.clients)]
    assert roster == [short, *clients[2:], clients[0]]


def test_changes_of_one_turn_are_one_message() -> None:
    own = announcer()
    deltas = tuple(Put(str(number), None, 1.0) for number in range(5))
    for delta in deltas:
        own.add(delta)
    waiting = [own.waiting]
    [presence] = published(own)
    assert (presence.number, presence.deltas) == (5, deltas)
    assert [*waiting, own.waiting] == [True, False]
    assert published(own) == []


def test_heartbeats_are_due_in_intervals_and_put_off_by_changes() -> None:
    own = announcer()
    assert [presence.deltas for presence in published(own)] == [()]
    assert own.next_time == HEARTBEAT_INTERVAL
    assert own.take(HEARTBEAT_INTERVAL / 2) == []
    own.add(Gone("a"))
    assert len(own.take(HEARTBEAT_INTERVAL / 2)) == 1
    assert own.next_time == HEARTBEAT_INTERVAL * 1.5
    assert own.take(HEARTBEAT_INTERVAL) == []
    own.figures = {"clients": 3}
    [presence] = published(own, HEARTBEAT_INTERVAL * 1.5)
    assert (presence.number, presence.figures) == (1, {"clients": 3})


@given(st.lists(st.integers(0, 6000), max_size=30), st.integers(4096, 8192))
def test_no_message_is_over_the_size_and_each_delta_has_its_number(
    sizes: list[int], size: int
) -> None:
    """One that fits into no message is left out, and its number shows as a gap."""
    own = announcer(size)
    deltas = [Put(str(number), "x" * length, 1.0) for number, length in enumerate(sizes, 1)]
    for delta in deltas:
        own.add(delta)
    messages = own.take(0.0)
    assert all(len(message) <= size for message in messages)
    bare = head(label="host:1", started=1.0)
    numbers: dict[int, Delta] = {}
    last = 0
    for presence in map(decode_presence, messages):
        first = presence.number - len(presence.deltas) + 1
        assert first > last
        last = presence.number
        numbers |= dict(enumerate(presence.deltas, first))
    assert last == len(deltas)
    for number, delta in enumerate(deltas, 1):
        if number in numbers:
            assert numbers[number] == delta
        else:
            assert len(encode_presence(bare, len(deltas), [encode_delta(delta)])) >= size


def test_what_nobody_fetches_is_bounded() -> None:
    """The last number still shows, so that whoever hears it asks for the roster."""
    own = announcer(1 << 18)
    for number in range(2 * MAX_DELTAS + 5):
        own.add(Gone(str(number)))
    [presence] = published(own)
    assert len(presence.deltas) == 5
    assert presence.number == 2 * MAX_DELTAS + 5
    assert presence.deltas[0] == Gone(str(2 * MAX_DELTAS))


def test_long_names_that_nobody_fetches_are_bounded_in_bytes() -> None:
    """Each is 384 KiB as JSON, so that ten of them wait."""
    own = announcer(1 << 20)
    name = "\0" * MAX_TEXT
    clients = [Put(str(number), name, 1.0) for number in range(25)]
    tracemalloc.start()
    try:
        for client in clients:
            own.add(client)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1.1 * MAX_WAITING
    messages = published(own)
    assert [delta for presence in messages for delta in presence.deltas] == clients[20:]
    assert messages[-1].number == 25
    # What was taken counts no more.
    for client in clients[:10]:
        own.add(client)
    assert sum(len(presence.deltas) for presence in published(own)) == 10


def test_the_last_message_says_bye() -> None:
    assert decode_presence(announcer().bye()).bye
    assert not decode_presence(announcer().take(0.0)[0]).bye


def test_a_roster_is_made_once_for_all_who_ask() -> None:
    own = announcer()
    own.add(Put("a", None, 1.0))
    parts = own.roster()
    assert [(part.number, part.part, part.parts) for part in parts] == [(1, 0, 1)]
    assert own.roster() is parts
    own.add(Gone("a"))
    assert [(part.number, part.clients) for part in own.roster()] == [(2, b"[]")]


def test_a_roster_has_each_client_once_as_it_was_announced_last() -> None:
    own = announcer()
    for delta in (Put("a", None, 1.0), Put("b", "bob", 2.0), Put("a", "ann", 3.0), Gone("c")):
        own.add(delta)
    (part,) = own.roster()
    assert decode_clients(part.clients) == [Put("a", "ann", 3.0), Put("b", "bob", 2.0)]
