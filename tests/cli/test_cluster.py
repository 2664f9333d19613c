"""``serve --cluster``: relays that are one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .commands import Relay, chatting, outcome, running


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
