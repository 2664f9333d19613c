"""nats-py's client where it needs a hand, on a real NATS."""

from __future__ import annotations

import asyncio

from aio.scripted import until

from sealframe.cluster.nats_client import NatsClient
from sealframe.cluster.nats_servers import NatsServers

from .nats_servers import NatsServer

ANY_LOOP = True


async def test_who_waits_for_the_socket_goes_on_when_the_connection_is_over(
    nats_server: NatsServer,
) -> None:
    """nats-py has them wait for ever: a write to a log would never be tried again."""
    client = NatsClient(NatsServers(nats_server.url), lambda: None)
    await client.open(nats_server.url, "test", "_INBOX.test", None)
    nats_server.stop()
    try:
        publishing = [asyncio.create_task(client.publish("a", bytes(2**20))) for _ in range(16)]
        await until(lambda: client._flush_queue is not None and client._flush_queue.qsize() > 1)
        await client.discard()
        done, pending = await asyncio.wait(publishing, timeout=2)
        for task in pending:
            task.cancel()
        assert not pending
        assert len(done) == 16
        await asyncio.gather(*publishing, return_exceptions=True)
    finally:
        nats_server.go_on()
