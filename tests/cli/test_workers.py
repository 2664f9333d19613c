"""``serve --workers``: processes that are one relay on one port."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

import sealframe
from sealframe import (
    ClientOptions,
    ConnectError,
    Connection,
    ConnectionClosed,
    ListenError,
    SealframeError,
)
from sealframe.cli.address import TcpAddress
from sealframe.cli.commands import sealframe_command
from sealframe.cli.workers.port import Reservation

from .commands import PATIENCE, Program, outcome, running

resource = pytest.importorskip("resource", reason="it is of Unix")
pytest.importorskip("nats", reason="nats-py is not installed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other kernels share otherwise")

OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.1, close_timeout=0.5)


class Workers:
    """A relay of several processes.

    :ivar processes: their numbers, of worker 1 first
    :ivar said: the lines until those are told
    """

    def __init__(self, program: Program, processes: list[int], port: int, said: list[str]) -> None:
        self.program = program
        self.said = said
        self.processes = processes
        self.port = port

    def connect(self, *, session: bool = False) -> sealframe.Connecting:
        """Return a client to be."""
        return sealframe.connect(
            "127.0.0.1", self.port, extended=True, session=session, options=OPTIONS
        )

    async def joined(self) -> int:
        """Return at which worker the next client is."""
        line = (await self.program.lines_until(" joined from "))[-1]
        match = re.match(r"\[(\d)\] ", line)
        assert match is not None, line
        return int(match[1])

    async def one_at_each(self, stack: AsyncExitStack) -> list[Connection]:
        """Connect clients until each of two workers has one."""
        found: dict[int, Connection] = {}
        while len(found) < 2:
            conn = await stack.enter_async_context(self.connect())
            found[await self.joined()] = conn
        return [found[1], found[2]]


@asynccontextmanager
async def workers(*options: object) -> AsyncIterator[Workers]:
    """Run a relay of two processes."""
    async with (
        asyncio.timeout(2 * PATIENCE),
        running("serve", "127.0.0.1:0", "--workers", 2, *options) as program,
    ):
        said = await program.lines_until("are the processes")
        told = said[-1]
        processes = [int(id) for id in re.findall(r"\d+", told.partition("processes")[2])]
        port = int((await program.lines_until("relay of 2 processes, "))[-1].rpartition(":")[2])
        await program.lines_until("Ctrl-C ends it.")
        try:
            yield Workers(program, processes, port, said)
        finally:
            # One that a test has stopped would not notice that its parent is gone.
            if program.process.returncode is None:
                for id in processes:
                    with suppress(ProcessLookupError):
                        os.kill(id, signal.SIGKILL)


async def test_one_is_killed_and_the_relay_goes_on() -> None:
    """Also while the system has no room for another one."""
    async with workers() as relay, AsyncExitStack() as stack:
        one, two = await relay.one_at_each(stack)
        await one.send(b"to the other process")
        assert await two.recv() == f"{one.id}: to the other process".encode()
        parent = relay.program.process.pid
        limits = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (3, limits[1]))
        os.kill(relay.processes[0], signal.SIGKILL)
        with pytest.raises(ConnectionClosed):
            await one.recv()
        # Whoever comes back comes to another one.
        async for again in relay.connect():
            assert await relay.joined() == 2
            await again.send(b"back")
            assert await two.recv() == f"{again.id}: back".encode()
            await again.close()
            break
        assert re.fullmatch(
            rf"sealframe: worker 1 \(process {relay.processes[0]}\) was ended by signal 9 "
            r"\(Killed\); it is started again",
            await relay.program.error_line(),
        )
        assert await relay.program.error_line() == (
            "sealframe: worker 1 cannot be started: Too many open files; it is tried again"
        )
        resource.prlimit(parent, resource.RLIMIT_NOFILE, limits)
        # And to the new one, once it is there.
        async for conn in relay.connect():
            await stack.enter_async_context(conn)
            if await relay.joined() == 1:
                break
        done = await relay.program.end_by(signal.SIGINT)
        assert (done.code, done.errors) == (130, "")
        assert done.output.endswith("all 2 processes have stopped in order\n")


async def test_their_status_is_for_this_user_alone() -> None:
    """Nobody else is told the URL of their NATS, which is in no list of processes."""
    async with workers() as relay:
        (line,) = [line for line in relay.said if "--url-file" in line]
        file = Path(line.rpartition(" ")[2])
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        done = await outcome("cluster", "status", "--url-file", file)
        assert (done.code, done.errors) == (0, "")
        _, *rows = done.output.splitlines()
        assert {re.sub(r".*?:(\d+) .*", r"\1", row) for row in rows} == set(
            map(str, relay.processes)
        )
        await relay.program.end_by(signal.SIGINT)
        assert not file.parent.exists()


async def test_sessions_move_when_one_is_stopped_and_wait_when_all_are() -> None:
    async with workers("--sessions", 60, "--grace", 10) as relay:
        conn = await relay.connect(session=True)
        here = await relay.joined()
        sent = 0

        async def load() -> None:
            nonlocal sent
            with suppress(SealframeError):
                while True:
                    await conn.send(b"%d" % sent)
                    sent += 1
                    await asyncio.sleep(0.001)

        loading = asyncio.create_task(load())
        os.kill(relay.processes[here - 1], signal.SIGTERM)
        lines = await relay.program.lines_until("joined from")
        assert lines[-1].startswith(f"[{3 - here}] ")
        while "ended with status 0; it is started again" not in await relay.program.error_line():
            pass
        lines += [await relay.program.line() for _ in range(50)]
        done = await relay.program.end_by(signal.SIGTERM)
        # It looks for the relay until then, and has what the relay has not taken.
        await conn.close()
        await loading
        assert done.code == 0
        lines += done.output.splitlines()
        assert lines[-1] == "all 2 processes have stopped in order"
        taken = [int(match[1]) for line in lines if (match := re.search(r": (\d+)$", line))]
        # Each message once and in order.
        assert taken == list(range(len(taken)))
        assert sent >= len(taken) > 50


async def test_one_that_ends_at_once_again_and_again_ends_all(key_file: Path) -> None:
    async with workers("--key", key_file) as relay:
        key_file.unlink()
        os.kill(relay.processes[1], signal.SIGKILL)
        done = await relay.program.end()
        *lines, last = done.errors.splitlines()
        assert done.code == 3
        assert "the 5th time in a row that it ends at once: all of them are stopped" in last
        # The one that is killed may have lived long enough not to count.
        again = sum("it is started again" in line for line in lines)
        assert again in (4, 5)
        assert sum(line.startswith("sealframe: [2] ") for line in lines) == again


async def test_one_that_hangs_is_killed() -> None:
    async with workers("--grace", 0) as relay:
        os.kill(relay.processes[0], signal.SIGSTOP)
        done = await relay.program.end_by(signal.SIGTERM)
        assert done.code == 1
        assert re.search(r"worker 1 .* did not stop within 2 s, and is killed", done.errors)


async def test_none_stays_behind_a_parent_that_is_killed() -> None:
    async with workers() as relay:
        relay.program.process.kill()
        # Their end is that of the pipes, too.
        done = await relay.program.end()
        assert done.code == -signal.SIGKILL
        with pytest.raises(ConnectError):
            await relay.connect()


async def test_one_whose_parent_was_killed_before_it_had_its_job() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sealframe.cli.workers"), stdin=theirs.fileno()
        )
    try:
        async with asyncio.timeout(PATIENCE):
            assert await process.wait() == 1
    finally:
        if process.returncode is None:
            process.kill()


async def test_nobody_reads_the_output() -> None:
    """They end, as one process would: each of them that says something does."""
    async with workers("--grace", 0) as relay:
        relay.program.close_output()
        with pytest.raises(SealframeError):
            async with relay.connect() as conn:
                # That it has joined may be said before the pipe is closed, a turn later.
                while True:
                    await conn.send(b"anybody there?")
                    await asyncio.sleep(0.01)
        done = await relay.program.end()
        assert done.code == 1
        assert "nobody reads the output: all of them are stopped" in done.errors
        assert "started again" not in done.errors


async def test_what_is_wrong_for_all_is_told_once() -> None:
    done = await outcome("serve", "127.0.0.1:0", "--workers", 3, "--cluster", "ftp://127.0.0.1")
    assert done.code == 1
    told, last = done.errors.splitlines()
    assert told.startswith("sealframe: [1] a URL of NATS cannot be used")
    assert "ended with status 1 before it listened: all of them are stopped" in last


def test_a_port_that_others_share() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(ListenError, match=f"listen on 127.0.0.1:{port}: Address already"):
            Reservation(TcpAddress("127.0.0.1", port))


def test_a_port_is_the_same_at_all_addresses_of_a_name() -> None:
    with closing(Reservation(TcpAddress("localhost", 0))) as reservation:
        assert {port for _, port in reservation.addresses} == {reservation.port}
        assert ("127.0.0.1", reservation.port) in reservation.addresses


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("./socket",), "--workers share a port"),
        (("127.0.0.1:0", "--status"), "sealframe cluster status"),
        (("127.0.0.1:0", "--control", "./control"), "known to one process"),
        (("127.0.0.1:0", "--passphrase"), "SEALFRAME_PASSPHRASE"),
        (("127.0.0.1:0", "--metrics", "127.0.0.1:0"), "a port for each"),
        (("127.0.0.1:0", "--metrics", "127.0.0.1:65535"), "a port for each"),
    ],
)
def test_what_is_a_matter_of_one_process(options: tuple[str, ...], text: str) -> None:
    done = CliRunner().invoke(sealframe_command, ["serve", "--workers", "2", *options])
    assert (done.exit_code, done.stdout) == (2, "")
    assert text in done.stderr


def test_no_such_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    done = CliRunner().invoke(sealframe_command, ["serve", "--workers", "2"])
    assert done.exit_code == 2
    assert "this platform has not" in done.stderr
