"""A server is closed: what is under way is finished, and what is new is refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE, TCP, Mode, dial, start
from aio.identities import ANNA, BERT, BOTH, SERVER, hosting, let_in
from aio.scripted import Raw, dialled, message, until

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConnectError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Disconnect,
    DisconnectKind,
    Server,
    ServerIdentity,
    ServerOptions,
    ShutdownReport,
    Stream,
    StreamResetError,
)
from sealframe.aio.connection import protocol_of
from sealframe.framing import INT32_BE
from sealframe.server.server import registry_of
from sealframe.wire import Opcode, control
from sealframe.wire.control import Close, Hello

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

QUICK = ServerOptions(close_timeout=0.1)


class Service:
    """A server whose handler, requests and streams each wait until the test lets them go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.busy = 0
        self.handled = asyncio.Event()
        self.cancelled: list[str] = []
        self.reasons: list[Disconnect] = []

    async def until_it_goes_on(self, who: str) -> None:
        self.busy += 1
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled.append(who)
            raise
        finally:
            self.busy -= 1

    async def read(self, conn: Connection) -> None:
        """Handle a client that sends messages."""
        async for _ in conn:
            pass
        self.handled.set()

    async def wait(self, conn: Connection) -> None:
        """Handle a client by waiting until it may be left alone."""
        await self.until_it_goes_on("handler")

    async def wait_closed(self, conn: Connection) -> None:
        """Handle a client by waiting for its end."""
        await conn.wait_closed()
        self.handled.set()

    async def on_request(self, conn: Connection, payload: bytes) -> bytes:
        await self.until_it_goes_on("request")
        return b"answer to " + bytes(payload)

    async def on_stream(self, stream: Stream) -> None:
        await self.until_it_goes_on("stream")
        await stream.write(b"all of it")

    def on_disconnect(self, conn: Connection, reason: Disconnect) -> None:
        self.reasons.append(reason)

    @asynccontextmanager
    async def serve(
        self, handler: Any, mode: Mode, options: ServerOptions | None = None
    ) -> AsyncIterator[Server]:
        async with (
            asyncio.timeout(PATIENCE),
            sealframe.serve(
                handler,
                **TCP.listen,
                **mode.server,
                options=options,
                on_request=self.on_request,
                on_stream=self.on_stream,
                on_disconnect=self.on_disconnect,
            ) as server,
        ):
            yield server


def closing(server: Server, *args: Any, **more: Any) -> asyncio.Task[ShutdownReport]:
    return asyncio.create_task(server.close(*args, **more))


async def told(conn: Connection) -> None:
    """Wait until the client knows that the server goes away."""
    await until(lambda: conn.going_away)


async def until_going_away(server: Server) -> None:
    """Wait until the close has begun."""
    await until(
        lambda: all(protocol.closer.going_away for protocol in registry_of(server).connections)
    )


# What is under way


@pytest.mark.parametrize("how", ["async for", "recv"])
async def test_a_handler_that_receives_ends_quietly_and_still_answers(
    mode: Mode, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service()

    async def handler(conn: Connection) -> None:
        if how == "async for":
            await service.read(conn)
        else:
            with pytest.raises(ConnectionClosedOK) as why:
                await conn.recv()
            assert (why.value.code, why.value.reason) == (CloseCode.GOING_AWAY, "back at ten")
        # It is the end of its messages, and not of the connection.
        await conn.send(b"goodbye")

    with caplog.at_level(logging.INFO, "sealframe"):
        async with service.serve(handler, mode) as server, dial(server, mode) as conn:
            await until(lambda: len(server.clients) == 1)
            close = closing(server, "back at ten")
            assert await conn.recv() == b"goodbye"
            with pytest.raises(ConnectionClosedOK):
                await conn.recv()
            if mode.has_control:
                assert conn.close_code == CloseCode.GOING_AWAY
                assert conn.close_reason == "back at ten"
            assert await conn.close()
            assert await close == ShutdownReport(1, 0, 0, 0)
    (reason,) = service.reasons
    assert reason == Disconnect(DisconnectKind.GOING_AWAY, 1, "back at ten", None)
    assert caplog.records == []


async def all_but_lost(conn: Connection, mode: Mode) -> list[bytes]:
    """Return what still came at a client of which the server has thrown messages away, as it tells
    where more than packets flow."""
    if not mode.has_control:
        return [part async for part in conn]
    came: list[bytes] = []
    with pytest.raises(ConnectionClosedError, match=r"messages that it threw away: [1-9]"):
        while True:
            came.append(await conn.recv())
    return came


async def test_what_came_before_is_still_read(mode: Mode) -> None:
    go_on = asyncio.Event()
    came: list[bytes] = []

    async def handler(conn: Connection) -> None:
        await go_on.wait()
        async for part in conn:
            came.append(part)
            await conn.send(part)

    async with start(handler, mode) as server, dial(server, mode) as conn:
        for number in range(5):
            await conn.send(b"%d" % number)
        await until(lambda: server.stats()["messages_received"] == 5)
        close = closing(server)
        await until_going_away(server)
        await conn.send(b"too late")
        await until(lambda: server.stats()["discarded"] == 1)
        go_on.set()
        assert await all_but_lost(conn, mode) == [b"0", b"1", b"2", b"3", b"4"]
        assert await conn.close() is not mode.has_control
        assert await close == ShutdownReport(clients=1, cancelled=0, unsent=0, discarded=1)
    assert len(came) == 5


async def test_requests_and_streams_finish_and_new_ones_are_refused(control_mode: Mode) -> None:
    service = Service()
    async with (
        service.serve(service.read, control_mode) as server,
        dial(server, control_mode) as conn,
    ):
        request = asyncio.create_task(conn.request(b"one"))
        stream = await conn.open_stream(b"two")
        await until(lambda: service.busy == 2)
        close = closing(server)
        await told(conn)
        await service.handled.wait()
        for size in (3, 100_000):
            with pytest.raises(ConnectionClosedOK, match="shutting down"):
                await conn.request(bytes(size))
        with pytest.raises(ConnectionClosedOK, match="shutting down"):
            await (await conn.open_stream()).read()
        assert not close.done()
        service.go_on.set()
        assert await request == b"answer to one"
        assert await stream.read() == b"all of it"
        assert [part async for part in conn] == []
        assert conn.close_code == CloseCode.GOING_AWAY
        await conn.close()
        assert await close == ShutdownReport(1, 0, 0, 0)


async def test_large_answers_are_sent_to_their_end(control_mode: Mode) -> None:
    """They go over streams, long after the handler and what answers are done."""
    answer = bytes(range(256)) * 10_000
    asked = asyncio.Event()

    async def on_request(conn: Connection, payload: bytes) -> bytes:
        asked.set()
        return answer

    serving = sealframe.serve(None, **TCP.listen, **control_mode.server, on_request=on_request)
    async with serving as server, dial(server, control_mode) as conn:
        request = asyncio.create_task(conn.request(b""))
        await asked.wait()
        close = closing(server)
        assert await request == answer
        await conn.close()
        assert (await close).cancelled == 0


async def test_a_handler_that_awaits_the_end_waits_for_requests_too(control_mode: Mode) -> None:
    service = Service()
    async with (
        service.serve(service.wait_closed, control_mode) as server,
        dial(server, control_mode) as conn,
    ):
        request = asyncio.create_task(conn.request(b"one"))
        await until(lambda: service.busy == 1)
        close = closing(server)
        await told(conn)
        service.go_on.set()
        assert await request == b"answer to one"
        assert [part async for part in conn] == []
        await conn.close()
        assert await close == ShutdownReport(1, 0, 0, 0)
        assert service.handled.is_set()


@pytest.mark.parametrize("kind", ["request", "stream"])
async def test_each_is_closed_when_it_is_done_whatever_others_do(
    control_mode: Mode, kind: str
) -> None:
    service = Service()
    slow = asyncio.Event()

    async def handler(conn: Connection) -> None:
        if await conn.recv() == b"slow":
            await slow.wait()

    async with (
        service.serve(handler, control_mode) as server,
        dial(server, control_mode) as quick_one,
        dial(server, control_mode) as slow_one,
    ):
        await slow_one.send(b"slow")
        work: asyncio.Task[Any]
        if kind == "request":
            work = asyncio.create_task(quick_one.request(b"one"))
        else:
            work = asyncio.create_task((await quick_one.open_stream()).read())
        await until(lambda: service.busy == 1)
        close = closing(server)
        await told(slow_one)
        service.go_on.set()
        assert await work in (b"answer to one", b"all of it")
        assert [part async for part in quick_one] == []
        await quick_one.close()
        assert not slow_one.closed
        assert not close.done()
        slow.set()
        await slow_one.close()
        assert await close == ShutdownReport(2, 0, 0, 0)


async def test_pings_go_on(control_mode: Mode) -> None:
    pinged = asyncio.Event()

    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass
        await conn.ping()
        pinged.set()

    async with start(handler, control_mode) as server, dial(server, control_mode) as conn:
        await until(lambda: len(server.clients) == 1)
        close = closing(server)
        assert [part async for part in conn] == []
        await conn.close()
        await close
        assert pinged.is_set()


# The deadline


async def test_what_does_not_finish_is_cancelled_and_counted(control_mode: Mode) -> None:
    service = Service()
    async with (
        service.serve(service.wait, control_mode) as server,
        dial(server, control_mode) as conn,
    ):
        request = asyncio.create_task(conn.request(b"one"))
        stream = await conn.open_stream()
        await until(lambda: service.busy == 3)
        close = closing(server, "enough", timeout=0.05)
        with pytest.raises(ConnectionClosedOK, match="gave the request up"):
            await request
        with pytest.raises(ConnectionClosedOK, match="reset the stream"):
            await stream.read()
        assert [part async for part in conn] == []
        assert (conn.close_code, conn.close_reason) == (CloseCode.GOING_AWAY, "enough")
        await conn.close()
        assert await close == ShutdownReport(clients=1, cancelled=3, unsent=0, discarded=0)
        assert sorted(service.cancelled) == ["handler", "request", "stream"]


async def test_no_time_at_all(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dial(server, mode) as conn:
        await until(lambda: service.busy == 1)
        close = closing(server, "now", timeout=0)
        assert [part async for part in conn] == []
        if mode.has_control:
            assert conn.close_reason == "now"
        await conn.close()
        assert (await close).cancelled == 1


async def test_what_a_client_does_not_read_is_unsent(mode: Mode) -> None:
    introduced = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await introduced.wait()
        for _ in range(100):
            await conn.send(bytes(100_000))

    async with start(handler, mode, options=QUICK) as server:
        async with dialled(server, mode, small_buffer=True):
            introduced.set()
            await until(
                lambda: any(part.sender.queue.full for part in registry_of(server).connections)
            )
            report = await server.close()
            assert (report.clients, report.cancelled) == (1, 1)
            assert report.unsent >= 10
            assert str(report.unsent) in str(report)


# Who calls it, and how


async def test_called_twice(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dial(server, mode) as conn:
        await until(lambda: service.busy == 1)
        # What the first one said counts.
        first = closing(server, "first", timeout=0.05)
        second = closing(server, "second", timeout=1000)
        assert [part async for part in conn] == []
        if mode.has_control:
            assert conn.close_reason == "first"
        await conn.close()
        assert await first == await second == await server.close() == ShutdownReport(1, 1, 0, 0)


async def test_wrong_arguments() -> None:
    async with start(Service().read, Mode()) as server:
        with pytest.raises(TypeError, match="reason is text"):
            await server.close(b"why")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="seconds from 0 up"):
            await server.close(timeout=-1)
        async with dial(server, Mode()):
            pass


@pytest.mark.parametrize("who", ["request", "stream", "on_connect", "on_disconnect"])
async def test_called_by_what_it_would_wait_for(sealed: Mode, who: str) -> None:
    """None of them is waited for: they wait for the end themselves."""
    done = asyncio.Event()
    servers: list[Server] = []

    async def close(what: str) -> None:
        if what == who:
            try:
                report = await servers[0].close(timeout=1000)
                assert report.cancelled == 0
            finally:
                # The end of its connection cancels what answers a request.
                done.set()

    async def on_request(conn: Connection, payload: bytes) -> None:
        await close("request")

    async def on_stream(stream: Stream) -> None:
        await close("stream")

    async def on_connect(conn: Connection) -> None:
        while not servers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await close("on_connect")

    async def on_disconnect(conn: Connection, reason: Disconnect) -> None:
        await close("on_disconnect")

    async with asyncio.timeout(PATIENCE):
        server = await sealframe.serve(
            Service().wait_closed,
            **TCP.listen,
            **sealed.server,
            on_request=on_request,
            on_stream=on_stream,
            on_connect=on_connect,
            on_disconnect=on_disconnect,
        )
        servers.append(server)
        async with dial(server, sealed) as conn:
            if who == "request":
                with pytest.raises(ConnectionClosed):
                    await conn.request(b"")
            elif who == "stream":
                stream = await conn.open_stream()
                with pytest.raises((StreamResetError, ConnectionClosed)):
                    await stream.read()
            elif who == "on_connect":
                assert [part async for part in conn] == []
        await done.wait()
        await server.wait_closed()


async def test_a_cancelled_serve_forever_lets_handlers_finish(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dial(server, mode) as conn:
        await until(lambda: service.busy == 1)
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        forever.cancel()
        await until_going_away(server)
        service.go_on.set()
        assert [part async for part in conn] == []
        await conn.close()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert service.cancelled == []


# Clients that come, and come back


async def test_a_client_comes_back_to_the_next_server(mode: Mode, port: int) -> None:
    greetings: list[bytes] = []

    async def greet(conn: Connection) -> None:
        await conn.send(b"from %d" % (len(greetings) + 1))
        await Service().read(conn)

    async def stay() -> None:
        options = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01)
        async for conn in sealframe.connect("127.0.0.1", port, **mode.client, options=options):
            async for part in conn:
                greetings.append(part)  # noqa: PERF401 - each as it comes
            await conn.close()

    async with asyncio.timeout(PATIENCE):
        first = await sealframe.serve(greet, "127.0.0.1", port, **mode.server)
        staying = asyncio.create_task(stay())
        await until(lambda: greetings == [b"from 1"])
        assert await first.close("an update") == ShutdownReport(1, 0, 0, 0)
        second = await sealframe.serve(greet, "127.0.0.1", port, **mode.server)
        await until(lambda: len(greetings) == 2)
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
        await second.close()


async def test_nobody_comes_in_any_more(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dial(server, mode) as conn:
        await until(lambda: service.busy == 1)
        close = closing(server)
        await until_going_away(server)
        with pytest.raises(ConnectError):
            await dial(server, mode)
        service.go_on.set()
        await conn.close()
        assert (await close).clients == 1


async def test_who_introduces_itself_meanwhile_is_told() -> None:
    """A plain server's client may say HELLO at any time before its first message."""
    service = Service()
    async with service.serve(service.wait, Mode("extended")) as server:
        async with await Raw.dial(server.port) as raw:
            await until(lambda: service.busy == 1)
            close = closing(server, "back at ten")
            await until_going_away(server)
            await raw.send(control.frame(Opcode.HELLO, Hello().encode()))
            decoder = sealframe.Framing(control=True, maximum=1 << 20).decoder()
            frames: list[Any] = []
            while len(frames) < 2:
                frames += decoder.feed(await raw.receive())
            assert [frame.opcode for frame in frames] == [Opcode.WELCOME, Opcode.GOAWAY]
            assert Close.decode(frames[1].body).reason == "back at ten"
            raw.close()
            service.go_on.set()
            await close


# What else may happen meanwhile


async def test_the_client_closes_first(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dial(server, mode) as conn:
        await until(lambda: service.busy == 1)
        close = closing(server)
        await until_going_away(server)
        leaving = asyncio.create_task(conn.close())
        (protocol,) = registry_of(server).connections
        await until(lambda: protocol.receiver.over)
        service.go_on.set()
        assert await leaving
        assert await close == ShutdownReport(1, 0, 0, 0)
        assert [reason.kind for reason in service.reasons] == [DisconnectKind.GOING_AWAY]


async def test_both_go_away_at_once(control_mode: Mode) -> None:
    async def handler(conn: Connection) -> None:
        async for _ in conn:
            pass
        await gone.wait()
        with pytest.raises(ConnectionClosed):
            await conn.send(b"nobody reads this")

    gone = asyncio.Event()
    async with start(handler, control_mode) as server, dialled(server, control_mode) as peer:
        await until(lambda: len(server.clients) == 1)
        close = closing(server)
        await until_going_away(server)
        await peer.say_end(CloseCode.GOING_AWAY, "so do I")
        (protocol,) = registry_of(server).connections
        await until(lambda: protocol.receiver.over)
        gone.set()
        await peer.await_end()
        assert await close == ShutdownReport(1, 0, 0, 0)


async def test_the_link_is_lost(mode: Mode) -> None:
    service = Service()
    async with service.serve(service.wait, mode) as server, dialled(server, mode) as peer:
        await until(lambda: service.busy == 1)
        close = closing(server)
        await until_going_away(server)
        peer.raw.reset()
        await until(lambda: not registry_of(server).connections)
        assert not close.done()
        service.go_on.set()
        assert (await close).cancelled == 0


async def test_a_client_is_kicked(control_mode: Mode) -> None:
    service = Service()
    async with (
        service.serve(service.wait, control_mode) as server,
        dial(server, control_mode) as conn,
    ):
        await until(lambda: service.busy == 1)
        close = closing(server)
        await told(conn)
        server.kick(conn.id, "at once")
        with pytest.raises(ConnectionClosedError) as why:
            await conn.recv()
        assert (why.value.code, why.value.reason) == (CloseCode.KICKED, "at once")
        await conn.close()
        assert not close.done()
        service.go_on.set()
        assert (await close).cancelled == 0
        assert [reason.kind for reason in service.reasons] == [DisconnectKind.KICKED]


async def test_a_key_is_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That takes effect at once, however long the others have."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
    path = let_in(tmp_path / "clients", anna=ANNA, bert=BERT)
    service = Service()
    async with hosting(ServerIdentity(SERVER, path, patterns=BOTH), handler=service.wait) as host:
        anna = await host.connect(sealframe.ClientIdentity(ANNA, server=SERVER.public_key))
        await until(lambda: service.busy == 1)
        close = closing(host.server)
        await told(anna)
        let_in(path, bert=BERT)
        with pytest.raises(ConnectionClosedError, match="withdrawn") as why:
            async with asyncio.timeout(PATIENCE):
                await anna.recv()
        assert why.value.code == CloseCode.UNAUTHORIZED
        await anna.close()
        assert not close.done()
        service.go_on.set()
        await close


async def test_a_client_that_writes_before_it_reads(mode: Mode) -> None:
    """What nobody takes in any more is read all the same, or neither end could go on."""
    written = asyncio.Event()

    async def handler(conn: Connection) -> None:
        await written.wait()
        await conn.send(b"farewell")

    async def write(conn: Connection) -> None:
        for _ in range(2000):
            await conn.send(bytes(10_000))
        await until(lambda: not protocol_of(conn).sender.queue.queued_bytes)
        written.set()

    options = ServerOptions(inbox_limit=50_000)
    async with start(handler, mode, options=options) as server, dial(server, mode) as conn:
        writing = asyncio.create_task(write(conn))
        if mode.has_control:
            await until(lambda: (protocol_of(conn).sender.credit or 0) < 0)
        else:
            await until(
                lambda: any(
                    protocol.receiver.paused for protocol in registry_of(server).connections
                )
            )
        close = closing(server, timeout=PATIENCE)
        async with asyncio.timeout(PATIENCE / 2):
            await writing
        assert await all_but_lost(conn, mode) == [b"farewell"]
        assert await conn.close() is not mode.has_control
        report = await close
        assert (report.cancelled, report.unsent) == (0, 0)
        assert report.discarded > 1000


async def test_input_that_nobody_reads_does_not_reset_the_connection(mode: Mode) -> None:
    """A socket that is closed with unread input destroys what was sent on it before."""
    service = Service()

    async def handler(conn: Connection) -> None:
        await service.wait(conn)
        await conn.send(b"farewell")

    options = ServerOptions(inbox_limit=1000)
    async with service.serve(handler, mode, options) as server, dial(server, mode) as conn:
        writing = asyncio.create_task(conn.send_many([bytes(100_000)] * 20))
        await until(
            lambda: any(part.receiver.queue.full for part in registry_of(server).connections)
        )
        close = closing(server)
        await until_going_away(server)
        service.go_on.set()
        assert await all_but_lost(conn, mode) == [b"farewell"]
        await writing
        await conn.close()
        report = await close
        assert (report.cancelled, report.unsent) == (0, 0)


# No handler


class TestNoHandler:
    async def test_requests_alone(self, control_mode: Mode) -> None:
        service = Service()
        service.go_on.set()
        async with service.serve(None, control_mode) as server, dial(server, control_mode) as conn:
            assert await conn.request(b"this") == b"answer to this"
            stream = await conn.open_stream()
            assert await stream.read() == b"all of it"
            assert len(server.clients) == 1
            assert await conn.close()
            await until(lambda: not server.clients)
        assert [reason.kind for reason in service.reasons] == [DisconnectKind.CLOSED]

    async def test_it_is_closed_in_good_order(self, control_mode: Mode) -> None:
        service = Service()
        async with service.serve(None, control_mode) as server, dial(server, control_mode) as conn:
            request = asyncio.create_task(conn.request(b"this"))
            await until(lambda: service.busy == 1)
            close = closing(server)
            await told(conn)
            service.go_on.set()
            assert await request == b"answer to this"
            await conn.close()
            assert await close == ShutdownReport(1, 0, 0, 0)

    async def test_files_alone(self, control_mode: Mode, tmp_path: Path) -> None:
        """One that is on its way when the server is closed arrives."""
        (tmp_path / "file").write_bytes(bytes(20_000_000))
        (tmp_path / "inbox").mkdir()
        files = sealframe.Inbox(tmp_path / "inbox")
        serving = sealframe.serve(None, **TCP.listen, **control_mode.server, files=files)
        async with serving as server, dial(server, control_mode) as conn:
            sending = asyncio.create_task(conn.send_file(tmp_path / "file"))
            await until(lambda: server.stats()["bytes_received"] > 100_000)
            close = closing(server, timeout=PATIENCE)
            await sending
            await conn.close()
            assert await close == ShutdownReport(1, 0, 0, 0)
        assert (tmp_path / "inbox" / "file").stat().st_size == 20_000_000

    async def test_a_cut_is_no_fault_of_the_program(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = Service()
        async with service.serve(None, mode) as server, dialled(server, mode) as peer:
            await until(lambda: len(server.clients) == 1)
            await peer.write(message(b"dropped"))
            peer.raw.reset()
            await until(lambda: not registry_of(server).connections)
        assert [record.exc_info for record in caplog.records if record.exc_info] == []

    @pytest.mark.parametrize("how", ["close", "recv"])
    async def test_a_message_is_refused_and_the_client_told(
        self, mode: Mode, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is not decoded, either, must not look as if it had been delivered."""
        service = Service()
        serving = sealframe.serve(
            None,
            **TCP.listen,
            **mode.server,
            on_stream=service.on_stream,
            on_disconnect=service.on_disconnect,
            codec=sealframe.codecs.Json(),
        )
        async with serving as server, dial(server, mode) as conn:
            await conn.send(b"{")
            if how == "recv":
                with pytest.raises(ConnectionClosedError, match="this server takes none") as caught:
                    await conn.recv()
                assert caught.value.code == CloseCode.NO_MESSAGES
            assert not await conn.close()
            await until(lambda: not registry_of(server).connections)
            assert server.stats()["discarded"] == 1
        assert [reason.kind for reason in service.reasons] == [DisconnectKind.PROTOCOL]
        (record,) = [r for r in caplog.records if r.name == "sealframe.server"]
        assert "sent a message, and this server takes none" in record.getMessage()

    def test_a_foreign_layout_carries_messages_only(self) -> None:
        with pytest.raises(sealframe.ConfigurationError, match="messages only: give a handler"):
            sealframe.serve(None, **TCP.listen, framing=INT32_BE, on_request=lambda *_: b"")

    def test_something_must_be_served(self) -> None:
        with pytest.raises(sealframe.ConfigurationError, match="give a handler, on_message"):
            sealframe.serve(None, "127.0.0.1", 0)
