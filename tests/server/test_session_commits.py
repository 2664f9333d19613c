"""What a session does is in its log before anybody outside knows of it; here the test holds the
log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

import sealframe
from sealframe import (
    ConfigurationError,
    Connection,
    ConnectionClosedError,
    ConnectionClosedOK,
    ServerOptions,
    SessionLostError,
    Sessions,
)
from sealframe.aio import acknowledger
from sealframe.aio.connection import protocol_of
from sealframe.aio.session_protocol import SessionProtocol
from sealframe.server import gated_transport, session_commits, session_logs
from sealframe.server.moving import MovedSession
from sealframe.server.session_commits import LoggedSession
from sealframe.server.session_store import (
    Entry,
    Mark,
)
from sealframe.server.session_table import EndedSession
from sealframe.wire import CloseCode

from .held_log import Store, named, pass_by, stored, twice

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


def kept(conn: Connection) -> int:
    """Return how many messages of a client are not acknowledged."""
    protocol = protocol_of(conn)
    assert isinstance(protocol, SessionProtocol)
    assert protocol.session is not None
    retention = protocol.session.retention
    return retention.messages_given - retention.messages_acknowledged


async def test_nothing_is_acknowledged_or_sent_before_the_log_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What may be acknowledged is, within a turn of the event loop.
    monkeypatch.setattr(acknowledger, "ACK_DELAY", 0)
    async with stored(twice) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        receiving = asyncio.create_task(conn.recv())
        # A round trip, behind which an answer or ACK would have come.
        await conn.ping()
        await pass_by(server)
        assert not receiving.done()
        assert kept(conn) == 1
        assert [entry for entry, _ in log.waiting] == [Entry(1, (b"1", b"1'"))]
        log.let_through()
        assert await receiving == b"1"
        assert await conn.recv() == b"1'"
        await until(lambda: kept(conn) == 0)


async def test_what_is_sent_for_a_message_is_written_when_it_is_done() -> None:
    go_on = asyncio.Event()

    async def handler(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)
            await go_on.wait()

    async with stored(handler) as (_, log, conn):
        await conn.send(b"1")
        await conn.ping()
        assert not log.waiting
        go_on.set()
        await until(lambda: bool(log.waiting))
        assert log.waiting[0][0] == Entry(1, (b"1",))


async def test_while_one_write_waits_the_rest_goes_into_the_next() -> None:
    async with stored(twice) as (_, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        await conn.send(b"2")
        await conn.send(b"3")
        await conn.ping()
        assert len(log.waiting) == 1
        log.let_through()
        await until(lambda: bool(log.waiting))
        assert log.waiting[0][0] == Entry(3, (b"2", b"2'", b"3", b"3'"))
        log.holds = False
        log.let_through()
        assert [await conn.recv() for _ in range(6)] == [b"1", b"1'", b"2", b"2'", b"3", b"3'"]


class Holds:
    """The time for which answers are held: it passes when the test says so."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._call_later = self._loop.call_later
        self._set: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, **options: Any
    ) -> asyncio.TimerHandle:
        """What the event loop does, but for these."""
        handle = self._call_later(delay, callback, *args, **options)
        if delay == session_commits.HOLD:
            self._set.append((handle, partial(callback, *args)))
        return handle

    def end(self) -> None:
        """Have every one that runs be over."""
        ended, self._set = self._set, []
        running = [callback for handle, callback in ended if not handle.cancelled()]
        assert running
        for handle, _ in ended:
            handle.cancel()
        for callback in running:
            callback()


@pytest.fixture
async def holds(monkeypatch: pytest.MonkeyPatch) -> Holds:
    """The time for which the servers of a test hold answers."""
    monkeypatch.setattr(session_commits, "HOLD", 12_345.0)
    made = Holds()
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", made.call_later)
    return made


async def test_what_belongs_together_stays_so_while_the_outbox_is_full_of_earlier_answers(
    holds: Holds,
) -> None:
    """The handler waits in the middle of its second answer, however long the log takes."""
    # Room for three answers, which count 64 bytes each beside their length.
    async with stored(twice, options=ServerOptions(outbox_limit=400)) as (_, log, conn):
        first, second = b"1" * 100, b"2" * 100
        await conn.send(first)
        await until(lambda: bool(log.waiting))
        await conn.send(second)
        await conn.ping()
        for _ in range(2):
            holds.end()
        log.let_through()
        await until(lambda: bool(log.waiting))
        assert log.entries == [Entry(1, (first, first + b"'"))]
        assert log.waiting[0][0] == Entry(2, (second, second + b"'"))
        log.holds = False
        log.let_through()
        assert [len(await conn.recv()) for _ in range(4)] == [100, 101, 100, 101]


async def test_a_handler_that_fills_the_outbox_for_one_message_goes_on() -> None:
    async with stored(twice, options=ServerOptions(outbox_limit=100)) as (_, log, conn):
        await conn.send(b"1" * 100)
        await until(lambda: bool(log.waiting))
        assert log.waiting[0][0] == Entry(0, (b"1" * 100,))
        log.holds = False
        log.let_through()
        assert [len(await conn.recv()) for _ in range(2)] == [100, 101]


async def test_answers_to_requests_wait_for_the_log_too() -> None:
    async with stored(twice, on_request=lambda conn, payload: payload) as (server, log, conn):
        asking = asyncio.create_task(conn.request(b"?"))
        await until(lambda: bool(log.waiting))
        assert log.waiting[0][0] == Entry(0, (), (Mark(1, 1),))
        await pass_by(server)
        assert not asking.done()
        log.holds = False
        log.let_through()
        assert await asking == b"?"


async def test_another_server_has_the_session() -> None:
    errors: list[Exception] = []

    async def handler(conn: Connection) -> None:
        try:
            await twice(conn)
        except SessionLostError as error:
            errors.append(error)
            raise

    async with stored(handler) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        log.lost, log.holds = True, False
        log.let_through()
        await until(lambda: bool(errors))
        assert "another server" in str(errors[0])
        assert server.counters.sessions_lost == 1
        log.lost = False
        # What was not written is handled again, in the next session.
        assert await conn.recv() == b"1"


async def test_a_client_that_comes_back_is_served_once_the_log_says_whose_it_is() -> None:
    async with stored(twice) as (_, log, conn):
        log.holds = False
        await conn.send(b"1")
        assert await conn.recv() == b"1"
        transport = protocol_of(conn).transport
        assert transport is not None
        transport.abort()
        await conn.send(b"2")
        assert [await conn.recv() for _ in range(3)] == [b"1'", b"2", b"2'"]
        assert log.confirmed == [(1, 2)]


async def test_the_end_is_written() -> None:
    async with stored(twice) as (_, log, conn):
        log.holds = False
        await conn.send(b"1")
        await conn.close()
        await until(lambda: log.ended is not None)
        assert log.ended is not None
        assert log.ended.code == 0


async def test_close_waits_until_the_log_has_what_the_handler_has_taken() -> None:
    async def handler(conn: Connection) -> None:
        await conn.recv()
        await conn.recv()

    async with stored(handler) as (server, log, conn):
        await conn.send(b"1")
        await conn.send(b"2")
        for taken in (1, 2):
            await until(lambda: bool(log.waiting))
            await conn.ping()
            assert not conn.closed
            assert log.waiting[0][0] == Entry(taken)
            log.let_through()
        with pytest.raises(ConnectionClosedOK):
            await conn.recv()
        await until(lambda: log.ended is not None)
        assert log.ended == EndedSession(0, 2, 0)
        assert server.counters.sessions_lost == 0


@pytest.mark.parametrize("done", [True, False])
async def test_what_is_dropped_as_a_session_ends_is_in_the_log(done: bool) -> None:
    """Else the log would say that a message was done with, without its answers."""
    conns: list[Connection] = []
    go_on = asyncio.Event()

    async def handler(conn: Connection) -> None:
        conns.append(conn)
        async for message in conn:
            await conn.send(message)
            if message == b"2" and not done:
                await go_on.wait()

    async with stored(handler) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        await conn.send(b"2")
        await conn.ping()
        protocol = protocol_of(conns[0])
        assert isinstance(protocol, SessionProtocol)
        protocol.closer.abort(protocol.lost("for this test", code=CloseCode.SESSION_LOST))
        # The event loop tells of the loss of the link; until then more may be written.
        await until(lambda: protocol.closer.closed)
        log.holds = False
        log.let_through()
        expected = [Entry(1, (b"1",)), Entry(2, (b"2",))]
        await until(lambda: len(log.entries) >= 1 + done)
        # Time for another one.
        await pass_by(server)
        assert log.entries[: len(expected)] == expected[: 1 + done]
        go_on.set()


async def test_a_closed_server_writes_nothing_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session_logs, "_WRITE_TIME", 0.01)
    options = ServerOptions(close_timeout=0.1)
    async with stored(twice, options=options) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        await server.close(timeout=0)
        assert not named("log ")
        assert not log.entries
        log.waiting.clear()
        assert "was not written to the end before this server closed" in caplog.text


async def test_a_server_that_closes_lets_a_write_end_that_has_begun() -> None:
    """Else the next one would not know what the last message of the log is."""
    async with stored(twice) as (server, log, conn):
        log.holds = False
        await conn.send(b"1")
        assert [await conn.recv() for _ in range(2)] == [b"1", b"1'"]
        written = asyncio.get_running_loop().create_future()
        log.confirming = written
        transport = protocol_of(conn).transport
        assert transport is not None
        transport.abort()
        await until(lambda: bool(named("find ") and named("log ")))
        closing = asyncio.create_task(server.close(timeout=0))
        # The client's link waits for nothing any more.
        await until(lambda: not named("find "))
        assert not log.confirmed
        written.set_result(None)
        await closing
        assert log.confirmed == [(1, 2)]


async def test_whoever_asks_for_a_session_waits_until_its_log_has_the_last_of_it() -> None:
    """Also where the first who asked has given up."""
    member = Store()
    async with stored(twice, member) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        question = replace(member.questions[0], attempt=(1, 9))
        first = asyncio.create_task(member.server.release_session(question))
        await asyncio.sleep(0)
        first.cancel()
        second = asyncio.create_task(member.server.release_session(question))
        await pass_by(server)
        assert not second.done()
        log.holds = False
        log.let_through()
        assert isinstance(await second, MovedSession)
        member.server.confirm_session(question)


async def test_a_link_that_is_refused_does_not_wait_for_the_log() -> None:
    async with stored(twice, on_request=lambda conn, payload: payload) as (server, log, conn):
        asking = [asyncio.create_task(conn.request(b"?"))]
        await until(lambda: bool(log.waiting))
        asking.append(asyncio.create_task(conn.request(b"!")))
        await pass_by(server)
        protocol = protocol_of(conn)
        assert isinstance(protocol, SessionProtocol)
        assert protocol.session is not None
        protocol.lose_link(ConnectionClosedError("for this test"))
        # It says that it has got what was never sent.
        protocol.session.received = 1000
        await until(lambda: bool(named("find ") and len(named("log ")) == 2))
        log.let_through()
        async with asyncio.timeout(PATIENCE):
            for request in asking:
                with pytest.raises(SessionLostError, match="SESSION_LOST"):
                    await request
        # The answer to the second one is not in the log yet.
        assert len(log.waiting) == 1


async def test_one_task_writes_to_a_log() -> None:
    async with stored(twice) as (server, log, conn):
        (client,) = server.clients.values()
        session = protocol_of(client).machine.session
        assert isinstance(session, LoggedSession)
        # What is about to be written finds a write that has begun meanwhile.
        session.commits.mark(Mark(1, 1))
        session.commits.check()
        session.commits.mark(Mark(2, 1))
        await until(lambda: bool(log.waiting))
        assert len(named("log ")) == 1
        log.let_through()
        await until(lambda: bool(log.waiting))
        assert log.entries == [Entry(0, (), (Mark(1, 1),))]
        assert log.waiting[0][0] == Entry(0, (), (Mark(2, 1),))
        assert conn.id == client.id


async def test_a_log_that_fails_ends_the_link_too() -> None:
    async with stored(twice) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        log.fault, log.holds = ValueError("for this test"), False
        log.let_through()
        await until(lambda: server.counters.sessions_lost == 1 or not server.clients)
        log.fault = None
        # The client has noticed, and come again.
        async with asyncio.timeout(PATIENCE):
            assert await conn.recv() == b"1"


async def test_an_end_that_the_log_does_not_take_is_not_remembered() -> None:
    """Another server had the session before: there it goes on."""
    member = Store()

    async def handler(conn: Connection) -> None:
        await conn.recv()
        member.log.lost = True
        raise ValueError("for this test")

    async with stored(handler, member) as (_, log, conn):
        log.holds = False
        await conn.send(b"1")
        with pytest.raises(SessionLostError):
            await conn.recv()
        await until(lambda: log.ended is not None and not named("log "))
        assert member.server.session_status(member.questions[0].key) is None


async def test_who_asks_for_more_than_may_wait_for_the_log_loses_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gated_transport, "LIMIT", 100)
    async with stored(twice, on_request=lambda conn, payload: payload) as (server, log, conn):
        asking = asyncio.create_task(conn.request(b"?"))
        await until(lambda: bool(log.waiting))
        protocol = protocol_of(conn)
        assert isinstance(protocol, SessionProtocol)
        pings = []
        async with asyncio.timeout(PATIENCE):
            while not protocol.detached:
                # Those that come in one read get one answer.
                pings.append(asyncio.create_task(conn.ping()))
                await asyncio.sleep(0.002)
        log.holds = False
        log.let_through()
        # The session goes on over the next link.
        assert await asking == b"?"
        await asyncio.gather(*pings)
        assert server.counters.sessions_resumed == 1


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="'cluster' or None"):
        Sessions(store="here")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="not both"):
        Sessions(store="cluster", position=_position)
    with pytest.raises(ConfigurationError, match="acknowledge"):
        Sessions(store="cluster", acknowledge="received")
    with pytest.raises(ConfigurationError, match="cluster="):
        sealframe.serve(twice, "127.0.0.1", 0, sessions=Sessions(store="cluster"))


async def _position(_: object) -> int:
    return 0
