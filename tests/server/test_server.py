"""The server: whom it lists, what a failing handler costs, broadcast, limits, its end."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from typing import NoReturn

import pytest
from aio.ends import PATIENCE, Family, Mode, dial, open_pair, start
from aio.scripted import Raw, dialled, message, until

import sealframe
from sealframe import (
    CloseCode,
    ConfigurationError,
    ConnectError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    HandshakeError,
    Server,
    ServerOptions,
    TruncatedError,
)
from sealframe.noise.handshake_driver import BUSY_REPLY
from sealframe.server.server import registry_of

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

KIB = 1024


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


async def idle(conn: Connection) -> None:
    async for _ in conn:
        pass


async def unused(conn: Connection) -> None:
    raise AssertionError("no client should get as far as the handler")


def warnings(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what the server logged that someone should look at."""
    return [r for r in caplog.records if r.name == "sealframe.server" and r.levelno > logging.INFO]


class TestRegistry:
    async def test_a_client_is_listed_while_it_is_there(self, mode: Mode, family: Family) -> None:
        arrived: asyncio.Queue[Connection] = asyncio.Queue()

        async def handler(conn: Connection) -> None:
            arrived.put_nowait(conn)
            await echo(conn)

        async with start(handler, mode, family) as server:
            clients = server.clients
            assert clients == {}
            async with dial(server, mode, family) as conn:
                accepted = await arrived.get()
                assert clients == {accepted.id: accepted}
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
            await until(lambda: not clients)
            assert server.counters.accepted == 1
            assert server.counters.failed_handshakes == 0

    async def test_a_sealed_client_is_listed_after_its_hello(self, sealed: Mode) -> None:
        async with start(idle, sealed) as server, await Raw.dial(server.port) as raw:
            await until(lambda: server.counters.accepted == 1)
            assert server.clients == {}
            async with dialled(server, sealed):
                await until(lambda: len(server.clients) == 1)
            await until(lambda: not server.clients)
            raw.close()

    async def test_a_handler_that_returned_and_left_messages(self, control_mode: Mode) -> None:
        """Nobody takes them any more, and the client must not think that all is well."""

        async def one_of_three(conn: Connection) -> None:
            await until(lambda: conn.stats.messages_received == 3)
            await conn.recv()

        async with start(one_of_three, control_mode) as server, dial(server, control_mode) as conn:
            await conn.send_many([b"one", b"two", b"three"])
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(ConnectionClosedError, match=r"(?m)that it threw away: 2$"):
                    await conn.recv()
            assert await conn.close() is False

    async def test_a_client_whose_handler_returned_is_not_listed(self, mode: Mode) -> None:
        async def handler(conn: Connection) -> None:
            await conn.recv()

        async with start(handler, mode) as server, dial(server, mode) as conn:
            await until(lambda: len(server.clients) == 1)
            await conn.send(b"go")
            await until(lambda: not server.clients)
            with pytest.raises(ConnectionClosedOK):
                await conn.recv()

    async def test_a_client_that_is_cut_off_is_not_listed(self, mode: Mode) -> None:
        async with start(idle, mode) as server, dialled(server, mode) as peer:
            await until(lambda: len(server.clients) == 1)
            peer.raw.reset()
            await until(lambda: not server.clients)

    async def test_nor_while_its_handler_has_not_noticed(self, mode: Mode) -> None:
        noticed = asyncio.Event()

        async def handler(conn: Connection) -> None:
            await noticed.wait()

        async with start(handler, mode) as server, dialled(server, mode) as peer:
            await until(lambda: len(server.clients) == 1)
            peer.raw.reset()
            await until(lambda: not server.clients)
            assert server.broadcast(b"to nobody") == 0
            noticed.set()

    async def test_ids_are_never_used_again(self, mode: Mode) -> None:
        ids: list[str] = []

        async def handler(conn: Connection) -> None:
            ids.append(conn.id)
            await echo(conn)

        for _ in range(2):
            async with start(handler, mode) as server:
                for _ in range(10):
                    async with dial(server, mode) as conn:
                        await conn.send(b"")
                        await conn.recv()
                        if mode.has_control:
                            assert conn.id == ids[-1]
        assert len(set(ids)) == 20
        assert all(1 <= len(one) <= 32 for one in ids)

    async def test_two_ends_in_one_program_tell_clients_apart(self, mode: Mode) -> None:
        async with start(idle, mode) as server:
            conns = await asyncio.gather(*(dial(server, mode) for _ in range(10)))
            assert len({conn.id for conn in conns}) == 10
            await asyncio.gather(*(conn.close() for conn in conns))

    async def test_the_registry_is_read_only(self, mode: Mode) -> None:
        async with open_pair(mode) as (_, accepted, server):
            with pytest.raises(TypeError):
                server.clients["mine"] = accepted  # type: ignore[index]


class TestHandler:
    async def test_an_error_ends_that_client_alone(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        failed: list[str] = []

        async def handler(conn: Connection) -> None:
            async for data in conn:
                if data == b"fail":
                    failed.append(conn.id)
                    raise LookupError("a handler's own fault")
                await conn.send(data)

        async with start(handler, mode) as server, dial(server, mode) as other:
            async with dial(server, mode) as conn:
                await conn.send(b"fail")
                if mode.has_control:
                    with pytest.raises(ConnectionClosedError, match="handler failed") as caught:
                        await conn.recv()
                    assert caught.value.code == CloseCode.HANDLER
                    # The fault itself is not the client's business.
                    assert "own fault" not in conn.close_reason
                else:
                    with pytest.raises(ConnectionClosedOK):
                        await conn.recv()
            await other.send(b"still served")
            assert await other.recv() == b"still served"
        (record,) = warnings(caplog)
        assert record.levelno == logging.ERROR
        assert failed[0] in record.getMessage()
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], LookupError)

    async def test_the_end_of_the_connection_is_no_error(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def handler(conn: Connection) -> None:
            while True:
                await conn.recv()

        async with start(handler, mode) as server:
            async with dial(server, mode) as conn:
                await conn.send(b"and off")
            await until(lambda: not server.clients)
        assert warnings(caplog) == []

    async def test_the_end_of_another_connection_is_an_error(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with start(idle, mode) as behind:

            async def handler(conn: Connection) -> None:
                async with dial(behind, mode) as other:
                    await other.close()
                    await other.send(await conn.recv())

            async with start(handler, mode) as server, dial(server, mode) as conn:
                await conn.send(b"pass it on")
                with pytest.raises(ConnectionClosed):
                    await conn.recv()
                assert conn.close_code == (CloseCode.HANDLER if mode.has_control else None)
        (record,) = warnings(caplog)
        assert record.levelno == logging.ERROR

    async def test_a_handler_that_is_not_async(self, caplog: pytest.LogCaptureFixture) -> None:
        def handler(conn: Connection) -> int:
            return 5

        async with start(handler, Mode("packets")) as server:  # type: ignore[arg-type]
            async with dial(server, Mode("packets")) as conn:
                with pytest.raises(ConnectionClosedOK):
                    await conn.recv()
        (record,) = warnings(caplog)
        assert "failed" in record.getMessage()
        assert record.exc_info is not None
        assert "not async" in str(record.exc_info[1])

    async def test_a_handler_that_fails_when_it_is_called(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def takes_nothing() -> None:
            raise AssertionError("it cannot be called with a connection")

        def fails(conn: Connection) -> NoReturn:
            raise RuntimeError("before it returned anything to await")

        for handler, text in ((takes_nothing, "argument"), (fails, "before it returned")):
            caplog.clear()
            async with start(handler, Mode("packets")) as server:  # type: ignore[arg-type]
                async with dial(server, Mode("packets")) as conn:
                    with pytest.raises(ConnectionClosedOK):
                        await conn.recv()
                assert not registry_of(server).handlers
            (record,) = warnings(caplog)
            assert record.exc_info is not None
            assert text in str(record.exc_info[1])

    async def test_a_handler_that_returns_something_else_to_await(self) -> None:
        futures: list[asyncio.Future[None]] = []

        def handler(conn: Connection) -> asyncio.Future[None]:
            futures.append(asyncio.get_running_loop().create_future())
            return futures[-1]

        async with start(handler, Mode("packets")) as server:
            async with dial(server, Mode("packets")) as conn:
                await until(lambda: bool(futures))
                assert len(server.clients) == 1
                futures[0].set_result(None)
                with pytest.raises(ConnectionClosedOK):
                    await conn.recv()

    async def test_each_handler_has_a_context_of_its_own(self) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")
        seen: list[str] = []

        async def handler(conn: Connection) -> None:
            seen.append(variable.get())
            variable.set(conn.id)
            await conn.recv()
            assert variable.get() == conn.id
            await conn.send(b"still mine")

        async with start(handler, Mode("packets")) as server:
            conns = [await dial(server, Mode("packets")) for _ in range(3)]
            for conn in conns:
                await conn.send(b"?")
                assert await conn.recv() == b"still mine"
                await conn.close()
        assert seen == [""] * 3

    async def test_a_cut_is_logged_once(self, mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
        seen: list[BaseException] = []

        async def handler(conn: Connection) -> None:
            try:
                await conn.recv()
                await conn.recv()
            except TruncatedError as error:
                seen.append(error)
                raise

        async with start(handler, mode) as server, dialled(server, mode) as peer:
            await until(lambda: len(server.clients) == 1)
            (client_id,) = server.clients
            await peer.write(message(b"hello"))
            await until(lambda: server.stats()["messages_received"] == 1)
            peer.raw.reset()
            await until(lambda: not server.clients)
        assert len(seen) == 1
        (record,) = warnings(caplog)
        assert record.exc_info is None
        assert client_id in record.getMessage()

    async def test_what_it_sent_arrives(self, mode: Mode, family: Family) -> None:
        data = [b"%d" % number * 1000 for number in range(1000)]

        async def handler(conn: Connection) -> None:
            for part in data:
                await conn.send(part)

        async with start(handler, mode, family) as server, dial(server, mode, family) as conn:
            assert [part async for part in conn] == data

    async def test_its_own_cancellation(self, mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
        async def handler(conn: Connection) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await conn.recv()

        async with start(handler, mode) as server, dial(server, mode) as conn:
            with pytest.raises(ConnectionClosedOK):
                await conn.recv()
            await until(lambda: not server.clients)
        assert warnings(caplog) == []

    async def test_something_else_than_a_function(self, mode: Mode) -> None:
        with pytest.raises(ConfigurationError, match="handler"):
            start(None, mode)  # type: ignore[arg-type]


class TestFull:
    OPTIONS = ServerOptions(max_connections=1)

    async def test_one_too_many(
        self, mode: Mode, family: Family, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with start(echo, mode, family, self.OPTIONS) as server:
            async with dial(server, mode, family) as first:
                await first.send(b"first")
                assert await first.recv() == b"first"
                if mode.sealed:
                    with pytest.raises(HandshakeError, match="limit of connections") as busy:
                        await dial(server, mode, family)
                    assert busy.value.code == CloseCode.BUSY
                    assert not sealframe.is_fatal(busy.value)
                elif mode.has_control:
                    with pytest.raises(HandshakeError, match="closed during the handshake") as fin:
                        await dial(server, mode, family)
                    assert not sealframe.is_fatal(fin.value)
                else:
                    async with dial(server, mode, family) as second:
                        with pytest.raises(ConnectionClosedOK, match="without a word"):
                            await second.recv()
                assert len(server.clients) == 1
                assert server.counters.accepted == server.counters.turned_away == 1
                assert "max_connections" in warnings(caplog)[0].getMessage()
                await first.send(b"unharmed")
                assert await first.recv() == b"unharmed"
            await until(lambda: not server.clients)
            async with dial(server, mode, family) as third:
                await third.send(b"room again")
                assert await third.recv() == b"room again"
            assert server.counters.accepted == 2

    async def test_what_goes_over_the_wire(self, mode: Mode) -> None:
        async with start(idle, mode, options=self.OPTIONS) as server, dialled(server, mode):
            async with await Raw.dial(server.port) as raw:
                # Input does not turn the answer into a reset.
                await raw.send(bytes(100))
                assert await raw.receive_to_end() == (BUSY_REPLY if mode.sealed else b"")

    async def test_who_does_not_leave_is_dropped(self, mode: Mode) -> None:
        options = ServerOptions(max_connections=1, handshake_timeout=0.1)
        async with start(idle, mode, options=options) as server:
            async with dialled(server, mode), await Raw.dial(server.port) as second:
                await second.receive_to_end()
                await until(lambda: server.counters.turned_away == 1)
                await until(lambda: not registry_of(server).rejected)


class TestClose:
    async def test_clients_are_told(self, mode: Mode, family: Family) -> None:
        async with start(echo, mode, family) as server:
            conn = await dial(server, mode, family)
            await until(lambda: len(server.clients) == 1)
            closing = asyncio.ensure_future(server.close("back at ten"))
            with pytest.raises(ConnectionClosedOK) as caught:
                await conn.recv()
            if mode.has_control:
                assert conn.going_away
                assert conn.close_code == CloseCode.GOING_AWAY
                assert conn.close_reason == caught.value.reason == "back at ten"
            await conn.close()
            await closing
            with pytest.raises(ConnectError):
                await dial(server, mode, family)

    async def test_what_was_accepted_arrives(self, mode: Mode) -> None:
        data = [bytes(1000)] * 900
        ready = asyncio.Event()

        async def handler(conn: Connection) -> None:
            await conn.send_many(data)
            ready.set()
            await conn.wait_closed()

        async with start(handler, mode) as server:
            conn = await dial(server, mode)
            await ready.wait()
            closing = asyncio.ensure_future(server.close())
            assert [part async for part in conn] == data
            await conn.close()
            await closing

    async def test_handlers_finish(self, mode: Mode) -> None:
        go_on = asyncio.Event()
        finished: list[str] = []

        async def handler(conn: Connection) -> None:
            await go_on.wait()
            finished.append(conn.id)

        async with start(handler, mode) as server:
            async with dial(server, mode) as conn:
                await until(lambda: len(server.clients) == 1)
                closing = asyncio.ensure_future(server.close())
                if mode.name != "packets":
                    await until(lambda: conn.going_away)
                assert not closing.done()
                assert not conn.closed
                go_on.set()
                assert [part async for part in conn] == []
            report = await closing
            assert len(finished) == 1
            assert (report.clients, report.cancelled) == (1, 0)

    async def test_handlers_that_do_not_are_cancelled(self, mode: Mode) -> None:
        cancelled: list[str] = []

        async def handler(conn: Connection) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(conn.id)
                raise

        options = ServerOptions(close_timeout=0.1)
        async with start(handler, mode, options=options) as server, dial(server, mode):
            await until(lambda: len(server.clients) == 1)
            await server.close()
            assert len(cancelled) == 1
            assert not server.clients

    async def test_clients_that_do_not_answer_are_dropped(self, mode: Mode) -> None:
        options = ServerOptions(close_timeout=0.1)
        async with start(idle, mode, options=options) as server:
            async with dialled(server, mode) as peer:
                await until(lambda: len(server.clients) == 1)
                await server.close()
                assert not server.clients
                await peer.await_end()

    async def test_handshakes_under_way_are_dropped(self, sealed: Mode) -> None:
        async with start(unused, sealed) as server, await Raw.dial(server.port) as raw:
            await until(lambda: server.counters.accepted == 1)
            await server.close()
            assert await raw.receive_to_end() == b""

    async def test_clients_turned_away_are_dropped(self, mode: Mode) -> None:
        options = ServerOptions(max_connections=1)
        async with start(echo, mode, options=options) as server, dial(server, mode) as conn:
            async with await Raw.dial(server.port) as raw:
                await until(lambda: server.counters.turned_away == 1)
                closing = asyncio.ensure_future(server.close())
                assert [part async for part in conn] == []
                await conn.close()
                # It still holds its end open.
                await closing
                assert not registry_of(server).rejected
                await raw.receive_to_end()

    async def test_closing_again_only_waits(self, mode: Mode) -> None:
        async with start(echo, mode) as server:
            waiting = asyncio.ensure_future(server.wait_closed())
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.gather(server.close("first"), server.close("second"))
            await asyncio.gather(waiting, serving)
            await server.close()
            await server.wait_closed()
            await server.serve_forever()

    async def test_by_a_handler(self, mode: Mode) -> None:
        servers: list[Server] = []
        done = asyncio.Event()

        async def handler(conn: Connection) -> None:
            await conn.recv()
            await servers[0].close("one of them said so")
            done.set()

        async with start(handler, mode) as server, dial(server, mode) as conn:
            servers.append(server)
            await conn.send(b"stop")
            assert [part async for part in conn] == []
            await conn.close()
            async with asyncio.timeout(PATIENCE):
                await done.wait()

    async def test_serve_forever_is_cancelled(self, mode: Mode) -> None:
        async with start(echo, mode) as server, dial(server, mode) as conn:
            serving = asyncio.ensure_future(server.serve_forever())
            await conn.send(b"served")
            assert await conn.recv() == b"served"
            serving.cancel()
            assert [part async for part in conn] == []
            await conn.close()
            with pytest.raises(asyncio.CancelledError):
                await serving
            with pytest.raises(ConnectError):
                await dial(server, mode)

    async def test_a_cancelled_close_goes_on(self, mode: Mode) -> None:
        async with start(echo, mode) as server, dialled(server, mode) as peer:
            await until(lambda: len(server.clients) == 1)
            closing = asyncio.ensure_future(server.close())
            await peer.await_end()
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await peer.say_end()
            async with asyncio.timeout(PATIENCE):
                await server.wait_closed()

    async def test_a_server_that_was_only_awaited(self, mode: Mode) -> None:
        server = await start(echo, mode)
        async with dial(server, mode) as conn:
            await conn.send(b"hello")
            assert await conn.recv() == b"hello"
        async with server as same:
            assert same is server
        with pytest.raises(ConnectError):
            await dial(server, mode)

    async def test_an_error_in_the_body_closes_too(self, mode: Mode) -> None:
        with pytest.raises(LookupError):
            async with start(echo, mode) as server:
                raise LookupError
        with pytest.raises(ConnectError):
            await dial(server, mode)
