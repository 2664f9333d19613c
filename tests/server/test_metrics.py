"""A server's figures for Prometheus."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import urllib.request

import pytest
from aio.ends import PATIENCE, Mode, dial, start
from aio.links import open_session
from aio.scripted import until

from sealframe import ConfigurationError, Connection, MetricsError, Server, Sessions

ANY_LOOP = True

prometheus = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")

from prometheus_client import CollectorRegistry, generate_latest, start_http_server  # noqa: E402

from sealframe.metrics import ServerCollector  # noqa: E402
from sealframe.server.server import registry_of  # noqa: E402

pytestmark = pytest.mark.usefixtures("no_leaks")

PLAIN = Mode("packets")


async def echo(conn: Connection) -> None:
    conn.join("room")
    async for message in conn:
        await conn.send(message)


def values(text: bytes) -> dict[str, float]:
    """Return what a scrape says, by name."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.split() for line in lines)}


async def exchange(server: Server, count: int) -> None:
    async with dial(server, PLAIN) as conn:
        for _ in range(count):
            await conn.send(b"hello")
            assert await conn.recv() == b"hello"


def registered(collector: ServerCollector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


async def test_a_scrape_over_http() -> None:
    async with start(echo, PLAIN) as server:
        registry = registered(ServerCollector(server))
        http, thread = start_http_server(0, "127.0.0.1", registry)
        url = f"http://127.0.0.1:{http.server_port}/metrics"

        def scrape() -> dict[str, float]:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return values(answer.read())

        try:
            await exchange(server, 3)
            await until(lambda: not registry_of(server).connections)
            async with dial(server, PLAIN) as conn:
                await conn.send(b"hello")
                await conn.recv()
                found = await asyncio.to_thread(scrape)
        finally:
            await asyncio.to_thread(http.shutdown)
            http.server_close()
            thread.join()
    assert found["sealframe_clients"] == found["sealframe_connections"] == 1
    assert found["sealframe_groups"] == 1
    # Those that left count on.
    assert found["sealframe_messages_received_total"] == 4
    assert found["sealframe_messages_sent_total"] == 4
    assert found["sealframe_received_bytes_total"] == 4 * 9
    assert found["sealframe_sent_bytes_total"] == 4 * 9
    assert found["sealframe_connections_accepted_total"] == 2
    assert found["sealframe_inbox_cost"] == found["sealframe_outbox_cost"] == 0
    assert not [name for name in found if "{" in name]


async def test_every_counter_is_told() -> None:
    async with start(echo, PLAIN) as server:
        found = values(generate_latest(registered(ServerCollector(server))))
        numbers = {key for key, value in server.stats().items() if isinstance(value, int)}
    gauges = {"connections", "sessions_detached", "sessions_adopting"}
    assert len([name for name in found if name.endswith("_total")]) == len(numbers - gauges)
    for name in gauges:
        assert f"sealframe_{name}" in found


async def test_sessions() -> None:
    def told(server: Server) -> list[float]:
        found = values(generate_latest(registered(ServerCollector(server))))
        names = ("detached", "resumed_total", "lost_total")
        return [found[f"sealframe_sessions_{name}"] for name in names]

    async with open_session(Mode("extended")) as pair:
        assert told(pair.server) == [0, 0, 0]
        pair.lose_link()
        await until(lambda: told(pair.server) == [1, 0, 0])
        pair.road.open()
        await until(lambda: told(pair.server) == [0, 1, 0])
    async with open_session(Mode("extended"), sessions=Sessions(max_detached=0)) as pair:
        pair.lose_link()
        await until(lambda: told(pair.server) == [0, 0, 1])


async def test_two_servers_in_one_registry() -> None:
    async with start(echo, PLAIN) as first, start(echo, PLAIN) as second:
        registry = registered(ServerCollector(first))
        with pytest.raises(ValueError, match="Duplicated"):
            registry.register(ServerCollector(second))
        registry.register(ServerCollector(second, namespace="relay"))
        await exchange(second, 1)
        found = values(generate_latest(registry))
        assert found["sealframe_messages_received_total"] == 0
        assert found["relay_messages_received_total"] == 1


async def test_a_busy_loop_is_not_waited_for_forever() -> None:
    async with start(echo, PLAIN) as server:
        collector = ServerCollector(server, timeout=0.02)
        errors: list[BaseException] = []

        def ask() -> None:
            try:
                list(collector.collect())
            except MetricsError as error:
                errors.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        # This blocks the event loop.
        thread.join(PATIENCE)
        assert "did not answer within 0.02 s" in str(errors)
        # What was asked in vain does no harm later.
        await asyncio.sleep(0)
        await asyncio.to_thread(ask)
        assert len(errors) == 1


def test_a_closed_loop() -> None:
    async def serve() -> ServerCollector:
        async with start(echo, PLAIN) as server:
            return ServerCollector(server)

    collector = asyncio.run(serve())
    with pytest.raises(MetricsError, match="closed: unregister"):
        list(collector.collect())


async def test_a_time_that_is_none() -> None:
    async with start(echo, PLAIN) as server:
        for wrong in (0, -1, None, "5"):
            with pytest.raises(ConfigurationError, match="positive number"):
                ServerCollector(server, timeout=wrong)  # type: ignore[arg-type]


def test_without_the_package() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
import sealframe
from sealframe.server.server import registry_of
try:
    import sealframe.metrics
except sealframe.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, encoding="utf-8"
    )
    assert 'pip install "sealframe[metrics]"' in done.stdout
