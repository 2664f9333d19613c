"""The proxy that breaks connections, by itself: raw sockets on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from mitm.middle import Way

from .cutting import HELD, CuttingProxy, Fault, Plan, Plans, always, drawn
from .ends import PATIENCE
from .scripted import Raw, until

pytestmark = pytest.mark.usefixtures("no_leaks")


class Ends(NamedTuple):
    """One connection through the proxy."""

    client: Raw
    server: Raw

    def of(self, way: Way) -> tuple[Raw, Raw]:
        """Return who sends in a direction, and who receives."""
        return (self.client, self.server) if way is Way.UP else (self.server, self.client)


class Bench:
    """A proxy, and a socket that listens behind it."""

    def __init__(self, plans: Plans) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.proxy = CuttingProxy(self.listener.getsockname()[1], plans=plans)
        self._ends: list[Raw] = []

    async def dial(self) -> Ends:
        """Open a connection."""
        client = await Raw.dial(self.proxy.port)
        self._ends.append(client)
        async with asyncio.timeout(PATIENCE):
            sock, _ = await asyncio.get_running_loop().sock_accept(self.listener)
        server = Raw(sock)
        self._ends.append(server)
        return Ends(client, server)

    def close(self) -> None:
        """Close what this end has open."""
        self.listener.close()
        for raw in self._ends:
            raw.close()


@contextlib.asynccontextmanager
async def bench(*plans: Plan) -> AsyncIterator[Bench]:
    """Have each connection go as its plan says, further ones as the last says."""
    made = Bench(lambda number: plans[min(number, len(plans) - 1)])
    try:
        async with made.proxy:
            yield made
    finally:
        made.close()


@pytest.fixture(params=list(Way), ids=lambda way: str(way.name))
def way(request: pytest.FixtureRequest) -> Way:
    """Each direction."""
    result: Way = request.param
    return result


async def _read(raw: Raw) -> tuple[bytes, bool]:
    """Return what comes until the end, and whether that is RST."""
    data = bytearray()
    try:
        while part := await raw.receive():
            data += part
    except ConnectionResetError:
        return bytes(data), True
    return bytes(data), False


async def test_without_a_fault_all_goes_both_ways(way: Way) -> None:
    data = bytes(range(256)) * 4000
    async with bench(Plan()) as made:
        source, target = (await made.dial()).of(way)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(source.send(data))
            assert await target.receive_exactly(len(data)) == data
        source.finish()
        assert await target.receive() == b""
        # The other direction goes on.
        await target.send(b"last")
        target.finish()
        assert await _read(source) == (b"last", False)
        assert made.proxy.faults == {}
        await until(lambda: made.proxy.open == 0)


async def test_a_lost_end_is_lost_at_the_other(way: Way) -> None:
    async with bench(Plan()) as made:
        source, target = (await made.dial()).of(way)
        source.reset()
        assert await _read(target) == (b"", True)


@pytest.mark.parametrize("after", [0, 1, 6, 7])
async def test_rst_at_any_byte(way: Way, after: int) -> None:
    async with bench(Plan(Fault.RESET, way, after, turns=4)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"1234567")
        assert await _read(target) == (b"1234567"[:after], True)
        assert await _read(source) == (b"", True)
        assert made.proxy.faults == {Fault.RESET: 1}
        assert made.proxy.cuts == 1


@pytest.mark.parametrize("after", [0, 1, 6, 7])
async def test_fin_at_any_byte(way: Way, after: int) -> None:
    async with bench(Plan(Fault.FIN, way, after)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"1234567")
        assert await _read(target) == (b"1234567"[:after], False)
        assert await _read(source) == (b"", False)
        assert made.proxy.faults == {Fault.FIN: 1}


async def test_the_bytes_of_the_other_direction_do_not_count(way: Way) -> None:
    async with bench(Plan(Fault.FIN, way, 5)) as made:
        source, target = (await made.dial()).of(way)
        await target.send(b"much more than five")
        assert await source.receive_exactly(19) == b"much more than five"
        await source.send(b"12345")
        assert await _read(target) == (b"12345", False)


async def test_one_direction_ends(way: Way) -> None:
    async with bench(Plan(Fault.HALF_CLOSE, way, 3)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"12345")
        assert await _read(target) == (b"123", False)
        await source.send(b"6")
        await target.send(b"still here")
        assert await source.receive_exactly(10) == b"still here"
        target.finish()
        assert await _read(source) == (b"", False)
        await until(lambda: made.proxy.open == 0)


@pytest.mark.parametrize("fault", [Fault.STALL, Fault.STALL_BOTH])
async def test_a_direction_stands_still_until_the_calm(way: Way, fault: Fault) -> None:
    async with bench(Plan(fault, way, 3)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"12345")
        assert await target.receive_exactly(3) == b"123"
        await target.send(b"back")
        if fault is Fault.STALL:
            assert await source.receive_exactly(4) == b"back"
        await source.send(b"678")
        source.finish()
        assert made.proxy.cuts == 0
        assert not target.has_input()
        made.proxy.calm()
        assert await _read(target) == (b"45678", False)
        if fault is Fault.STALL_BOTH:
            assert await source.receive_exactly(4) == b"back"


async def test_or_for_its_time(way: Way) -> None:
    async with bench(Plan(Fault.STALL, way, 0, hold=0.01)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"12345")
        assert await target.receive_exactly(5) == b"12345"
        assert made.proxy.faults == {Fault.STALL: 1}
        # It happens once.
        await source.send(b"6")
        assert await target.receive_exactly(1) == b"6"


async def test_a_fault_that_a_connection_outlives_is_not_the_last(way: Way) -> None:
    plan = Plan(Fault.STALL, way, 3, hold=0.001, then=Plan(Fault.FIN, way, 6))
    async with bench(plan) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"12345")
        assert await target.receive_exactly(5) == b"12345"
        await source.send(b"678")
        assert await _read(target) == (b"6", False)
        assert made.proxy.faults == {Fault.STALL: 1, Fault.FIN: 1}


async def test_what_a_lost_end_sent_comes_behind_a_later_connection() -> None:
    """The first bytes too: a server hears them once the client has long come back."""
    late = Plan(Fault.STRAND, Way.UP, 0, newer=6)
    async with bench(late, Plan()) as made:
        old = await made.dial()
        await old.client.send(b"late")
        assert await _read(old.client) == (b"", True)
        assert made.proxy.cuts == 1
        new = await made.dial()
        await new.client.send(b"early")
        assert await new.server.receive_exactly(5) == b"early"
        await new.server.send(b"hello")
        assert await new.client.receive_exactly(5) == b"hello"
        assert not old.server.has_input()
        await new.server.send(b"!")
        assert await _read(old.server) == (b"late", False)


async def test_the_other_end_of_a_lost_one_hears_nothing(way: Way) -> None:
    async with bench(Plan(Fault.STRAND, way, 2)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"1234")
        assert await _read(source) == (b"", True)
        assert await target.receive_exactly(2) == b"12"
        assert not target.has_input()
        made.proxy.calm()
        assert await _read(target) == (b"34", False)
        await until(lambda: made.proxy.open == 0)


async def test_it_is_over_where_the_other_end_gives_up(way: Way) -> None:
    async with bench(Plan(Fault.STRAND, way, 2)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"1234")
        assert await target.receive_exactly(2) == b"12"
        target.close()
        await until(lambda: made.proxy.open == 0)


async def test_in_pieces(way: Way) -> None:
    async with bench(Plan(Fault.FIN, way, 9, piece=2)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"1234567890")
        pieces = []
        while part := await target.receive():
            pieces.append(part)
        assert b"".join(pieces) == b"123456789"
        # A reader that is not back in time gets two at once.
        assert len(pieces) >= 3


async def test_after_the_calm_it_only_forwards(way: Way) -> None:
    async with bench(Plan(Fault.RESET, way, 3)) as made:
        before = await made.dial()
        made.proxy.calm()
        for source, target in (before.of(way), (await made.dial()).of(way)):
            await source.send(b"12345")
            assert await target.receive_exactly(5) == b"12345"
        assert made.proxy.faults == {}
        assert made.proxy.connections == 2


@pytest.mark.parametrize("fault", list(Fault))
async def test_it_leaves_nothing(way: Way, fault: Fault) -> None:
    """In whatever state a connection is: the fixture counts tasks and descriptors."""
    async with bench(Plan(fault, way, 1)) as made:
        source, target = (await made.dial()).of(way)
        await source.send(b"12")
        assert await target.receive(1) in (b"1", b"")
        # This one has not come to its fault, the next has not come to the server.
        await made.dial()
        stranger = await Raw.dial(made.proxy.port)
    stranger.close()
    assert made.proxy.open == 0


async def test_a_target_that_does_not_read_holds_the_source_back(way: Way) -> None:
    """Neither what stands still nor a full socket makes the proxy grow."""
    for plan in (Plan(), Plan(Fault.STALL, way, 1)):
        async with bench(plan) as made:
            source, target = (await made.dial()).of(way)
            sent = 0
            # What the sockets hold, and nothing beyond.
            with contextlib.suppress(TimeoutError):
                while sent < 64 * 1024 * 1024:
                    async with asyncio.timeout(0.2):
                        await source.send(bytes(HELD))
                    sent += HELD
            assert sent < 64 * 1024 * 1024
            made.proxy.calm()
            await target.receive_exactly(sent)


async def test_without_a_server_a_client_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with CuttingProxy(port, plans=always(Plan())) as proxy:
        async with await Raw.dial(proxy.port) as client:
            assert await _read(client) == (b"", True)
        await until(lambda: proxy.open == 0)


def test_a_seed_says_all() -> None:
    plans = [drawn(7)(number) for number in range(2000)]
    assert plans == [drawn(7)(number) for number in range(2000)]
    assert plans != [drawn(8)(number) for number in range(2000)]
    assert {plan.way for plan in plans} == set(Way)
    assert {plan.fault for plan in plans} == set(Fault) - {Fault.NONE}
    assert max(plan.after for plan in plans) > 100_000
    # Within the introductions: before the first byte, and at many others.
    assert len({plan.after for plan in plans} & set(range(100))) > 90
    assert all(plan.hold is not None for plan in plans if plan.fault is not Fault.STRAND)
    # Each is cut in the end.
    assert all(plan.fault.breaks or (plan.then and plan.then.fault.breaks) for plan in plans)
