"""``async for conn in connect(...)``: it keeps trying, waits in between, and knows when to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

import pytest
from aio.ends import PATIENCE, Family, Mode, start
from aio.scripted import Peer, ScriptedListener, close_frame, dialled, listening, message, until

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConnectError,
    Connecting,
    Connection,
    ConnectionClosed,
    HandshakeError,
    SharedKey,
)

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

QUICK = ClientOptions(backoff_initial=0.001, backoff_maximum=0.002)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def failures(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    """What the client logs: one record for each attempt that failed."""
    caplog.set_level(logging.INFO, "sealframe.client")
    logger = logging.getLogger("sealframe.client")
    collector = _Collector()
    logger.addHandler(collector)
    yield collector.records
    logger.removeHandler(collector)


def delays(failures: list[logging.LogRecord]) -> list[float]:
    """Return the waits, in seconds, that were announced."""
    found = []
    for record in failures:
        assert isinstance(record.args, tuple)
        delay = record.args[1]
        assert isinstance(delay, float)
        found.append(delay)
    return found


async def echo(conn: Connection) -> None:
    async for data in conn:
        await conn.send(data)


async def accept(listener: ScriptedListener, mode: Mode) -> Peer:
    """Take the next client and introduce ourselves."""
    peer = Peer(await listener.accept(), mode, client=False)
    await peer.introduce()
    return peer


def rounds(
    port: int,
    mode: Mode,
    options: ClientOptions = QUICK,
    is_fatal: Callable[[Exception], bool] | None = None,
) -> Connecting:
    """Connect again and again."""
    return sealframe.connect("127.0.0.1", port, **mode.client, options=options, is_fatal=is_fatal)


class TestUntilConnected:
    async def test_it_keeps_trying_until_the_server_appears(
        self, mode: Mode, failures: list[logging.LogRecord], port: int
    ) -> None:

        async def use() -> None:
            async for conn in rounds(port, mode):
                await conn.send(b"at last")
                assert await conn.recv() == b"at last"
                break

        using = asyncio.ensure_future(use())
        await until(lambda: len(failures) >= 3)
        async with sealframe.serve(echo, "127.0.0.1", port, **mode.server):
            await using
        assert all("127.0.0.1" in record.getMessage() for record in failures)

    async def test_a_unix_socket_that_appears(
        self,
        mode: Mode,
        failures: list[logging.LogRecord],
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        family = Family("unix", tmp_path_factory.mktemp("s") / "s")
        assert family.path is not None

        async def use() -> None:
            async for conn in sealframe.connect(path=family.path, **mode.client, options=QUICK):
                await conn.send(b"at last")
                assert await conn.recv() == b"at last"
                break

        using = asyncio.ensure_future(use())
        await until(lambda: len(failures) >= 3)
        async with start(echo, mode, family):
            await using

    async def test_a_full_server_is_no_reason_to_stop(
        self, sealed: Mode, failures: list[logging.LogRecord]
    ) -> None:
        options = sealframe.ServerOptions(max_connections=1)
        async with start(echo, sealed, options=options) as server:

            async def use() -> None:
                async for conn in rounds(server.port, sealed):
                    await conn.send(b"my turn")
                    assert await conn.recv() == b"my turn"
                    break

            async with dialled(server, sealed):
                using = asyncio.ensure_future(use())
                await until(lambda: len(failures) >= 2)
            # The peer has left without a CLOSE, and there is room again.
            await using


class TestAgain:
    @pytest.mark.parametrize("cut", ["reset", "end"])
    async def test_it_connects_again_when_the_link_is_gone(self, mode: Mode, cut: str) -> None:
        received: list[bytes] = []
        ids: list[str] = []

        async def use(port: int) -> None:
            async for conn in rounds(port, mode):
                ids.append(f"{id(conn)}")
                try:
                    async for data in conn:
                        received.append(data)
                        if data == b"3":
                            return
                except ConnectionClosed:
                    continue

        async with listening() as listener:
            using = asyncio.ensure_future(use(listener.port))
            for number in (b"1", b"2", b"3"):
                peer = await accept(listener, mode)
                await peer.write(message(number))
                await until(lambda done=number: done in received)  # type: ignore[misc]
                if cut == "reset":
                    peer.raw.reset()
                else:
                    with contextlib.suppress(ConnectionError):
                        await peer.say_end()
                        await peer.await_end()
                    peer.raw.close()
            await using
        assert received == [b"1", b"2", b"3"]
        assert len(ids) == 3

    async def test_each_connection_is_closed_before_the_next(self, mode: Mode) -> None:
        seen: list[Connection] = []

        async def handler(conn: Connection) -> None:
            async for _ in conn:
                pass

        async with start(handler, mode) as server:
            async for conn in rounds(server.port, mode):
                for earlier in seen:
                    with pytest.raises(ConnectionClosed):
                        await earlier.send(b"")
                seen.append(conn)
                await until(lambda: len(server.clients) == 1)
                if len(seen) == 4:
                    break
            await until(lambda: not server.clients)
        assert len({conn.id for conn in seen}) == 4

    async def test_an_error_in_the_body_passes_and_closes(self, mode: Mode) -> None:
        async with start(echo, mode) as server:
            given: list[Connection] = []
            with pytest.raises(LookupError):
                async for conn in rounds(server.port, mode):
                    given.append(conn)
                    raise LookupError
            await given[0].wait_closed()

    async def test_even_a_server_that_always_hangs_up_is_not_besieged(self, mode: Mode) -> None:
        async def hang_up(conn: Connection) -> None:
            await conn.recv()

        options = ClientOptions(backoff_initial=0.02, backoff_factor=1, backoff_maximum=0.02)
        async with start(hang_up, mode) as server:
            started = time.monotonic()
            count = 0
            async for conn in rounds(server.port, mode, options):
                await conn.send(b"hello")
                assert [data async for data in conn] == []
                count += 1
                if count == 5:
                    break
            # Four waits between five connections, each at least half of the mean.
            assert time.monotonic() - started >= 4 * 0.01


class TestWaits:
    async def test_they_grow_and_are_bounded(
        self, failures: list[logging.LogRecord], port: int
    ) -> None:
        initial, factor, maximum = 0.0005, 2.0, 0.01
        options = ClientOptions(
            backoff_initial=initial, backoff_factor=factor, backoff_maximum=maximum
        )
        enough = 12
        started = time.monotonic()
        with pytest.raises(ConnectError):
            async for _ in rounds(port, Mode(), options, lambda _: len(failures) == enough):
                pytest.fail("nobody listens there")
        waits = delays(failures)
        assert time.monotonic() - started >= sum(waits)
        assert len(waits) == enough
        for number, wait in enumerate(waits):
            mean = min(initial * factor**number, maximum)
            assert 0.5 * mean <= wait <= min(1.5 * mean, maximum)
        assert len(set(waits[:5])) == 5

    async def test_jitter_differs_between_clients(
        self, failures: list[logging.LogRecord], port: int
    ) -> None:
        options = ClientOptions(backoff_initial=0.01, backoff_factor=1)
        for count in range(1, 5):
            with pytest.raises(ConnectError):
                async for _ in rounds(port, Mode(), options, lambda _: len(failures) == count):  # noqa: B023
                    pytest.fail("nobody listens there")
        assert len(set(delays(failures))) == 4

    async def test_a_lasting_connection_starts_them_anew(
        self, mode: Mode, failures: list[logging.LogRecord], port: int
    ) -> None:
        options = ClientOptions(backoff_initial=0.0005, backoff_maximum=0.03)
        connections = 0

        async def use() -> None:
            nonlocal connections
            async for conn in rounds(port, mode, options):
                connections += 1
                if connections == 2:
                    break
                # Longer than the longest wait.
                await asyncio.sleep(0.04)
                with contextlib.suppress(ConnectionClosed):
                    await conn.recv()

        using = asyncio.ensure_future(use())
        await until(lambda: len(failures) >= 10)
        assert delays(failures)[9] >= 0.015
        async with listening(port=port) as listener:
            peer = await accept(listener, mode)
            before = len(failures)
        peer.raw.close()
        await until(lambda: len(failures) >= before + 1)
        # The one after the connection was the initial one; this is the next.
        assert delays(failures)[before] <= 1.5 * 0.001
        async with sealframe.serve(echo, "127.0.0.1", port, **mode.server):
            await using

    async def test_one_can_be_cancelled(self, failures: list[logging.LogRecord], port: int) -> None:
        options = ClientOptions(backoff_initial=1000, backoff_maximum=1000)

        async def use() -> None:
            async for _ in rounds(port, Mode(), options):
                pytest.fail("nobody listens there")

        using = asyncio.ensure_future(use())
        await until(lambda: len(failures) == 1)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using

    async def test_a_handshake_can_be_cancelled(self, sealed: Mode) -> None:
        async with listening() as listener:

            async def use() -> None:
                async for _ in rounds(listener.port, sealed):
                    pytest.fail("no handshake was done")

            using = asyncio.ensure_future(use())
            async with await listener.accept() as raw:
                await raw.receive_exactly(4)
                using.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await using
                await raw.receive_to_end()


class TestFatal:
    async def test_the_hook_sees_every_error_and_decides(self, mode: Mode, port: int) -> None:
        seen: list[Exception] = []

        def third(error: Exception) -> bool:
            seen.append(error)
            return len(seen) == 3

        with pytest.raises(ConnectError) as caught:
            async for _ in rounds(port, mode, is_fatal=third):
                pytest.fail("nobody listens there")
        assert len(seen) == 3
        assert seen[-1] is caught.value
        assert all(isinstance(error, ConnectError) for error in seen)

    async def test_the_hook_decides_after_a_success_too(self, mode: Mode) -> None:
        connections = 0
        async with listening() as listener:
            accepting = asyncio.ensure_future(accept(listener, mode))

            async def use() -> None:
                nonlocal connections
                async for conn in rounds(listener.port, mode, is_fatal=lambda _: True):
                    connections += 1
                    with contextlib.suppress(ConnectionClosed):
                        await conn.recv()

            using = asyncio.ensure_future(use())
            peer = await accepting
        peer.raw.close()
        with pytest.raises(ConnectError):
            await using
        assert connections == 1

    async def test_an_error_of_the_hook_passes(self, port: int) -> None:
        def broken(_: Exception) -> bool:
            raise LookupError

        with pytest.raises(LookupError):
            async for _ in rounds(port, Mode(), is_fatal=broken):
                pytest.fail("nobody listens there")

    async def test_a_wrong_key_is_fatal_at_first(
        self, sealed: Mode, failures: list[logging.LogRecord]
    ) -> None:
        async with start(echo, sealed) as server:
            with pytest.raises(HandshakeError, match="the key and the context") as caught:
                async for _ in sealframe.connect(
                    "127.0.0.1", server.port, security=SharedKey.generate(), options=QUICK
                ):
                    pytest.fail("the key is wrong")
            assert caught.value.code == CloseCode.REFUSED
        assert failures == []

    async def test_a_wrong_key_is_tried_again_if_the_hook_says_so(self, sealed: Mode) -> None:
        codes: list[int | None] = []

        def never(error: Exception) -> bool:
            assert isinstance(error, HandshakeError)
            codes.append(error.code)
            return len(codes) == 3

        async with start(echo, sealed) as server:
            with pytest.raises(HandshakeError):
                async for _ in sealframe.connect(
                    "127.0.0.1",
                    server.port,
                    security=SharedKey.generate(),
                    options=QUICK,
                    is_fatal=never,
                ):
                    pytest.fail("the key is wrong")
        assert codes == [CloseCode.REFUSED] * 3

    @pytest.mark.parametrize("code", [CloseCode.REFUSED, CloseCode.VERSION, CloseCode.PLAIN])
    async def test_a_refusal_after_a_success_may_be_forged(
        self, sealed: Mode, code: CloseCode, failures: list[logging.LogRecord]
    ) -> None:
        received: list[bytes] = []

        async def use(port: int) -> None:
            async for conn in rounds(port, sealed):
                assert conn.sealed
                try:
                    async for data in conn:
                        received.append(data)
                        if data == b"after":
                            return
                except ConnectionClosed:
                    continue

        async with listening() as listener:
            using = asyncio.ensure_future(use(listener.port))
            peer = await accept(listener, sealed)
            await peer.write(message(b"before"))
            await until(lambda: received == [b"before"])
            peer.raw.close()
            for _ in range(3):
                async with await listener.accept() as raw:
                    await raw.receive_exactly(4 + 1 + 10 + 1248)
                    await raw.send(close_frame(code))
                    # It never falls back to plain.
                    assert await raw.receive_to_end() == b""
            peer = await accept(listener, sealed)
            await peer.write(message(b"after"))
            await until(lambda: received == [b"before", b"after"])
            peer.raw.close()
            async with asyncio.timeout(PATIENCE):
                await using
        assert len(failures) == 3

    async def test_the_same_refusal_at_first_is_fatal(self, sealed: Mode) -> None:
        async with listening() as listener:

            async def use() -> None:
                async for _ in rounds(listener.port, sealed):
                    pytest.fail("it was refused")

            using = asyncio.ensure_future(use())
            async with await listener.accept() as raw:
                await raw.receive_exactly(4)
                await raw.send(close_frame(CloseCode.REFUSED))
                with pytest.raises(HandshakeError):
                    await using
            assert not listener.has_waiting()


class TestIsFatal:
    @pytest.mark.parametrize(
        ("error", "fatal"),
        [
            (ConnectError(111, "refused"), False),
            (sealframe.ConnectTimeoutError("too late"), False),
            (sealframe.TruncatedError("cut"), False),
            (sealframe.HandshakeTimeoutError("silent"), False),
            (HandshakeError("hung up"), False),
            (HandshakeError("busy", code=CloseCode.BUSY), False),
            (HandshakeError("refused", code=CloseCode.REFUSED), True),
            (HandshakeError("version", code=CloseCode.VERSION), True),
            (HandshakeError("plain", code=CloseCode.PLAIN), True),
            (HandshakeError("unauthorised", code=CloseCode.UNAUTHORIZED), True),
            (ValueError("a mistake"), True),
        ],
        ids=str,
    )
    async def test_which_errors_waiting_cannot_mend(self, error: Exception, fatal: bool) -> None:
        assert sealframe.is_fatal(error) is fatal
