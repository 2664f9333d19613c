#!/bin/sh
# amqtt: a broker delivers a message with the lower one of two qualities of service, that with which it
# was published and that which the subscription was granted (MQTT 3.1.1, section 3.8.4,
# [MQTT-3.8.4-6], and section 4.3.1: what was published with 0 comes to a subscriber of 1 with 0). amqtt's
# broker takes that of the subscription: to a subscriber of 2 each message goes with 2, in four packets
# where one was asked for.
#
# Seen with amqtt 0.12.1 and paho-mqtt 2.2.0 on CPython 3.11; this prints what it sees, and fails where
# that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check amqtt==0.12.1 paho-mqtt==2.2.0
cat > "$folder/program.py" <<'PROGRAM'
import asyncio
import importlib.metadata
import logging
import platform
import queue
import socket

import paho.mqtt.client
from amqtt.broker import Broker

logging.disable(logging.CRITICAL)
LEVELS = (0, 1, 2)


def exchange(port):
    """Return the quality with which each message arrives, by that of its subscription and its own."""
    events = queue.Queue()
    client = paho.mqtt.client.Client(paho.mqtt.client.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda *_: events.put("connected")
    client.on_subscribe = lambda _, __, ___, granted, *____: events.put([code.value for code in granted])
    client.on_message = lambda _, __, message: events.put((message.topic, message.qos))
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert events.get(timeout=30) == "connected"
    seen = {}
    for granted in LEVELS:
        client.subscribe(f"granted{granted}/#", granted)
        assert events.get(timeout=30) == [granted]
        for published in LEVELS:
            client.publish(f"granted{granted}/{published}", b"message", published)
            topic, seen[granted, published] = events.get(timeout=30)
            assert topic == f"granted{granted}/{published}", topic
    client.disconnect()
    client.loop_stop()
    return seen


async def main():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    await broker.start()
    try:
        return await asyncio.to_thread(exchange, port)
    finally:
        await broker.shutdown()


versions = [f"{name} {importlib.metadata.version(name)}" for name in ("amqtt", "paho-mqtt")]
print(*versions, f"CPython {platform.python_version()}", sep=", ")
seen = asyncio.run(main())
for (granted, published), received in seen.items():
    specified = min(granted, published)
    remark = "" if received == specified else f", where MQTT says {specified}"
    print(f"subscription of {granted}, published with {published}: comes with {received}{remark}")
assert seen == {(granted, published): granted for granted in LEVELS for published in LEVELS}, seen
print("as described: each message comes with the quality of the subscription")
PROGRAM
"$folder/venv/bin/python" -W ignore "$folder/program.py"
