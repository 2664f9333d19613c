"""paho-mqtt with the broker of amqtt: ``pip install paho-mqtt==2.2.0 amqtt==0.12.1``."""

from __future__ import annotations

import asyncio
import threading

import paho.mqtt.client as paho
from amqtt.broker import Broker

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """Section 2.2.3 of MQTT 3.1.1: 1 to 4 bytes of 7 bits each behind the first byte."""
    place, shift, size = 1, 0, 0
    while True:
        size |= (data[place] & 0x7F) << shift
        if not data[place] & 0x80:
            return place + 1 + size
        place, shift = place + 1, shift + 7


def client(port: int) -> None:
    """Subscribe and publish to itself, with each quality of service and with long messages."""
    done = threading.Event()
    arrived = []

    def on_message(_: object, __: object, message: paho.MQTTMessage) -> None:
        arrived.append(message.payload)
        if len(arrived) == 5:
            done.set()

    subscribed = threading.Event()
    mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="recorder")
    mqtt.on_message = on_message
    mqtt.on_subscribe = lambda *_: subscribed.set()
    mqtt.connect("127.0.0.1", port, keepalive=30)
    mqtt.loop_start()
    mqtt.subscribe("stock/#", qos=2)
    subscribed.wait(10)
    for qos, payload in enumerate((b"bolt", b"", b"n" * 120)):
        mqtt.publish("stock/parts", payload, qos=qos).wait_for_publish(10)
    mqtt.publish("stock/parts", b"x" * 200, qos=1).wait_for_publish(10)
    mqtt.publish("stock/parts", b"y" * 17_000, qos=0).wait_for_publish(10)
    done.wait(10)
    mqtt.disconnect()
    mqtt.loop_stop()


async def main() -> None:
    """Serve and record."""
    port = free_port()
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await broker.start()
    tap = Tap(("127.0.0.1", port))
    await asyncio.to_thread(client, tap.port)
    await broker.shutdown()
    [connection] = tap.connections
    save(
        "mqtt",
        "mqtt",
        __file__,
        [
            stream(connection.client, package("paho-mqtt"), size_of),
            stream(connection.server, package("amqtt"), size_of),
        ],
    )


asyncio.run(main())
