"""What a program raises is told to the peer as a failure, and logged, whatever it is."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys

import pytest

import sealframe
from sealframe import CloseCode, Connection, ConnectionClosedError, RemoteError, StreamResetError
from sealframe.wire import ResetCode

from .ends import PATIENCE, Mode, dial
from .scripted import Raw

ANY_LOOP = True

pytestmark = pytest.mark.usefixtures("no_leaks")


class PanicError(BaseException):
    """As extension modules raise it."""


async def fail(*_: object) -> None:
    await asyncio.sleep(0)
    raise PanicError("lost")


def failures(caplog: pytest.LogCaptureFixture) -> list[type[BaseException] | None]:
    """What the log has tracebacks of."""
    return [
        record.exc_info[0]
        for record in caplog.records
        if record.levelno == logging.ERROR and record.exc_info
    ]


async def test_of_a_handler(control_mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    async with (
        sealframe.serve(fail, "127.0.0.1", 0, **control_mode.server) as server,
        dial(server, control_mode) as conn,
    ):
        with pytest.raises(ConnectionClosedError, match="the handler failed") as caught:
            await conn.recv()
        assert caught.value.code == CloseCode.HANDLER
    assert failures(caplog) == [PanicError]


async def test_of_an_async_on_message(control_mode: Mode, caplog: pytest.LogCaptureFixture) -> None:
    async def on_message(conn: Connection, message: bytes) -> None:
        await fail()

    serving = sealframe.serve(
        host="127.0.0.1", port=0, **control_mode.server, on_message=on_message
    )
    async with serving as server, dial(server, control_mode) as conn:
        await conn.send(b"")
        with pytest.raises(ConnectionClosedError) as caught:
            await conn.recv()
        assert caught.value.code == CloseCode.HANDLER
    assert failures(caplog) == [PanicError]


async def test_who_made_on_message_fail_is_listed_no_longer() -> None:
    """Though it does not answer the close yet."""
    failed = asyncio.Event()

    def on_message(conn: Connection, message: bytes) -> None:
        failed.set()
        raise PanicError("lost")

    serving = sealframe.serve(host="127.0.0.1", port=0, on_message=on_message)
    async with serving as server, await Raw.dial(server.port) as raw:
        await raw.send(bytes(4))
        await failed.wait()
        assert not server.clients
        raw.reset()


async def test_of_what_serves_a_stream(
    control_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    serving = sealframe.serve(None, "127.0.0.1", 0, **control_mode.server, on_stream=fail)
    async with serving as server, dial(server, control_mode) as conn:
        stream = await conn.open_stream()
        with pytest.raises(StreamResetError) as caught:
            await stream.read()
        assert caught.value.code == ResetCode.FAILED
    assert failures(caplog) == [PanicError]


@pytest.mark.parametrize("waits", [False, True])
async def test_of_what_answers_a_request(
    control_mode: Mode, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def on_request(conn: Connection, payload: bytes) -> None:
        if waits:
            await asyncio.sleep(0)
        raise PanicError("lost")

    serving = sealframe.serve(None, "127.0.0.1", 0, **control_mode.server, on_request=on_request)
    async with serving as server, dial(server, control_mode) as conn:
        with pytest.raises(RemoteError, match="PanicError: lost"):
            await conn.request(b"")
    assert failures(caplog) == [PanicError]


PROGRAM = """
import asyncio, sys
import sealframe

def end():
    raise {error}

async def handler(conn):
    await conn.recv()
    end()

async def on_request(conn, payload):
    end()

async def on_stream(stream):
    end()

async def main():
    serving = sealframe.serve(
        handler, "127.0.0.1", 0, on_request=on_request, on_stream=on_stream
    )
    async with serving as server:
        print(server.port, flush=True)
        await server.serve_forever()

asyncio.run(main())
"""


async def told(conn: Connection, way: str) -> object:
    """Make the server's program end; return what this end gets of it."""
    match way:
        case "handler":
            await conn.send(b"")
            with pytest.raises(ConnectionClosedError) as closed:
                await conn.recv()
            return closed.value.code
        case "request":
            with pytest.raises(RemoteError) as failed:
                await conn.request(b"")
            return failed.value.type
    stream = await conn.open_stream()
    with pytest.raises(StreamResetError) as reset:
        await stream.read()
    return reset.value.code


@pytest.mark.parametrize(
    ("error", "status"),
    [("SystemExit(3)", 3), ("KeyboardInterrupt", -2)],
    ids=["exit", "interrupt"],
)
@pytest.mark.parametrize("way", ["handler", "request", "stream"])
async def test_of_what_ends_the_program(error: str, status: int, way: str) -> None:
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM.format(error=error),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stderr is not None
    async with asyncio.timeout(PATIENCE):
        port = int(await program.stdout.readline())
        async with sealframe.connect("127.0.0.1", port, extended=True) as conn:
            expected = {
                "handler": CloseCode.HANDLER,
                "request": error.partition("(")[0],
                "stream": ResetCode.FAILED,
            }
            assert await told(conn, way) == expected[way]
        log = (await program.stderr.read()).decode()
        # Windows has no signal to end by.
        assert await program.wait() in (status, 130, 0xC000013A)
    assert "failed" in log
