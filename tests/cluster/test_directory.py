"""Look-ups by id, name and server, whatever comes in whichever order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealframe.cluster.directory import Directory, NamePolicy
from sealframe.cluster.events import (
    ClusterClient as Client,
)
from sealframe.cluster.events import (
    Event,
    Joined,
    LeaveReason,
    Left,
    Moved,
    Renamed,
    Superseded,
)
from sealframe.cluster.names import age

SERVERS = ["own", "one", "two"]
CLIENT = st.builds(
    Client,
    st.sampled_from("abc"),
    st.sampled_from([None, "", "ann", "bob"]),
    st.sampled_from(SERVERS),
    st.integers(0, 5).map(float),
)
STEPS = st.lists(
    st.tuples(st.just("put"), CLIENT)
    | st.tuples(st.just("discard"), CLIENT)
    | st.tuples(st.just("gone"), CLIENT)
    | st.tuples(st.just("replace"), st.lists(CLIENT, max_size=3)),
    max_size=30,
)


def discard_all(directory: Directory, server: str) -> list[Event]:
    """Take out all clients of a server that is gone."""
    return [
        event
        for id in list(directory.of_server(server))
        for event in directory.discard(server, id, LeaveReason.SERVER_GONE)
    ]


def follow(told: dict[str, Client], events: list[Event]) -> None:
    """Do what the events say to a mapping of one's own."""
    for event in events:
        match event:
            case Joined(client):
                assert client.id not in told
                told[client.id] = client
            case Left(client):
                assert told.pop(client.id) == client
            case Renamed(client, before):
                assert told[client.id] == before
                assert client.server == before.server
                assert client.name != before.name
                told[client.id] = client
            case Moved(client, before):
                assert told[client.id] == before
                assert client.server != before.server
                told[client.id] = client


def losers(shown: dict[str, Client], known: dict[tuple[str, str], Client]) -> set[tuple[str, str]]:
    """Return the clients that are not the newest of their name, or of their id."""
    newest = {}
    for client in sorted(shown.values(), key=age):
        newest[client.name] = client
    return {
        key
        for key, client in known.items()
        if shown[client.id] != client or (client.name is not None and newest[client.name] != client)
    }


@given(STEPS)
def test_look_ups_agree_with_a_simple_model(steps: list[tuple[str, Client | list[Client]]]) -> None:
    directory = Directory("own", NamePolicy.NEWEST)
    known: dict[tuple[str, str], Client] = {}
    told: dict[str, Client] = {}
    for kind, what in steps:
        shown_before = dict(told)
        before = losers(shown_before, known)
        match kind, what:
            case "put", Client() as client:
                known[client.server, client.id] = client
                events = directory.put(client)
            case "discard", Client() as client:
                known.pop((client.server, client.id), None)
                events = directory.discard(client.server, client.id)
            case "gone", Client() as client:
                known = {key: other for key, other in known.items() if key[0] != client.server}
                events = discard_all(directory, client.server)
                left = [event for event in events if isinstance(event, Left)]
                assert all(event.reason is LeaveReason.SERVER_GONE for event in left)
            case _, list() as clients:
                mine = {c.id: Client(c.id, c.name, "one", c.since) for c in clients}
                left_out = [id for id in directory.of_server("one") if id not in mine]
                known = {key: other for key, other in known.items() if key[0] != "one"}
                known |= {("one", id): client for id, client in mine.items()}
                events = [event for id in left_out for event in directory.discard("one", id)]
                for client in mine.values():
                    events += directory.put(client)
        follow(told, events)
        shown: dict[str, Client] = {}
        for client in sorted(known.values(), key=age):
            shown[client.id] = client
        assert told == directory.clients == shown
        for server in SERVERS:
            assert directory.of_server(server) == {
                id: client for (at, id), client in known.items() if at == server
            }
        for name in ("", "ann", "bob"):
            named = sorted((c for c in shown.values() if c.name == name), key=age)
            assert directory.names.all(name) == tuple(named)
            assert directory.names.newest(name) == (named[-1] if named else None)
        # Who of this server has become one that is not the newest has been told so.
        told_so = [event for event in events if isinstance(event, Superseded)]
        superseded = {("own", event.id) for event in told_so}
        now = losers(shown, known)
        if kind in ("put", "discard"):
            assert superseded <= now
        assert {key for key in now - before if key[0] == "own"} <= superseded
        assert all(event.by != known.get(("own", event.id)) for event in told_so)


def test_of_many_of_one_name_nobody_is_superseded() -> None:
    directory = Directory("own", NamePolicy.MANY)
    events: list[Event] = []
    for number in range(5):
        events += directory.put(Client(str(number), "ann", "own", float(number)))
    assert not [event for event in events if isinstance(event, Superseded)]


def test_an_older_client_may_be_heard_of_later() -> None:
    directory = Directory("own", NamePolicy.NEWEST)
    newer, older = Client("a", "ann", "one", 2.0), Client("b", "ann", "two", 1.0)
    own = Client("c", "ann", "own", 1.5)
    assert directory.put(newer) == [Joined(newer)]
    assert directory.put(older) == [Joined(older)]
    assert directory.put(own) == [Joined(own), Superseded("c", newer)]
    assert directory.names.all("ann") == (older, own, newer)
    assert directory.names.newest("ann") == newer


def test_a_session_that_moved_is_at_its_new_server() -> None:
    """In both policies the connection that was left behind is to be kicked."""
    for policy in NamePolicy:
        directory = Directory("own", policy)
        here, there = Client("a", "ann", "own", 1.0), Client("a", "ann", "one", 2.0)
        assert directory.put(here) == [Joined(here)]
        assert directory.put(there) == [Moved(there, here), Superseded("a", there)]
        assert directory.clients == {"a": there}
        assert directory.discard("own", "a") == []
        assert directory.discard("one", "a") == [Left(there, LeaveReason.LEFT)]


def test_a_session_that_moved_back_is_shown_again() -> None:
    directory = Directory("own", NamePolicy.NEWEST)
    here, there = Client("a", None, "one", 1.0), Client("a", None, "two", 2.0)
    directory.put(here)
    directory.put(there)
    assert discard_all(directory, "two") == [Moved(here, there)]
    assert directory.clients == {"a": here}


def test_a_client_without_a_name_is_under_none() -> None:
    directory = Directory("own", NamePolicy.NEWEST)
    assert directory.put(Client("a", None, "own", 1.0)) == [Joined(Client("a", None, "own", 1.0))]
    assert directory.put(Client("b", None, "own", 1.0)) == [Joined(Client("b", None, "own", 1.0))]
    assert directory.names.newest("") is None
