"""The clients of a server are counted rightly, and a few at a time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aio.ends import Mode, dial, start
from aio.scripted import until

from sealframe import Connection, Server
from sealframe.dashboard import census as module
from sealframe.dashboard.census import Census, percentiles

PLAIN = Mode("packets")


async def echo(conn: Connection) -> None:
    conn.join("room")
    async for message in conn:
        await conn.send(message)


async def exchange(conn: Connection, count: int) -> None:
    for _ in range(count):
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"


async def crowd(stack: AsyncExitStack, server: Server, count: int) -> list[Connection]:
    clients = [await stack.enter_async_context(dial(server, PLAIN)) for _ in range(count)]
    await until(lambda: len(server.clients) == count)
    return clients


async def test_it_finds_what_stats_says() -> None:
    async with start(echo, PLAIN) as server, AsyncExitStack() as stack:
        first, second = await crowd(stack, server, 2)
        async with dial(server, PLAIN) as third:
            await exchange(third, 2)
        await exchange(first, 3)
        await exchange(second, 1)
        await until(lambda: len(server.clients) == 2)
        count = await Census(server).take()
        stats = server.stats()
    summary = count.summary
    assert (summary["clients"], summary["connections"], summary["groups"]) == (2, 2, 1)
    assert {name: stats[name] for name in summary["totals"]} == summary["totals"]
    assert summary["totals"]["messages_received"] == 6
    assert {name: stats[name] for name in summary["refusals"]} == summary["refusals"]
    assert summary["rates"]["messages_in"] is None
    assert [row.id for row in count.rows] == list(stats["clients"])
    for row, client in zip(count.rows, stats["clients"].values(), strict=True):
        assert row.address == "{}:{}".format(*client["address"])
        assert (row.name, row.seal, row.connected, row.groups) == ("", "plain", True, "room")
        assert (row.inbox_cost, row.outbox_cost) == (0, 0)
        assert 0 <= row.connected_for <= client["connected_for"]


async def test_rates_are_what_went_through_since_the_last_count() -> None:
    async with start(echo, PLAIN) as server, AsyncExitStack() as stack:
        busy, idle = await crowd(stack, server, 2)
        census = Census(server)
        before = await census.take()
        await exchange(busy, 10)
        # The same count holds for a while, so that whoever asks more often costs nothing.
        assert await census.take() is before
        await asyncio.sleep(module.MIN_INTERVAL)
        after = await census.take()
        assert idle.connected
    seconds = after.summary["time"] - before.summary["time"]
    rates = after.summary["rates"]
    assert rates["messages_in"] * seconds == pytest.approx(10, rel=0.05)
    assert rates["bytes_out"] == pytest.approx(9 * rates["messages_out"])
    mine, other = after.rows
    assert mine.messages_in is not None
    assert mine.messages_in * seconds == pytest.approx(10, rel=0.05)
    assert other.messages_in == other.bytes_out == 0


async def test_what_is_long_ago_is_no_base_for_a_rate() -> None:
    before = module._Counted(0.0, 0, 0, 0, 0)
    assert module._Counted(2.0, 4, 40, 2, 20).rates(before) == (2.0, 20.0, 1.0, 10.0)
    assert module._Counted(60.0, 4, 40, 2, 20).rates(before) == (None,) * 4
    assert before.rates(before) == before.rates(None) == (None,) * 4


async def test_it_takes_turns_with_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a client that leaves meanwhile is counted, once."""
    monkeypatch.setattr(module, "_SLICE", 1)
    async with start(echo, PLAIN) as server, AsyncExitStack() as stack:
        clients = await crowd(stack, server, 20)
        for client in clients:
            await exchange(client, 1)
        census = Census(server)
        counting = asyncio.create_task(census.take())
        turns = 0
        while not counting.done():
            await asyncio.sleep(0)
            turns += 1
            if turns == 5:
                for id in list(server.clients):
                    server.kick(id)
                assert not counting.done()
        assert turns >= 40
        count = await counting
        assert count.summary["totals"]["messages_received"] == 20
        assert len(count.rows) == 20
        await until(lambda: not server.clients)
        await asyncio.sleep(module.MIN_INTERVAL)
        count = await census.take()
        assert count.summary["totals"]["messages_received"] == 20
        assert count.rows == []


async def test_those_that_ask_at_once_get_one_count() -> None:
    async with start(echo, PLAIN) as server:
        census = Census(server)
        first, second = await asyncio.gather(census.take(), census.take())
        assert first is second
        census.forget()
        assert await census.take() is not first


async def test_who_leaves_and_returns_costs_no_more_than_who_stays() -> None:
    """Then nothing has a rate: one over the moment between would be as good as made up."""
    async with start(echo, PLAIN) as server, AsyncExitStack() as stack:
        [client] = await crowd(stack, server, 1)
        census = Census(server)
        begun = census.loop.time()
        await census.take()
        await exchange(client, 3)
        census.forget()
        count = await census.take()
        assert census.loop.time() - begun > 0.9 * module.MIN_INTERVAL
    assert set(count.summary["rates"].values()) == {None}
    assert [row.messages_in for row in count.rows] == [None]


async def test_what_is_forgotten_while_it_counts_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither that count nor half of the clients are kept; those that wait for it get it whole."""
    monkeypatch.setattr(module, "_SLICE", 1)
    async with start(echo, PLAIN) as server, AsyncExitStack() as stack:
        await crowd(stack, server, 6)
        census = Census(server)
        await census.take()
        await asyncio.sleep(module.MIN_INTERVAL)
        counting = asyncio.create_task(census.take())
        # Once through all connections, and half way through the clients.
        for _ in range(10):
            await asyncio.sleep(0)
        assert not counting.done()
        census.forget()
        gone = next(iter(server.clients))
        server.kick(gone)
        count = await counting
        assert [row.messages_in for row in count.rows] == [0.0] * 6
        await until(lambda: gone not in server.clients)
        after = await census.take()
        assert after is not count
        assert [row.messages_in for row in after.rows] == [None] * 5


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([], None),
        ([2.0], (1, 2.0, 2.0, 2.0, 2.0)),
        ([float(n) for n in range(100, -1, -1)], (101, 50.0, 90.0, 99.0, 100.0)),
    ],
)
def test_percentiles(times: list[float], expected: tuple[float, ...] | None) -> None:
    found = percentiles(times)
    assert (None if found is None else tuple(found.values())) == expected


def test_what_a_peer_chose_has_no_say_in_how_much_is_kept() -> None:
    assert module._address("/" + "x" * 500) == "/" + "x" * 99
    assert module._address(("::1", 1)) == "[::1]:1"
    assert module._address("\0name") == "@name"
    assert module._address(None) == "a Unix socket"
    groups = frozenset(f"{number}{'x' * 300}" for number in range(9))
    assert module._groups(groups) == "0" + "x" * 99 + " and 4 more"
