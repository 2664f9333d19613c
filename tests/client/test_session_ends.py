"""What ends a session at the client, and what does not: every call that waits hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode
from aio.scripted import Peer, ScriptedListener, listening, until

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    Connection,
    ConnectionClosedOK,
    HandshakeError,
    SessionLostError,
    Sessions,
)
from sealframe.client import suspend
from sealframe.wire import Control, Opcode, control
from sealframe.wire.control import Close, Hello, SessionHello, SessionWelcome

pytestmark = pytest.mark.usefixtures("no_leaks")

ANY_LOOP = True

EXTENDED = Mode("extended")
QUICK = ClientOptions(
    backoff_initial=0.001, backoff_maximum=0.01, outbox_limit=2000, close_timeout=60
)
WELCOME = SessionWelcome(
    numbering=7, received=0, acknowledged=0, credit=65536, taken=0, keep=60, ack_by=4096
)


def welcome(session: SessionWelcome | None = WELCOME) -> Hello:
    """Return what the scripted server says of itself."""
    field = b"" if session is None else session.encode()
    return Hello(window=65536, max_streams=8, max_requests=8, session=field)


class Script:
    """A client with a session, and the server that does what the test says."""

    def __init__(self, listener: ScriptedListener, peer: Peer, conn: Connection) -> None:
        self._listener = listener
        self.peer = peer
        """The server's end of the present link."""
        self.conn = conn
        self.hello = SessionHello.decode(peer.welcome.session if peer.welcome else b"")

    async def next(self, *, reset: bool = True) -> None:
        """Take the next link up to HELLO.

        :param reset: whether the one before is cut here, or is gone already
        """
        before = self.peer
        if reset:
            before.raw.reset()
        self.peer = Peer(await self._listener.accept(), EXTENDED, client=False)
        before.raw.close()
        frame = await self.peer.read()
        assert isinstance(frame, Control)
        self.hello = SessionHello.decode(Hello.decode(frame.body).session)

    async def resume(self, **changes: Any) -> None:
        """Go on over the link."""
        session = replace(WELCOME, **changes)
        await self.peer.write(control.frame(Opcode.WELCOME, welcome(session).encode()))


@asynccontextmanager
async def script(options: ClientOptions = QUICK) -> AsyncIterator[Script]:
    """Begin a session."""
    async with listening() as listener:
        connecting = sealframe.connect("127.0.0.1", listener.port, session=True, options=options)
        dialling = asyncio.ensure_future(connecting.__aenter__())
        peer = Peer(await listener.accept(), EXTENDED, client=False)
        await peer.introduce(welcome())
        made = Script(listener, peer, await dialling)
        try:
            yield made
        finally:
            made.peer.raw.close()
            # No further attempt is waited for.
            await made.conn.close(CloseCode.KICKED)


def refusal(code: int, received: int | None = None) -> bytes:
    return control.frame(Opcode.CLOSE, Close(code, "", received).encode())


def introduction(session: SessionWelcome | None) -> bytes:
    return control.frame(Opcode.WELCOME, welcome(session).encode())


ENDS: dict[str, tuple[bytes, int]] = {
    "lost": (refusal(CloseCode.SESSION_LOST), CloseCode.SESSION_LOST),
    "superseded": (refusal(CloseCode.SUPERSEDED), CloseCode.SUPERSEDED),
    "kicked before": (refusal(CloseCode.KICKED, 0), CloseCode.KICKED),
    "gone away before": (refusal(CloseCode.GOING_AWAY, 0), CloseCode.GOING_AWAY),
    "no sessions": (introduction(None), CloseCode.NORMAL),
    "begun anew": (introduction(replace(WELCOME, numbering=8, taken=99)), CloseCode.SESSION_LOST),
    "received too much": (introduction(replace(WELCOME, received=99)), CloseCode.SESSION_LOST),
    "malformed": (introduction(replace(WELCOME, numbering=0)), CloseCode.PROTOCOL),
    "before": (introduction(replace(WELCOME, before=1)), CloseCode.PROTOCOL),
}
"""Answers to HELLO after which nothing helps, and the code that the program sees."""


async def iterate(conn: Connection) -> None:
    async for _ in conn:
        raise AssertionError


async def fill(conn: Connection) -> None:
    while True:
        await conn.send(bytes(500))


async def stream(conn: Connection) -> None:
    async with await conn.open_stream() as opened:
        await opened.read()


WAITING: dict[str, Callable[[Connection], Any]] = {
    "recv": lambda conn: conn.recv(),
    "async for": iterate,
    "send": fill,
    "request": lambda conn: conn.request(b"?"),
    "stream": stream,
    "file": lambda conn: conn.send_file(Path(__file__)),
    "ping": lambda conn: conn.ping(),
}


async def wait_in_each(conn: Connection) -> dict[str, asyncio.Task[Any]]:
    """Have a task wait in each call."""
    tasks = {
        name: asyncio.create_task(wait(conn))
        for name, wait in (*WAITING.items(), ("wait_closed", lambda conn: conn.wait_closed()))
    }
    for _ in range(20):
        await asyncio.sleep(0)
    assert not [name for name, task in tasks.items() if task.done()]
    return tasks


async def check_each(tasks: dict[str, asyncio.Task[Any]], code: int) -> None:
    """Check that all have ended, with the same error."""
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    texts = set()
    for name, result in zip(tasks, results, strict=True):
        if name == "wait_closed":
            assert result is None
            continue
        assert isinstance(result, SessionLostError), (name, result)
        assert result.code == code, (name, result)
        texts.add(str(result))
    assert len(texts) == 1


async def test_the_first_hello_says_the_first_window_as_its_credit() -> None:
    async with script() as made:
        hello = made.peer.welcome
        assert hello is not None
        assert made.hello.credit == hello.window != 0


@pytest.mark.parametrize("end", ENDS)
async def test_an_answer_that_nothing_cures_ends_every_call(end: str) -> None:
    answer, code = ENDS[end]
    async with script() as made:
        tasks = await wait_in_each(made.conn)
        await made.next()
        await made.peer.write(answer)
        await check_each(tasks, code)
        assert made.conn.closed
        with pytest.raises(SessionLostError) as lost:
            await made.conn.send(b"")
        error = lost.value
        assert error.arrived == 0
        assert error.unknown + error.unsent > 0


@pytest.mark.parametrize("code", [CloseCode.KICKED, CloseCode.PROTOCOL, CloseCode.SLOW])
async def test_a_close_on_a_link_that_was_up_ends_every_call(code: CloseCode) -> None:
    async with script() as made:
        tasks = await wait_in_each(made.conn)
        await made.peer.write(refusal(code, 0))
        await check_each(tasks, code)


async def test_a_fault_of_the_server_ends_every_call() -> None:
    async with script() as made:
        tasks = await wait_in_each(made.conn)
        await made.peer.write(control.ack(1000))
        close = Close.decode(await made.peer.read_opcode(Opcode.CLOSE))
        assert close.code == CloseCode.PROTOCOL
        made.peer.raw.finish()
        await check_each(tasks, CloseCode.PROTOCOL)


@pytest.mark.parametrize("end", ENDS)
async def test_close_does_not_wait_for_a_session_that_is_over(end: str) -> None:
    async with script() as made:
        await made.conn.send(b"never acknowledged")
        closing = asyncio.create_task(made.conn.close())
        await made.next()
        await made.peer.write(ENDS[end][0])
        async with asyncio.timeout(PATIENCE):
            assert not await closing


@pytest.mark.parametrize("received", [1, 0])
async def test_a_link_that_ends_before_all_is_acknowledged_is_made_again(received: int) -> None:
    """The server has closed, and what the client sent was on the way by then."""
    async with script() as made:
        await made.conn.send(b"on the way")
        receiving = asyncio.create_task(made.conn.recv())
        await made.peer.write(refusal(CloseCode.NORMAL, 0))
        await made.peer.read_opcode(Opcode.CLOSE)
        made.peer.raw.finish()
        await until(lambda: not made.conn.connected)
        assert not made.conn.closed
        async with asyncio.timeout(PATIENCE):
            await made.next(reset=False)
            await made.peer.write(refusal(CloseCode.NORMAL, received))
            if received:
                with pytest.raises(ConnectionClosedOK):
                    await receiving
            else:
                with pytest.raises(SessionLostError) as lost:
                    await receiving
                assert (lost.value.arrived, lost.value.unknown) == (0, 1)
            assert await made.conn.close() is bool(received)


FAULTS: dict[str, bytes] = {
    "nothing": b"",
    "going away": refusal(CloseCode.GOING_AWAY),
    "busy": refusal(CloseCode.BUSY),
    "refused": refusal(CloseCode.REFUSED),
    "sealed": refusal(CloseCode.SEALED),
    "another program": b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n",
}
"""What whatever stands there for the moment may answer, on a plain link."""


@pytest.mark.parametrize("fault", FAULTS)
async def test_other_answers_cost_an_attempt_alone(fault: str) -> None:
    async with script() as made:
        receiving = asyncio.create_task(made.conn.recv())
        await made.next()
        first = made.hello.link
        await made.peer.write(FAULTS[fault])
        made.peer.raw.finish()
        await made.next()
        assert made.hello.link > first
        await made.resume()
        await made.peer.write(b"\x02\x00\x00\x00hi")
        async with asyncio.timeout(PATIENCE):
            assert await receiving == b"hi"


async def test_a_request_may_run_out_of_time_without_a_link() -> None:
    async with script() as made:
        asking = asyncio.create_task(made.conn.request(b"?", timeout=0.05))
        await made.next()
        with pytest.raises(sealframe.RequestTimeoutError):
            await asking
        await made.resume()
        await made.peer.read_opcode(Opcode.CANCEL)


async def test_other_times_stand_still_without_a_link() -> None:
    options = replace(QUICK, keepalive_interval=0.02, keepalive_timeout=0.02, idle_timeout=0.1)
    async with script(options) as made:
        await made.next()
        # Longer than all of them together.
        await asyncio.sleep(0.3)
        receiving = asyncio.create_task(made.conn.recv())
        await made.resume()
        await made.peer.write(b"\x02\x00\x00\x00hi")
        async with asyncio.timeout(PATIENCE):
            assert await receiving == b"hi"


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how many seconds the machine has slept."""
    seconds = [100.0]
    monkeypatch.setattr(suspend, "INTERVAL", 0.01)
    monkeypatch.setattr(suspend, "asleep", lambda: seconds[0])
    return seconds


async def test_a_link_is_probed_at_once_after_a_suspend(slept: list[float]) -> None:
    options = replace(QUICK, keepalive_interval=600, keepalive_timeout=0.05)
    async with script(options) as made:
        slept[0] += 3600
        await made.peer.read_opcode(Opcode.PING)
        # Nobody answers.
        await made.next(reset=False)
        await made.resume()
        await made.peer.write(b"\x02\x00\x00\x00hi")
        async with asyncio.timeout(PATIENCE):
            assert await made.conn.recv() == b"hi"


async def test_no_link_is_probed_that_has_said_close(
    slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = list[float]()

    def look() -> float:
        looks.append(slept[0])
        return slept[0]

    monkeypatch.setattr(suspend, "asleep", look)
    failures = list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    options = replace(QUICK, keepalive_interval=600)
    async with script(options) as made:
        closing = asyncio.create_task(made.conn.close())
        await made.peer.read_opcode(Opcode.CLOSE)
        slept[0] += 3600
        await until(lambda: looks[-2:] == [slept[0]] * 2)
        await made.peer.say_end()
        made.peer.raw.finish()
        assert await made.peer.read_to_end() == []
        made.peer.raw.close()
        async with asyncio.timeout(PATIENCE):
            assert await closing
    assert failures == []


async def test_a_wait_ends_with_a_suspend(slept: list[float]) -> None:
    options = replace(QUICK, backoff_initial=600, backoff_maximum=600)
    async with script(options) as made:
        made.peer.raw.reset()
        await until(lambda: not made.conn.connected)
        slept[0] += 3600
        await made.next(reset=False)
        await made.resume()
        await made.peer.write(b"\x02\x00\x00\x00hi")
        async with asyncio.timeout(PATIENCE):
            assert await made.conn.recv() == b"hi"


async def handler(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
async def test_a_server_without_sessions_is_one_error_at_once(sealed: bool) -> None:
    mode = Mode("sealed") if sealed else Mode()
    options = ClientOptions(close_timeout=60, handshake_timeout=60)
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, **mode.server) as server,
        asyncio.timeout(PATIENCE),
    ):
        connecting = sealframe.connect(
            "127.0.0.1", server.port, session=True, options=options, **mode.client
        )
        with pytest.raises(HandshakeError, match="the server keeps no sessions"):
            await connecting
        with pytest.raises(HandshakeError, match="the server keeps no sessions"):
            async for _ in connecting:
                raise AssertionError


async def test_a_server_with_sessions_takes_clients_without() -> None:
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, sessions=Sessions()) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True) as conn,
        asyncio.timeout(PATIENCE),
    ):
        await conn.send(b"hi")
        assert await conn.recv() == b"hi"
