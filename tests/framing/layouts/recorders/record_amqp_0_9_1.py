"""pika with the RabbitMQ of Debian 12.

``apt-get install rabbitmq-server; pip install pika==1.4.4``


The broker is to run on port 5672; the recorder takes its default user.
"""

from __future__ import annotations

import pika

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """Section 4.2.3: type, channel, size, payload, and 0xCE as the end."""
    if len(data) < 7:
        raise IndexError
    return 7 + int.from_bytes(data[3:7], "big") + 1


def main() -> None:
    """Declare, publish, get."""
    tap = Tap(("127.0.0.1", 5672))
    parameters = pika.ConnectionParameters("127.0.0.1", tap.port)
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.queue_declare("parts", exclusive=True)
        for size in (0, 4, 1000):
            channel.basic_publish("", "parts", b"x" * size)
        for _ in range(4):
            channel.basic_get("parts", auto_ack=True)
        product = connection._impl.server_properties
        server = f"{product['product']} {product['version']}"
    [passed] = tap.connections
    save(
        "amqp-0-9-1",
        "amqp-0-9-1",
        __file__,
        [
            stream(passed.client, package("pika"), size_of, preamble=8),
            stream(passed.server, server, size_of),
        ],
    )


main()
