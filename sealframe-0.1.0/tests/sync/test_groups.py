"""Groups, kicks and figures of a blocking server."""

from __future__ import annotations

import json

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import NotSupportedError, UnknownClientError, sync
from sealframe.codecs import Text

from .ends import dial, in_thread, open_pair, start, until


def test_who_joined_gets_what_is_sent_to_the_group(mode: Mode) -> None:
    def handler(conn: sync.Connection) -> None:
        conn.join("all")
        for message in conn:
            conn.join(message.decode())
            conn.send(b"joined")

    with start(handler, mode) as server:
        with dial(server, mode) as first, dial(server, mode) as second:
            until(lambda: len(server.group("all")) == 2)
            first.send(b"few")
            assert first.recv(timeout=PATIENCE) == b"joined"
            assert set(server.groups) == {"all", "few"}
            [member] = server.groups["few"]
            assert member is server.clients[member.id]
            assert member.groups == {"all", "few"}
            assert member in server.group("few")
            assert first not in server.group("few")
            assert "first" not in server.group("few")
            assert server.group("few").broadcast(b"to the few") == 1
            assert server.group("all").broadcast(b"to the others", exclude=member) == 1
            assert server.group("none").broadcast(b"to nobody") == 0
            assert first.recv(timeout=PATIENCE) == b"to the few"
            assert second.recv(timeout=PATIENCE) == b"to the others"
            with pytest.raises(TypeError, match="exclude takes connections"):
                server.group("all").broadcast(b"x", exclude=[first.id])  # type: ignore[list-item]
            member.leave("few")
            assert not server.group("few")
            assert server.group("few").name == "few"
            assert repr(server.group("few")) == "<sync.Group 'few', 0 members>"


def test_a_client_joins_no_group(mode: Mode) -> None:
    with open_pair(mode) as (client, accepted, _):
        for wrong in (client.join, client.leave):
            with pytest.raises(NotSupportedError):
                wrong("room")
        assert client.groups == frozenset()
        with pytest.raises(ValueError, match="empty"):
            accepted.join("")


def test_nobody_of_that_id_is_kicked() -> None:
    with start(lambda conn: None, Mode()) as server:
        with pytest.raises(UnknownClientError):
            server.kick("nobody")


def test_the_figures(control_mode: Mode) -> None:
    with open_pair(control_mode) as (client, accepted, server):
        before = client.latency
        assert before is None
        client.ping(timeout=PATIENCE)
        later = client.latency
        assert later is not None
        assert 0 < later < PATIENCE
        figures = server.stats()
        assert set(figures["clients"]) == {accepted.id}
        assert json.loads(json.dumps(figures))["clients"].keys() == {accepted.id}
        assert server.counters.accepted == figures["accepted"] == 1


def test_the_state_is_one_for_all_threads(mode: Mode) -> None:
    with open_pair(mode) as (client, _, _):
        states: list[object] = []
        threads = [in_thread(lambda: states.append(client.state)) for _ in range(8)]
        for thread in threads:
            thread.join(PATIENCE)
        assert len(states) == 8
        assert all(state is client.state for state in states)
        client.state.count = 1
        assert client.state.count == 1


def test_a_group_gets_objects_with_a_codec(mode: Mode) -> None:
    def handler(conn: sync.Connection[str, str]) -> None:
        conn.join("all")
        assert list(conn) == []

    with sync.serve(handler, "127.0.0.1", 0, **mode.server, codec=Text()) as server:
        with dial(server, mode, codec=Text()) as conn:
            until(lambda: "all" in server.groups)
            server.group("all").broadcast("grüß dich")
            server.broadcast("servus")
            got: list[object] = [conn.recv(timeout=PATIENCE), conn.recv(timeout=PATIENCE)]
            assert got == ["grüß dich", "servus"]
