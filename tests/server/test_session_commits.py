"""What a session does is in its log before anybody outside knows of it; here the test holds the
log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aio.scripted import until

import sealframe
from sealframe import (
    ClientOptions,
    ConfigurationError,
    Connection,
    ConnectionClosedOK,
    Server,
    ServerOptions,
    SessionLostError,
    Sessions,
    SharedKey,
)
from sealframe.aio.connection import AnyConnection, protocol_of
from sealframe.aio.session_protocol import SessionProtocol
from sealframe.server import gated_transport, session_logs
from sealframe.server.cluster_member import ClusterMember, LocalServer
from sealframe.server.moving import FoundSession, SessionQuestion
from sealframe.server.session_store import (
    Entry,
    Mark,
    SessionLog,
    SessionTakenError,
    StoredSession,
    TakenOver,
)
from sealframe.server.session_table import Attempt, EndedSession
from sealframe.wire import CloseCode

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KEY = SharedKey.generate()
OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.1)


class Held(SessionLog):
    """A log in memory: what is written waits for the test, unless it lets all through."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self.holds = True
        self.lost = False
        self.fault: Exception | None = None
        self.confirmed: list[Attempt] = []
        self.ended: EndedSession | None = None

    @property
    def longest_pause(self) -> float:
        return 60.0

    async def append(self, entry: Entry) -> None:
        if self.holds:
            written = asyncio.get_running_loop().create_future()
            self.waiting.append((entry, written))
            await written
        if self.lost:
            raise SessionTakenError
        if self.fault is not None:
            raise self.fault
        self.entries.append(entry)

    def let_through(self) -> None:
        waiting, self.waiting = self.waiting, []
        for _, written in waiting:
            written.set_result(None)

    async def confirm(self, attempt: Attempt) -> None:
        if self.lost:
            raise SessionTakenError
        self.confirmed.append(attempt)

    async def end(self, ended: EndedSession) -> None:
        self.ended = ended
        if self.lost:
            raise SessionTakenError

    def acknowledged(self, messages: int, frames: int) -> None: ...


class Store(ClusterMember):
    """A cluster of one server, with one log."""

    def __init__(self) -> None:
        self.log = Held()
        self.server: LocalServer
        self.questions: list[SessionQuestion] = []

    async def start(self, server: LocalServer) -> None:
        self.server = server

    def client_joined(self, conn: AnyConnection) -> None: ...
    def client_left(self, conn: AnyConnection) -> None: ...
    def leaving(self) -> None: ...
    async def stop(self) -> None: ...

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        return None

    async def take_session_over(
        self, question: SessionQuestion, numbering: int, known: bool
    ) -> StoredSession:
        self.questions.append(question)
        return TakenOver(self.log, numbering, 0, ())

    @property
    def others(self) -> bool:
        return False

    def stats(self) -> dict[str, Any]:
        return {}


@asynccontextmanager
async def stored(
    handler: Callable[[Connection], Awaitable[None]], member: Store | None = None, **arguments: Any
) -> AsyncIterator[tuple[Server, Held, Connection]]:
    member = member or Store()
    async with sealframe.serve(
        handler,
        "127.0.0.1",
        0,
        security=KEY,
        sessions=Sessions(store="cluster"),
        cluster=member,
        **arguments,
    ) as server:
        async with sealframe.connect(
            "127.0.0.1", server.port, security=KEY, session=True, options=OPTIONS
        ) as conn:
            try:
                yield server, member.log, conn
            finally:
                member.log.holds = False
                member.log.let_through()


def kept(conn: Connection) -> int:
    """Return how many messages of a client are not acknowledged."""
    protocol = protocol_of(conn)
    assert isinstance(protocol, SessionProtocol)
    assert protocol.session is not None
    retention = protocol.session.retention
    return retention.messages_given - retention.messages_acknowledged


async def twice(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)
        await conn.send(message + b"'")


async def test_nothing_is_acknowledged_or_sent_before_the_log_has_it() -> None:
    async with stored(twice) as (_, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        receiving = asyncio.create_task(conn.recv())
        # A round trip, behind which an answer or ACK would have come.
        await conn.ping()
        await asyncio.sleep(0.05)
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


async def test_answers_to_requests_wait_for_the_log_too() -> None:
    async with stored(twice, on_request=lambda conn, payload: payload) as (_, log, conn):
        asking = asyncio.create_task(conn.request(b"?"))
        await until(lambda: bool(log.waiting))
        assert log.waiting[0][0] == Entry(0, (), (Mark(1, 1),))
        await asyncio.sleep(0.05)
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

    async with stored(handler) as (_, log, conn):
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
        await asyncio.sleep(0.02)
        assert log.entries[: len(expected)] == expected[: 1 + done]
        go_on.set()


def writers() -> list[asyncio.Task[Any]]:
    """Return the tasks that write to logs."""
    return [task for task in asyncio.all_tasks() if task.get_name().startswith("log ")]


async def test_a_closed_server_writes_nothing_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session_logs, "_WRITE_TIME", 0.01)
    options = ServerOptions(close_timeout=0.1)
    async with stored(twice, options=options) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        await server.close(timeout=0)
        assert not writers()
        assert not log.entries
        log.waiting.clear()
        assert "was not written to the end before this server closed" in caplog.text


async def test_a_log_that_fails_ends_the_link_too() -> None:
    async with stored(twice) as (server, log, conn):
        await conn.send(b"1")
        await until(lambda: bool(log.waiting))
        log.fault, log.holds = ValueError("for this test"), False
        log.let_through()
        await until(lambda: server.counters.sessions_lost == 1 or not server.clients)
        log.fault = None
        # The client has noticed, and come again.
        async with asyncio.timeout(5):
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
        await until(lambda: log.ended is not None and not writers())
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
        async with asyncio.timeout(10):
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
