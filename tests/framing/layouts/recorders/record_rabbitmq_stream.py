"""rstream with RabbitMQ: ``apt-get install rabbitmq-server; pip install rstream==1.1.1``."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

from rstream import AMQPMessage, Consumer, ConsumerOffsetSpecification, OffsetType, Producer

from .helping import debian, running
from .recording import Tap, free_port, package, save, stream, wait_for

BROKER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
TEXTS = [b"turn", b"", b"a longer text " * 300]


def size_of(data: bytes) -> int:
    """4 bytes of length before each frame."""
    return 4 + int.from_bytes(data[:4], "big")


async def speak(port: int) -> None:
    """Make a stream, publish, and read from its beginning."""
    producer = Producer("127.0.0.1", port=port, username="guest", password="guest")
    async with producer:
        await producer.create_stream("bolts", exists_ok=True)
        for text in TEXTS:
            await producer.send_wait("bolts", AMQPMessage(body=text))
    consumer = Consumer("127.0.0.1", port=port, username="guest", password="guest")
    heard: list[Any] = []

    async def hear(message: Any, context: Any) -> None:
        heard.append(message)
        if len(heard) == len(TEXTS):
            await asyncio.sleep(0.5)
            await consumer.close()

    await consumer.start()
    first = ConsumerOffsetSpecification(OffsetType.FIRST, None)
    await consumer.subscribe("bolts", hear, offset_specification=first)
    await consumer.run()


def main() -> None:
    """Run a broker of its own, with its own folder and ports."""
    ports = [free_port() for _ in range(4)]
    with tempfile.TemporaryDirectory() as folder:
        tap = Tap(("127.0.0.1", ports[1]))
        (Path(folder) / "plugins").write_text("[rabbitmq_stream].")
        (Path(folder) / "conf.conf").write_text(
            f"stream.listeners.tcp.1 = 127.0.0.1:{ports[1]}\n"
            f"stream.advertised_host = 127.0.0.1\nstream.advertised_port = {tap.port}\n"
        )
        environment = {
            **os.environ,
            "HOME": folder,
            "RABBITMQ_NODENAME": "bolts@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(ports[0]),
            "RABBITMQ_DIST_PORT": str(ports[2]),
            "ERL_EPMD_PORT": str(ports[3]),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/log",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/conf",
            "RABBITMQ_PID_FILE": f"{folder}/pid",
        }
        with running("epmd", "-port", str(ports[3]), env=environment):
            with running(BROKER, env=environment):
                wait_for(ports[1])
                asyncio.run(speak(tap.port))
    streams = []
    for passed in tap.connections:
        streams += [
            stream(passed.client, package("rstream"), size_of),
            stream(passed.server, debian("rabbitmq-server", "RabbitMQ"), size_of),
        ]
    save("rabbitmq-stream", "rabbitmq-stream", __file__, streams)


main()
