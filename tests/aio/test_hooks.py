"""What a program does when a connection comes and when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    Disconnect,
    DisconnectKind,
    HandshakeError,
    PeerTimeoutError,
    ProtocolError,
    Server,
    ServerIdentity,
    ServerOptions,
    SharedKey,
    SlowPeerError,
    TruncatedError,
)
from sealframe.server.server import registry_of

from .ends import PATIENCE, TCP, Mode
from .identities import ANNA, BERT, SERVER, let_in
from .scripted import Raw, dialled, until

ANY_LOOP = True
EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")


class Notes:
    """Hooks that note what they are called with."""

    def __init__(self) -> None:
        self.came: list[Connection] = []
        self.gone: list[tuple[Connection, Disconnect]] = []

    def on_connect(self, conn: Connection) -> None:
        assert conn not in self.came
        self.came.append(conn)

    def on_disconnect(self, conn: Connection, reason: Disconnect) -> None:
        assert conn in self.came
        assert conn.closed
        self.gone.append((conn, reason))

    @property
    def hooks(self) -> dict[str, Any]:
        """What serve() and connect() need."""
        return {"on_connect": self.on_connect, "on_disconnect": self.on_disconnect}

    async def reason(self) -> Disconnect:
        """Return why the only connection ended, once it has."""
        await until(lambda: bool(self.gone))
        ((_, reason),) = self.gone
        return reason


async def read_all(conn: Connection) -> None:
    async for _ in conn:
        pass


@contextlib.asynccontextmanager
async def serving(mode: Mode, handler: Any = read_all, **more: Any) -> AsyncIterator[Server]:
    options = ServerOptions(**({"close_timeout": 2 * PATIENCE} | more.pop("limits", {})))
    arguments: dict[str, Any] = {**TCP.listen, **mode.server, "options": options, **more}
    async with sealframe.serve(handler, **arguments) as server:
        yield server


def dial(
    server: Server, mode: Mode, *, close_timeout: float = 2 * PATIENCE, **more: Any
) -> sealframe.Connecting:
    options = ClientOptions(
        close_timeout=close_timeout, backoff_initial=0.001, backoff_maximum=0.002
    )
    arguments: dict[str, Any] = {**TCP.target(server), **mode.client, "options": options, **more}
    return sealframe.connect(**arguments)


class TestCalls:
    async def test_each_connection_once_at_both_ends(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(mode, **theirs.hooks) as server:
            for _ in range(3):
                async with dial(server, mode, **ours.hooks) as conn:
                    assert ours.came[-1] is conn
                    assert len(ours.gone) == len(ours.came) - 1
                assert ours.gone[-1][0] is conn
            await until(lambda: len(theirs.gone) == 3)
        assert len(ours.gone) == len(ours.came) == len(theirs.came) == 3
        assert [conn for conn, _ in theirs.gone] == theirs.came
        assert {reason.kind for _, reason in ours.gone + theirs.gone} == {DisconnectKind.CLOSED}

    async def test_a_client_that_is_awaited(self, mode: Mode) -> None:
        notes = Notes()
        async with serving(mode) as server:
            conn = await dial(server, mode, **notes.hooks)
            assert notes.came == [conn]
            await conn.close()
            assert notes.gone == [(conn, await notes.reason())]

    async def test_each_round_of_a_loop(self, mode: Mode) -> None:
        notes = Notes()
        async with serving(mode) as server, asyncio.timeout(PATIENCE):
            async for conn in dial(server, mode, **notes.hooks):
                assert notes.came[-1] is conn
                if len(notes.came) == 3:
                    break
            await until(lambda: len(notes.gone) == 3)
        assert [conn for conn, _ in notes.gone] == notes.came

    async def test_before_the_handler_and_off_the_list(self, mode: Mode) -> None:
        order: list[str] = []

        async def handler(conn: Connection) -> None:
            order.append(f"handler {conn.state.user}")
            conn.join("room")
            await read_all(conn)

        def on_connect(conn: Connection) -> None:
            assert conn.id in server.clients
            conn.state.user = "anna"
            order.append("came")

        def on_disconnect(conn: Connection, reason: Disconnect) -> None:
            assert conn.id not in server.clients
            assert not server.groups
            order.append(f"gone from {conn.groups} {conn.state.user}")

        hooks: Any = {"on_connect": on_connect, "on_disconnect": on_disconnect}
        async with serving(mode, handler, **hooks) as server:
            async with dial(server, mode):
                await until(lambda: len(order) == 2)
            await until(lambda: len(order) == 3)
        assert order == ["came", "handler anna", "gone from frozenset({'room'}) anna"]

    async def test_not_for_a_failed_handshake(self, sealed: Mode) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(sealed, **theirs.hooks) as server:
            with pytest.raises(HandshakeError):
                await dial(server, sealed, security=SharedKey.generate(), **ours.hooks)
            async with await Raw.dial(server.port):
                await until(lambda: server.counters.accepted == 2)
            await until(lambda: not registry_of(server).connections)
        assert not ours.came + theirs.came
        assert not ours.gone + theirs.gone

    @pytest.mark.parametrize("name", ["on_connect", "on_disconnect"])
    async def test_what_cannot_be_called(self, name: str) -> None:
        wrong: Any = {name: "hello"}
        with pytest.raises(ConfigurationError, match=f"{name} is 'hello'"):
            sealframe.serve(read_all, "127.0.0.1", 0, **wrong)
        with pytest.raises(ConfigurationError, match=f"{name} is 'hello'"):
            sealframe.connect("127.0.0.1", 1, **wrong)

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_what_they_raise_is_logged_and_ends_nothing(
        self, mode: Mode, is_async: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise LookupError("of the program")

        async def fail_later(*_: object) -> None:
            await asyncio.sleep(0)
            fail()

        hook: Any = fail_later if is_async else fail

        async def echo(conn: Connection) -> None:
            async for message in conn:
                await conn.send(message)

        async with serving(mode, echo, on_connect=hook, on_disconnect=hook) as server:
            async with dial(server, mode, on_connect=hook, on_disconnect=hook) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
        failed = [record for record in caplog.records if record.exc_info]
        assert len(failed) == 4
        names = sorted(record.getMessage().split()[0] for record in failed)
        assert names == ["on_connect"] * 2 + ["on_disconnect"] * 2

    async def test_what_they_raise_does_not_fill_the_log(
        self, mode: Mode, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A peer may come as often as it likes. The same holds for handlers."""
        for module in ("aio.hooks", "server.handlers"):
            monkeypatch.setattr(f"sealframe.{module}.FAILURES", 2)
        calls = []

        def fail(*_: object) -> None:
            calls.append(1)
            raise LookupError("of the program")

        async def handler(conn: Connection) -> None:
            fail()

        async with serving(mode, handler, on_connect=fail) as server:
            for _ in range(3):
                async with dial(server, mode) as conn:
                    with pytest.raises(ConnectionClosed):
                        await conn.recv()
            await until(lambda: len(calls) == 6)
        failed = [record.getMessage()[:10] for record in caplog.records if record.exc_info]
        assert sorted(failed) == ["on_connect"] * 2 + ["the handle"] * 2

    async def test_that_the_peer_left_is_no_fault_of_theirs(
        self, mode: Mode, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def greet(conn: Connection) -> None:
            await conn.wait_closed()
            await conn.send(b"welcome")

        async with serving(mode, on_connect=greet) as server, dial(server, mode):
            await until(lambda: len(server.clients) == 1)
        assert not [record for record in caplog.records if record.exc_info]


class TestCoroutines:
    async def test_closing_waits_for_them(self, mode: Mode) -> None:
        order: list[str] = []

        def note(who: str) -> dict[str, Any]:
            async def on_connect(conn: Connection) -> None:
                await conn.wait_closed()
                await asyncio.sleep(0.01)
                order.append(f"{who} came")

            async def on_disconnect(conn: Connection, reason: Disconnect) -> None:
                await asyncio.sleep(0.01)
                order.append(f"{who} gone")

            return {"on_connect": on_connect, "on_disconnect": on_disconnect}

        async with serving(mode, **note("server")) as server:
            async with dial(server, mode, **note("client")):
                await until(lambda: len(server.clients) == 1)
            assert order[-1] == "client gone"
            await server.close()
            assert "server gone" in order
        assert order.index("client came") < order.index("client gone")
        assert order.index("server came") < order.index("server gone")

    @pytest.mark.parametrize("stuck", ["on_connect", "on_disconnect"])
    async def test_the_deadline_ends_those_that_hang(
        self, mode: Mode, stuck: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        called: list[str] = []

        async def hook(name: str) -> None:
            called.append(name)
            if name == stuck:
                await asyncio.Event().wait()

        hooks: Any = {
            "on_connect": lambda conn: hook("on_connect"),
            "on_disconnect": lambda conn, reason: hook("on_disconnect"),
        }
        async with asyncio.timeout(PATIENCE):
            async with (
                serving(mode, limits={"close_timeout": 0.3}, **hooks) as server,
                dial(server, mode, close_timeout=0.3, **hooks),
            ):
                await until(lambda: called == ["on_connect"] * 2)
        assert sorted(called) == ["on_connect"] * 2 + ["on_disconnect"] * 2
        late = [text for text in caplog.messages if f"{stuck} of connection" in text]
        assert len(late) == 2

    async def test_they_may_close_what_they_belong_to(self, mode: Mode) -> None:
        ended: list[str] = []

        async def handler(conn: Connection) -> None:
            await conn.wait_closed()

        async def on_connect(conn: Connection) -> None:
            # An extended client of a plain server has not said HELLO yet.
            await conn.recv()
            await conn.close()
            ended.append("connection")

        async def on_disconnect(conn: Connection, reason: Disconnect) -> None:
            await conn.close()
            await server.close()
            ended.append("server")

        hooks: Any = {"on_connect": on_connect, "on_disconnect": on_disconnect}
        # Less than the deadlines of the closes, which would end what waits for itself.
        async with serving(mode, handler, **hooks) as server, asyncio.timeout(PATIENCE):
            async with dial(server, mode) as conn:
                await conn.send(b"go")
                await read_all(conn)
            await until(lambda: ended == ["connection", "server"])


class TestReasons:
    """Each of them on a real connection."""

    @pytest.mark.parametrize("first", ["client", "server"])
    async def test_closed(self, mode: Mode, first: str) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(mode, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            await until(lambda: bool(theirs.came))
            if first == "client":
                await conn.close()
            else:
                closing = asyncio.create_task(theirs.came[0].close())
                await read_all(conn)
                await conn.close()
                await closing
            code = 0 if mode.has_control else None
            expected = Disconnect(DisconnectKind.CLOSED, code, "", None)
            assert await ours.reason() == await theirs.reason() == expected

    async def test_with_a_code_and_a_reason(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(mode, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            await conn.close(CloseCode.REFUSED, "not like this")
            own, told = await ours.reason(), await theirs.reason()
            assert own == Disconnect(DisconnectKind.REFUSED, 5, "not like this", None)
            if mode.has_control:
                assert (told.kind, told.code, told.text) == (own.kind, 5, "not like this")
                assert told.error is not None
            else:
                assert told.kind is DisconnectKind.CLOSED

    async def test_lost(self, mode: Mode) -> None:
        theirs = Notes()
        async with serving(mode, **theirs.hooks) as server, dialled(server, mode) as peer:
            await until(lambda: bool(theirs.came))
            peer.raw.reset()
            reason = await theirs.reason()
            assert (reason.kind, reason.code) == (DisconnectKind.LOST, None)
            assert isinstance(reason.error, TruncatedError)
            assert reason.text == str(reason.error)

    async def test_timed_out(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()
        limits = {"idle_timeout": 0.05}
        async with serving(mode, limits=limits, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            with contextlib.suppress(ConnectionClosed):
                await read_all(conn)
            await conn.close()
            reason = await theirs.reason()
            assert (reason.kind, reason.code) == (DisconnectKind.TIMED_OUT, CloseCode.TIMEOUT)
            assert isinstance(reason.error, PeerTimeoutError)
            told = DisconnectKind.TIMED_OUT if mode.has_control else DisconnectKind.CLOSED
            assert (await ours.reason()).kind is told

    async def test_kicked(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(mode, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            await until(lambda: len(server.clients) == 1)
            server.kick(theirs.came[0].id, "spam")
            with contextlib.suppress(ConnectionClosed):
                await read_all(conn)
            await conn.close()
            own, told = await theirs.reason(), await ours.reason()
            assert (own.kind, own.code, own.text) == (DisconnectKind.KICKED, 11, "spam")
            if mode.has_control:
                assert (told.kind, told.code, told.text) == (own.kind, own.code, own.text)

    async def test_slow(self, mode: Mode) -> None:
        theirs = Notes()
        limits = {"outbox_limit": 64 * 1024}
        async with serving(mode, limits=limits, **theirs.hooks) as server:
            async with dialled(server, mode, small_buffer=True):
                await until(lambda: len(server.clients) == 1)
                async with asyncio.timeout(PATIENCE):
                    while server.broadcast(bytes(32 * 1024)):  # noqa: ASYNC110
                        await asyncio.sleep(0)
                reason = await theirs.reason()
                assert (reason.kind, reason.code) == (DisconnectKind.SLOW, None)
                assert isinstance(reason.error, SlowPeerError)

    async def test_protocol(self, mode: Mode) -> None:
        theirs = Notes()
        async with serving(mode, **theirs.hooks) as server, dialled(server, mode) as peer:
            await until(lambda: bool(theirs.came))
            await peer.raw.send(b"\x01\x00\x00\x80\xff" if not mode.sealed else bytes(20))
            await peer.raw.receive_to_end()
            peer.raw.close()
            reason = await theirs.reason()
            assert reason.kind is DisconnectKind.PROTOCOL
            assert isinstance(reason.error, ProtocolError)

    async def test_going_away(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()
        async with serving(mode, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            await until(lambda: bool(theirs.came))
            reading = asyncio.create_task(read_all(conn))
            reading.add_done_callback(lambda _: closing.append(asyncio.ensure_future(conn.close())))
            closing: list[asyncio.Future[bool]] = []
            await server.close("new version")
            expected = Disconnect(DisconnectKind.GOING_AWAY, 1, "new version", None)
            assert await theirs.reason() == expected
            told = await ours.reason()
            if mode.has_control:
                assert told == expected
            await asyncio.gather(reading, *closing)

    async def test_handler_failed(self, mode: Mode) -> None:
        ours, theirs = Notes(), Notes()

        async def handler(conn: Connection) -> None:
            raise LookupError("of the program")

        async with serving(mode, handler, **theirs.hooks) as server:
            conn = await dial(server, mode, **ours.hooks)
            with contextlib.suppress(ConnectionClosed):
                await read_all(conn)
            await conn.close()
            own, told = await theirs.reason(), await ours.reason()
            assert (own.kind, own.code) == (DisconnectKind.HANDLER_FAILED, CloseCode.HANDLER)
            if mode.has_control:
                assert (told.kind, told.text) == (own.kind, own.text)

    async def test_unauthorized(
        self, sealed: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sealframe.trust.clients_file_watcher._INTERVAL", 0.01)
        ours, theirs = Notes(), Notes()
        path = let_in(tmp_path / "clients", anna=ANNA)
        identity = ServerIdentity(SERVER, path)
        async with serving(sealed, security=identity, **theirs.hooks) as server:
            anna = ClientIdentity(ANNA, server=SERVER.public_key)
            conn = await dial(server, sealed, security=anna, **ours.hooks)
            let_in(path, bert=BERT)
            with contextlib.suppress(ConnectionClosed):
                await read_all(conn)
            await conn.close()
            own, told = await theirs.reason(), await ours.reason()
            assert own.kind is told.kind is DisconnectKind.UNAUTHORIZED
            assert own.code == told.code == CloseCode.UNAUTHORIZED
            assert told.text == "the key was withdrawn"


def test_a_reason_cannot_be_changed() -> None:
    reason = Disconnect(DisconnectKind.CLOSED, None, "", None)
    with pytest.raises(AttributeError):
        reason.text = "other"  # type: ignore[misc]
