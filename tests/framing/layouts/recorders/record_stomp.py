"""stomp.py with the RabbitMQ of Debian 12.

``apt-get install rabbitmq-server; rabbitmq-plugins enable rabbitmq_stomp; pip install
stomp-py==9.0.0``. The broker is to run, with STOMP on port 61613.
"""

from __future__ import annotations

import threading

import stomp

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """A frame ends in NUL: here none has a body with a NUL in it. Ends of line may precede it."""
    return data.index(b"\0") + 1


class Listener(stomp.ConnectionListener):  # type: ignore[misc,unused-ignore]
    """Waits for the messages."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.server = ""
        self.left = 3

    def on_connected(self, frame: stomp.utils.Frame) -> None:
        """Keep the server's name."""
        self.server = frame.headers["server"]

    def on_message(self, _: object) -> None:
        """Count."""
        self.left -= 1
        if not self.left:
            self.done.set()


def main() -> None:
    """Subscribe and send."""
    tap = Tap(("127.0.0.1", 61613))
    connection = stomp.Connection12([("127.0.0.1", tap.port)], vhost="/")
    listener = Listener()
    connection.set_listener("", listener)
    connection.connect("guest", "guest", wait=True)
    connection.subscribe("/queue/parts", id="1", headers={"auto-delete": "true"})
    for body in ("bolt", "", "line\n" * 50):
        connection.send("/queue/parts", body, content_type="text/plain")
    listener.done.wait(10)
    connection.disconnect()
    [passed] = tap.connections
    save(
        "stomp",
        "stomp",
        __file__,
        [
            stream(passed.client, package("stomp-py"), size_of),
            stream(passed.server, listener.server.replace("/", " "), size_of),
        ],
    )


main()
