"""Sessions that move between the servers of a cluster, here without a network between them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aio.ends import PATIENCE
from aio.scripted import until

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    ClusterError,
    Connecting,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    PrivateKey,
    Server,
    ServerIdentity,
    ServerOptions,
    SessionInfo,
    SessionLostError,
    Sessions,
    SharedKey,
)
from sealframe.aio.connection import AnyConnection, protocol_of
from sealframe.aio.session_protocol import SessionProtocol
from sealframe.server import session_moves
from sealframe.server.cluster_member import ClusterMember, LocalServer
from sealframe.server.finding import SessionFinder
from sealframe.server.moving import (
    FoundSession,
    HeldSession,
    LaterLink,
    MovedSession,
    ParkedSessions,
    SessionQuestion,
)
from sealframe.wire.control import SessionHello

pytestmark = pytest.mark.usefixtures("no_leaks")

KEY = SharedKey.generate()
OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.05, close_timeout=0.1)
Handler = Callable[[Connection], Awaitable[None]]


class Member(ClusterMember):
    """Asks the other members directly."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self.server: LocalServer
        self.confirms = True
        self.lost_answers = 0
        self.asked: list[SessionQuestion] = []
        self.answers: list[FoundSession] = []

    async def start(self, server: LocalServer) -> None:
        self.server = server
        self._members.append(self)

    async def find_session(self, question: SessionQuestion) -> FoundSession:
        self.asked.append(question)
        held: list[tuple[bool, Member]] = []
        ended: FoundSession = None
        for member in self._members:
            if member is self or not hasattr(member, "server"):
                continue
            status = member.server.session_status(question.key)
            if isinstance(status, HeldSession):
                held.append((status.parked, member))
            else:
                ended = ended or status
        for _, member in sorted(held, key=lambda pair: pair[0]):
            found = await member.server.release_session(question)
            self.answers.append(found)
            if self.lost_answers:
                self.lost_answers -= 1
                raise ClusterError("the answer was lost")
            if found is not None:
                if self.confirms and isinstance(found, MovedSession):
                    member.server.confirm_session(question)
                return found
        return ended

    @property
    def others(self) -> bool:
        return len(self._members) > 1

    def client_joined(self, conn: AnyConnection) -> None: ...
    def client_left(self, conn: AnyConnection) -> None: ...
    def leaving(self) -> None: ...

    async def stop(self) -> None:
        self._members.remove(self)

    def stats(self) -> dict[str, Any]:
        return {}


@asynccontextmanager
async def two(
    handler: Handler,
    sessions: Sessions,
    *,
    security: SharedKey | ServerIdentity = KEY,
    options: ServerOptions | None = None,
) -> AsyncIterator[tuple[list[Server], list[Member]]]:
    """Run two servers that know each other."""
    members: list[Member] = []
    made = [Member(members), Member(members)]
    servers = []
    for member in made:
        serving = sealframe.serve(
            handler,
            "127.0.0.1",
            0,
            security=security,
            sessions=sessions,
            cluster=member,
            options=options,
        )
        servers.append(await serving)
    try:
        yield servers, made
    finally:
        for server in servers:
            await server.close(timeout=0)


def connect(servers: list[Server], security: SharedKey | ClientIdentity = KEY) -> Connecting:
    """Connect a session to the first server, and to the others once that is gone."""
    addresses = [f"127.0.0.1:{server.port}" for server in servers]
    return sealframe.connect(addresses, security=security, session=True, options=OPTIONS)


def the_client(server: Server) -> AnyConnection:
    """Return the server's only client."""
    (conn,) = server.clients.values()
    return conn


class Echoing:
    """A handler that answers with the number of the server that it runs on."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.errors: list[ConnectionClosed] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, conn: Connection) -> None:
        try:
            while True:
                await self.hold.wait()
                message = await conn.recv()
                self.taken.append(message)
                await conn.send(b"re " + message)
        except ConnectionClosed as error:
            self.errors.append(error)
            raise


class Late(Echoing):
    """Waits between a message and its answer."""

    def __init__(self, echo: Echoing) -> None:
        self._echo = echo

    async def __call__(self, conn: Connection) -> None:
        try:
            async for message in conn:
                self._echo.taken.append(message)
                await self._echo.hold.wait()
                await conn.send(b"re " + message)
        except ConnectionClosed as error:
            self._echo.errors.append(error)
            raise


async def first_of(servers: list[Server], conn: Any) -> tuple[Server, Server]:
    """Return the server that has the client, and the other one."""
    await conn.ping()
    (here,) = [server for server in servers if server.clients]
    (there,) = [server for server in servers if server is not here]
    return here, there


async def in_hand_and_moving(
    servers: list[Server], conn: Any, echo: Echoing
) -> tuple[Server, Server]:
    """Have the client go to the other server while its handler, a Late, has b"in hand" in hand,
    and b"next" waits. Return the server that has the handler, and the other one."""
    here, there = await first_of(servers, conn)
    echo.hold.clear()
    await conn.send_many([b"in hand", b"next"])
    await until(lambda: echo.taken == [b"in hand"])
    old = the_client(here)
    await stop_listening(here)
    cut(here)
    await until(lambda: protocol_of(old).receiver.error is not None)
    return here, there


class TestDraining:
    async def test_nothing_is_lost_or_doubled(self) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            for number in range(50):
                await conn.send(b"%d" % number)
            closing = asyncio.create_task(here.close(timeout=30))
            for number in range(50, 100):
                await conn.send(b"%d" % number)
            answers = [await conn.recv() for _ in range(100)]
            assert answers == [b"re %d" % number for number in range(100)]
            report = await closing
            assert (report.unsent, report.cancelled) == (0, 0)
            assert echo.taken == [b"%d" % number for number in range(100)]
            assert len(there.clients) == 1
            assert there.counters.sessions_resumed == 1
            (error,) = echo.errors
            assert isinstance(error, SessionLostError)
            assert "another server" in str(error)

    async def test_what_the_program_has_not_taken_goes_along(self) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            await conn.send(b"first")
            assert await conn.recv() == b"re first"
            echo.hold.clear()
            await conn.send(b"second")
            # The handler waits in recv() for the second; the third and fourth stay in the queue.
            await until(lambda: echo.taken == [b"first", b"second"])
            await conn.send_many([b"third", b"fourth"])
            old = the_client(here)
            await until(lambda: old.stats.messages_received == 4)
            closing = asyncio.create_task(here.close(timeout=30))
            await until(lambda: len(there.clients) == 1)
            echo.hold.set()
            await conn.send(b"fifth")
            for answer in (b"re second", b"re third", b"re fourth", b"re fifth"):
                assert await conn.recv() == answer
            await closing
            assert echo.taken == [b"first", b"second", b"third", b"fourth", b"fifth"]

    async def test_what_a_handler_has_in_hand_is_answered(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nobody gets the message again. Its answers go along, also one that waits for room."""
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        answer, enough = bytes(300_000), asyncio.Event()
        sent: list[bytes] = []
        errors: list[SessionLostError] = []

        async def handler(conn: Connection) -> None:
            try:
                async for message in conn:
                    while not enough.is_set():
                        sent.append(message + answer)
                        await conn.send(sent[-1])
                    sent.append(message)
                    await conn.send(message)
            except SessionLostError as error:
                errors.append(error)

        async with two(handler, Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            old = the_client(here)
            queue = protocol_of(old).sender.queue
            await conn.send_many([b"a", b"b"])
            await until(lambda: old.stats.messages_received == 2 and queue.full)
            enough.set()
            report = await here.close(timeout=30)
            assert [await conn.recv() for _ in sent] == sent
            assert sent[-2:] == [b"a", b"b"]
            assert (report.unsent, report.cancelled) == (0, 0)
            assert len(there.clients) == 1
            (error,) = errors
            assert "another server" in str(error)

    async def test_who_answers_too_late_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(session_moves, "IN_HAND", 0.01)
        echo = Echoing()
        async with two(Late(echo), Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            echo.hold.clear()
            await conn.send_many([b"late", b"next"])
            await until(lambda: echo.taken == [b"late"])
            closing = asyncio.create_task(here.close(timeout=30))
            await until(lambda: len(there.clients) == 1 and not here.clients)
            echo.hold.set()
            assert await conn.recv() == b"re next"
            await closing
            assert [type(error) for error in echo.errors] == [SessionLostError]

    async def test_who_is_put_out_with_a_message_in_hand_does_not_move(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "sealframe.server")
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        echo = Echoing()
        key = PrivateKey.generate()
        # One key for both: so what the other one says is final.
        identity = ServerIdentity(PrivateKey.generate(), clients={"sensor": key.public_key})
        pinned = ClientIdentity(key, server=identity.public_key)
        async with (
            asyncio.timeout(PATIENCE),
            two(Late(echo), Sessions(), security=identity) as (servers, _),
            connect(servers, security=pinned) as conn,
        ):
            here, there = await first_of(servers, conn)
            old = the_client(here)
            echo.hold.clear()
            await conn.send(b"in hand")
            await until(lambda: echo.taken == [b"in hand"])
            closing = asyncio.create_task(here.close(timeout=5))
            # The other server has asked for it.
            await until(lambda: protocol_of(old).receiver.error is not None)
            here.kick(old.id, "enough")
            echo.hold.set()
            with pytest.raises(SessionLostError) as caught:
                await conn.recv()
            assert caught.value.code == CloseCode.KICKED
            await closing
            lines = [one for one in caplog.records if f"client {old.id}" in one.getMessage()]
            assert {line.levelname for line in lines} == {"WARNING"}, caplog.text
            assert not there.clients
            assert there.counters.sessions_resumed == 0
            assert here.counters.sessions_lost == 1

    @pytest.mark.parametrize("timeout", [0.4, 30])
    async def test_a_close_while_a_session_moves_leaves_it_its_handler(
        self, monkeypatch: pytest.MonkeyPatch, timeout: float
    ) -> None:
        """Its client is at the other server already. A handler that takes too long for the close
        has less time, and the rest of the session goes on."""
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        echo = Echoing()
        async with two(Late(echo), Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await in_hand_and_moving(servers, conn, echo)
            closing = asyncio.create_task(here.close(timeout=timeout))
            if timeout == 30:
                await asyncio.sleep(0)
                echo.hold.set()
                assert await conn.recv() == b"re in hand"
            else:
                await until(lambda: len(there.clients) == 1)
                echo.hold.set()
            assert await conn.recv() == b"re next"
            await closing
            assert here.counters.sessions_lost == 0
            assert there.counters.sessions_resumed == 1

    async def test_a_drain_with_little_time_gives_a_handler_half_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        echo = Echoing()
        async with two(Late(echo), Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            echo.hold.clear()
            await conn.send_many([b"in hand", b"next"])
            await until(lambda: echo.taken == [b"in hand"])
            closing = asyncio.create_task(here.close(timeout=0.6))
            await until(lambda: len(there.clients) == 1)
            echo.hold.set()
            assert await conn.recv() == b"re next"
            await closing
            assert here.counters.sessions_lost == 0

    @pytest.mark.parametrize("takes", [0, 1])
    async def test_only_who_has_taken_a_message_here_has_one_in_hand(
        self, monkeypatch: pytest.MonkeyPatch, takes: int
    ) -> None:
        """Not who sends alone where handlers before it took some. What it has taken may be all
        that came with the session."""
        handlers: list[Connection] = []
        finish = asyncio.Event()

        async def handler(conn: Connection) -> None:
            handlers.append(conn)
            if len(handlers) == 1 or takes:
                await conn.recv()
            await conn.send(b"begun")
            await finish.wait()
            await conn.send(b"last")

        monkeypatch.setattr(session_moves, "IN_HAND", 0)
        async with two(handler, Sessions()) as (servers, members), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            await conn.send_many([b"first", b"second"])
            assert await conn.recv() == b"begun"
            await stop_listening(here)
            cut(here)
            assert await conn.recv() == b"begun"
            monkeypatch.setattr(session_moves, "IN_HAND", 60)
            (asked,) = members[servers.index(there)].asked
            protocol = protocol_of(handlers[1])
            assert isinstance(protocol, SessionProtocol)
            session = protocol.session
            assert session is not None
            received = session.retention.given
            question = SessionQuestion(
                asked.key, (asked.attempt[0], asked.attempt[1] + 1), session.numbering, received
            )
            await stop_listening(there)
            giving_up = members[servers.index(there)].server.release_session(question)
            releasing = asyncio.create_task(giving_up)
            await until(lambda: protocol.receiver.error is not None)
            assert (protocol.sender.error is None) == bool(takes)
            finish.set()
            moved = await releasing
            assert isinstance(moved, MovedSession)
            assert moved.unread == (b"second",)[takes:]
            assert moved.unsent == (b"last",)[:takes]
            members[servers.index(there)].server.confirm_session(question)

    async def test_who_waits_for_the_end_has_no_message_in_hand(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session_moves, "IN_HAND", 60)

        async def handler(conn: Connection) -> None:
            await conn.send(b"re " + await conn.recv())
            await conn.wait_closed()

        async with two(handler, Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            await until(lambda: protocol_of(the_client(here)).closer.handler_waits)
            closing = asyncio.create_task(here.close(timeout=30))
            async with asyncio.timeout(5):
                await closing
            assert len(there.clients) == 1
            await conn.send(b"2")
            assert await conn.recv() == b"re 2"

    async def test_what_the_client_has_not_got_goes_along(self) -> None:
        async def handler(conn: Connection) -> None:
            async for message in conn:
                await conn.send(message)

        async with two(handler, Sessions()) as (servers, _), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            old = the_client(here)
            closing = asyncio.create_task(here.close(timeout=30))
            await until(lambda: not old.connected)
            # There is no link: these wait, and are sent by the other server.
            await old.send(b"for the client 1")
            await old.send(b"for the client 2")
            await conn.send(b"ask")
            assert await conn.recv() == b"for the client 1"
            assert await conn.recv() == b"for the client 2"
            assert await conn.recv() == b"ask"
            await closing
            assert len(there.clients) == 1

    async def test_a_request_under_way_fails_with_one_clear_error(self) -> None:
        arrived = asyncio.Event()

        async def on_request(conn: Connection, payload: bytes) -> bytes:
            arrived.set()
            await asyncio.sleep(30)
            return payload

        members: list[Member] = []
        servers = [
            await sealframe.serve(
                None,
                "127.0.0.1",
                0,
                security=KEY,
                sessions=Sessions(),
                on_request=on_request,
                cluster=Member(members),
            )
            for _ in range(2)
        ]
        async with connect(servers) as conn:
            here, _ = await first_of(servers, conn)
            asking = asyncio.create_task(conn.request(b"long"))
            await arrived.wait()
            closing = asyncio.create_task(here.close(timeout=1))
            with pytest.raises(ConnectionClosedError) as caught:
                await asking
            await closing
            await conn.ping()
        for server in servers:
            await server.close(timeout=0)
        text = str(caught.value)
        assert text.startswith("another server goes on with the session, or ")
        assert "streams and requests" in text

    async def test_it_stays_until_the_other_server_has_it(self) -> None:
        """An answer that was lost is given again, also where the server was about to end."""
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, members), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            for member in members:
                member.lost_answers = 3
            closing = asyncio.create_task(here.close(timeout=30))
            await conn.send(b"2")
            assert await conn.recv() == b"re 2"
            await closing
            assert len(there.clients) == 1

    async def test_alone_it_closes_as_ever(self) -> None:
        echo = Echoing()
        member = Member([])
        async with sealframe.serve(
            echo, "127.0.0.1", 0, security=KEY, sessions=Sessions(), cluster=member
        ) as server:
            async with connect([server]) as conn:
                await conn.send(b"only")
                assert await conn.recv() == b"re only"
                report = await server.close(timeout=30)
                assert report.clients == 1
                await until(lambda: not conn.connected)

    async def test_the_log_has_one_line_of_all_and_no_warning(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "sealframe.server")
        async with two(Echoing(), Sessions()) as (servers, _):
            conns = [await connect(servers) for _ in range(3)]
            for conn in conns:
                await conn.ping()
            here = max(servers, key=lambda server: len(server.clients))
            count = len(here.clients)
            assert count >= 2
            await here.close(timeout=30)
            lines = [record for record in caplog.records if record.name == "sealframe.server"]
            assert all(record.levelno == logging.INFO for record in lines), caplog.text
            (line,) = [one.getMessage() for one in lines if "all sessions" in one.getMessage()]
            assert line == f"all sessions, {count}, go on at other servers"
            for conn in conns:
                await conn.close()

    async def test_who_does_not_come_is_not_waited_for_after_the_time_out(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, _):
            here = servers[0]
            async with connect([here]) as conn:
                await conn.send(b"only")
                assert await conn.recv() == b"re only"
                await here.close(timeout=0.2)
                await until(lambda: not conn.connected)
        assert "1 of 1 sessions had not gone on at another server" in caplog.text


class TestCut:
    async def test_over_to_a_server_while_the_first_one_lives(self) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, members), connect(servers) as conn:
            here, there = await first_of(servers, conn)
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            # It listens no more, as behind a network that lets only the other one through.
            await stop_listening(here)
            cut(here)
            await conn.send(b"2")
            assert await conn.recv() == b"re 2"
            await until(lambda: not here.clients)
            assert len(there.clients) == 1
            assert sum(len(member.asked) for member in members) == 1

    async def test_a_lost_answer_is_given_again(self, caplog: pytest.LogCaptureFixture) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, members), connect(servers) as conn:
            here, _there = await first_of(servers, conn)
            for member in members:
                member.lost_answers = 2
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            await stop_listening(here)
            cut(here)
            await conn.send(b"2")
            assert await conn.recv() == b"re 2"
            assert echo.taken == [b"1", b"2"]
        # Nothing of the program has failed: no traceback.
        lines = [one for one in caplog.records if "cannot be found now: the" in one.getMessage()]
        assert [(line.levelname, line.exc_info) for line in lines] == [("WARNING", None)] * 2

    async def test_back_to_the_server_that_is_giving_it_up(self) -> None:
        """Its handler sends the last while the client comes back."""
        loop = asyncio.get_running_loop()
        key, hello = bytes(32), SessionHello(bytes(16), 1, 2, 3, 0, 0, 0, 1024, known=True)
        parked = ParkedSessions(loop.call_later, lambda: None)
        moved = MovedSession(SessionQuestion(key, (1, 1), 3, 0), 1, (), (b"first",))
        finish = asyncio.Event()

        async def handler() -> None:
            await finish.wait()
            parked.add_unsent(moved.question, [b"last"])

        parked.add(moved, asyncio.create_task(handler()))
        finder = SessionFinder(None, None, None, parked)
        finding = asyncio.create_task(finder.find(key, SessionInfo("", None), hello))
        await asyncio.sleep(0)
        finish.set()
        elsewhere = (await finding).elsewhere
        assert isinstance(elsewhere, MovedSession)
        assert elsewhere.unsent == (b"first", b"last")
        parked.close()

    async def test_a_handler_that_closes_in_its_second_costs_no_session(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its close has a time-out of its own, which comes later."""
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        echo = Echoing()

        async def once(conn: Connection) -> None:
            message = await conn.recv()
            echo.taken.append(message)
            await echo.hold.wait()
            await conn.send(b"re " + message)
            await conn.close()

        options = ServerOptions(close_timeout=1.6)
        async with (
            two(once, Sessions(), options=options) as (servers, _),
            connect(servers) as conn,
        ):
            await in_hand_and_moving(servers, conn, echo)
            echo.hold.set()
            # The client of a session that was lost comes again and again.
            async with asyncio.timeout(10):
                assert [message async for message in conn] == [b"re in hand", b"re next"]
                assert await conn.close()

    async def test_of_two_servers_that_ask_one_gets_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The client's link to the first one is dead, and it has come to a third one."""
        monkeypatch.setattr(session_moves, "IN_HAND", 60)
        echo = Echoing()
        async with two(Late(echo), Sessions()) as (servers, members), connect(servers) as conn:
            here, there = await in_hand_and_moving(servers, conn, echo)
            await stop_listening(there)
            (asked,) = members[servers.index(there)].asked
            start, link = asked.attempt
            later = replace(asked, attempt=(start, link + 1))
            old = members[servers.index(here)].server
            releasing = asyncio.create_task(old.release_session(later))
            await asyncio.sleep(0)
            echo.hold.set()
            moved = await releasing
            assert isinstance(moved, MovedSession)
            assert (moved.unread, moved.unsent) == ((b"next",), (b"re in hand",))
            await until(lambda: len(members[servers.index(there)].answers) > 0)
            assert members[servers.index(there)].answers == [LaterLink(later.attempt)]
            assert await old.release_session(later) == moved
            old.confirm_session(later)
            protocol_of(conn).closer.abort(ConnectionClosedError("over"))

    async def test_back_at_the_server_that_has_it_no_other_gets_it(self) -> None:
        """Also one that asks before, and waits for its handler as well."""
        loop = asyncio.get_running_loop()
        key, hello = bytes(32), SessionHello(bytes(16), 1, 2, 3, 0, 0, 0, 1024, known=True)
        parked = ParkedSessions(loop.call_later, lambda: None)
        moved = MovedSession(SessionQuestion(key, (1, 1), 3, 0), 1, (b"unread",), ())
        claimed: list[FoundSession] = []

        async def find_elsewhere(question: SessionQuestion) -> FoundSession:
            # None of the others has it yet; one of them gets its answer just now.
            claimed.append(parked.claim(moved.question))
            return None

        parked.add(moved)
        finder = SessionFinder(None, find_elsewhere, None, parked)
        found = await finder.find(key, SessionInfo("", None), hello)
        assert claimed == [LaterLink((1, 2))]
        assert isinstance(found.elsewhere, MovedSession)
        assert found.elsewhere.unread == (b"unread",)
        parked.close()

    async def test_an_older_state_does_not_take_the_place_of_a_later_one(self) -> None:
        """That one is kept as long as ever, and what is at work for both is waited for."""
        loop, timers = asyncio.get_running_loop(), list[asyncio.TimerHandle]()

        def call_later(*args: Any) -> asyncio.TimerHandle:
            timers.append(loop.call_later(*args))
            return timers[-1]

        parked = ParkedSessions(call_later, lambda: None)
        earlier = MovedSession(SessionQuestion(bytes(32), (1, 1), 3, 0), 1, (b"older",), ())
        later = MovedSession(SessionQuestion(bytes(32), (1, 2), 3, 0), 2, (b"newer",), ())
        done = asyncio.Event()

        async def work() -> None:
            await done.wait()

        parked.add(later)
        parked.add(earlier, asyncio.create_task(work()))
        waiting = asyncio.create_task(parked.wait_finished(bytes(32)))
        await asyncio.sleep(0)
        waits = not waiting.done()
        done.set()
        await waiting
        assert waits
        assert [timer.cancelled() for timer in timers] == [False]
        assert parked.attempt(bytes(32)) == (1, 2)
        assert parked.claim(later.question) == later
        # What is kept of the same attempt is replaced, and of a later one.
        parked.add(later)
        parked.add(replace(later, question=replace(later.question, attempt=(1, 3))))
        assert [timer.cancelled() for timer in timers] == [True, True, False]
        parked.close()

    async def test_an_older_state_is_not_taken_for_the_session(self) -> None:
        echo = Echoing()
        async with two(echo, Sessions()) as (servers, members), connect(servers) as conn:
            here, _there = await first_of(servers, conn)
            for member in members:
                member.confirms = False
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            await stop_listening(here)
            cut(here)
            await conn.send(b"2")
            assert await conn.recv() == b"re 2"
            # The first one has kept what it gave up, since nobody said that it came. The session
            # has gone on since.
            (question,) = [asked for member in members for asked in member.asked]
            first = members[servers.index(here)].server
            assert first.session_status(question.key) == HeldSession(question.attempt, parked=True)
            later = SessionQuestion(question.key, (1, 99), question.numbering + 1, 1)
            assert await first.release_session(later) is None

    async def test_nobody_has_it(self) -> None:
        echo = Echoing()
        # With a key of the servers the client knows that this is no other service.
        key = PrivateKey.generate()
        identity = ServerIdentity(PrivateKey.generate(), clients={"sensor": key.public_key})
        pinned = ClientIdentity(key, server=identity.public_key)
        async with (
            two(echo, Sessions(), security=identity) as (servers, members),
            connect(servers, security=pinned) as conn,
        ):
            here, _ = await first_of(servers, conn)
            await conn.send(b"1")
            assert await conn.recv() == b"re 1"
            # As when the process is killed: it answers nobody.
            await stop_listening(here)
            del members[servers.index(here)].server
            cut(here)
            with pytest.raises(SessionLostError, match="SESSION_LOST"):
                await conn.recv()


class TestPositions:
    async def test_what_the_old_handler_has_not_finished_comes_again(self) -> None:
        stored: list[bytes] = []
        hold = asyncio.Event()
        loads: list[int] = []

        async def handler(conn: Connection) -> None:
            async for message in conn:
                if message == b"3":
                    await hold.wait()
                stored.append(message)
                assert conn.position == len(stored)

        async def load(session: SessionInfo) -> int:
            loads.append(len(stored))
            return len(stored)

        async with two(handler, Sessions(position=load)) as (servers, _):
            async with connect(servers) as conn:
                here, there = await first_of(servers, conn)
                for number in range(6):
                    await conn.send(b"%d" % number)
                await until(lambda: len(stored) == 3)
                closing = asyncio.create_task(here.close(timeout=30))
                await until(lambda: not here.clients)
                # The program of the first server is at a message: nobody is asked before it is
                # done, else that would be handled twice.
                before = len(loads)
                for _ in range(10):
                    await asyncio.sleep(0)
                assert len(loads) == before
                hold.set()
                await until(lambda: len(stored) == 6)
                await closing
                assert stored == [b"%d" % number for number in range(6)]
                assert len(there.clients) == 1

    async def test_a_position_that_cannot_be_had_loses_nothing(self) -> None:
        failures = 2

        async def handler(conn: Connection) -> None:
            async for message in conn:
                await conn.send(b"re " + message)

        async def load(session: SessionInfo) -> int:
            nonlocal failures
            if failures and moving:
                failures -= 1
                raise OSError("the database is away")
            return 0 if not moving else 1

        moving = False
        async with two(handler, Sessions(position=load)) as (servers, _):
            async with connect(servers) as conn:
                here, _ = await first_of(servers, conn)
                await conn.send(b"1")
                assert await conn.recv() == b"re 1"
                moving = True
                old = the_client(here)
                closing = asyncio.create_task(here.close(timeout=30))
                await until(lambda: not old.connected)
                await old.send(b"last word")
                assert await conn.recv() == b"last word"
                await closing
                assert failures == 0


async def stop_listening(server: Server) -> None:
    """Have a server take in no further client."""
    listener = server._listener
    assert listener is not None
    listener.close()


def cut(server: Server) -> None:
    """Cut the links of a server's clients."""
    for conn in list(server.clients.values()):
        transport = protocol_of(conn).transport
        assert transport is not None
        transport.abort()
