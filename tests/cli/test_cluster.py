"""``serve --cluster``: relays that are one."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sealframe

from .commands import Relay, chatting, outcome, running
from .terminal import on_terminal
from .test_status import needs_terminal


@asynccontextmanager
async def relay_of(cluster: str) -> AsyncIterator[tuple[Relay, list[str]]]:
    """Run a relay of a cluster; give what it said, too."""
    async with running("serve", "127.0.0.1:0", "--cluster", cluster) as program:
        said = await program.lines_until("relay, ")
        await program.lines_until("Ctrl-C ends it.")
        yield Relay(program, said[-1].split()[-1], ()), said


async def test_what_a_client_of_one_says_those_of_all_get() -> None:
    async with relay_of("local") as (first, said):
        url = re.search(r"nats://\S+", said[0])
        assert url is not None
        async with relay_of(url[0]) as (second, _):
            async with chatting(first) as (one, id_one), chatting(second) as (two, id_two):
                await one.type("hello\n")
                assert await two.line() == f"{id_one}: hello"
                await two.type("and back\n")
                assert await one.line() == f"{id_two}: and back"


async def test_nats_that_is_not_there() -> None:
    done = await outcome("serve", "127.0.0.1:0", "--cluster", "nats://127.0.0.1:1")
    assert done.code == 1
    assert "NATS" in done.errors


class TestStatus:
    @needs_terminal
    async def test_once_and_live(self) -> None:
        async with relay_of("local") as (first, said):
            url = re.search(r"nats://\S+", said[0])
            assert url is not None
            done = await outcome("cluster", "status", url[0])
            assert (done.code, done.errors) == (0, "")
            heads, row = done.output.splitlines()
            assert heads.split()[:3] == ["server", "up", "clients"]
            pid = first.program.process.pid
            assert re.search(rf":{pid} +0:00:\d\d +0 +0 \(0\) .* ms  here$", row)
            done = await outcome("cluster", "status", url[0], "--name", "other")
            assert (done.code, done.output) == (1, "")
            assert done.error.startswith("nobody is in the cluster 'other'")
            async with on_terminal("cluster", "status", url[0], columns=160) as shown:
                await shown.until(r"1 servers here, 0 clients")
                host, _, port = first.address.rpartition(":")
                async with sealframe.connect(host, int(port)):
                    await shown.until(r"1 servers here, 1 clients")
                first.program.process.send_signal(signal.SIGSTOP)
                await shown.until(r"hangs, silent for \d+ s")
                first.program.process.send_signal(signal.SIGCONT)
                shown.process.send_signal(signal.SIGINT)
                assert await shown.process.wait() == 130

    async def test_credentials_are_in_no_error(self) -> None:
        done = await outcome("cluster", "status", "nats://user:secret@127.0.0.1:x")
        assert (done.code, done.output) == (1, "")
        assert "a URL of NATS cannot be used" in done.error
        assert "secret" not in done.errors
