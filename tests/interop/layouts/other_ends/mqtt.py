"""paho-mqtt, a client of the port that it is given: subscribes, publishes, prints what comes."""

from __future__ import annotations

import sys

import paho.mqtt.client as paho


def subscribed(client: paho.Client, *_: object) -> None:
    """Publish small and large."""
    for size in (0, 4, 127, 128, 20_000):
        client.publish("parts", b"x" * size)


def received(client: paho.Client, _: object, message: paho.MQTTMessage) -> None:
    """Print the topic and the size; the largest is the last."""
    print(message.topic, len(message.payload), flush=True)
    if len(message.payload) == 20_000:
        client.disconnect()


mqtt = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="peer")
mqtt.on_connect = lambda client, *_: client.subscribe("parts")
mqtt.on_subscribe = subscribed
mqtt.on_message = received
mqtt.connect("127.0.0.1", int(sys.argv[1]), keepalive=60)
mqtt.loop_forever()
