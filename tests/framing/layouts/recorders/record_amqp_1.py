"""Qpid Proton with itself: ``pip install python-qpid-proton==0.40.0``."""

from __future__ import annotations

from proton import Event, Message
from proton.handlers import MessagingHandler
from proton.reactor import Container

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """Section 2.3.1: the size, which counts itself. A header of 8 bytes begins with ``AMQP``."""
    return 8 if data.startswith(b"AMQP") else int.from_bytes(data[:4], "big")


class Server(MessagingHandler):  # type: ignore[misc,unused-ignore]
    """Takes messages, until the fourth."""

    def __init__(self, port: int, sasl: bool) -> None:
        super().__init__()
        self.port = port
        self.sasl = sasl
        self.tap: Tap | None = None
        self.taken = 0

    def on_start(self, event: Event) -> None:
        """Listen, and let a client come."""
        self.acceptor = event.container.listen(f"127.0.0.1:{self.port}")
        self.tap = Tap(("127.0.0.1", self.port))
        connection = event.container.connect(
            f"127.0.0.1:{self.tap.port}", sasl_enabled=self.sasl, reconnect=False
        )
        event.container.create_sender(connection, "parts", handler=Client())

    def on_message(self, event: Event) -> None:
        """Count."""
        self.taken += 1
        if self.taken == 4:
            event.connection.close()
            self.acceptor.close()


class Client(MessagingHandler):  # type: ignore[misc,unused-ignore]
    """Sends four messages, one of them longer than a frame."""

    def on_sendable(self, event: Event) -> None:
        """Send all of them at once."""
        if event.sender.credit and not getattr(self, "sent", False):
            self.sent = True
            for size in (0, 10, 600, 33_000):
                event.sender.send(Message(body="x" * size))


def main() -> None:
    """Run both ends, without SASL and with it."""
    by = package("python-qpid-proton")
    for name, sasl in (("amqp-1-0", False), ("amqp-1-0-sasl", True)):
        server = Server(free_port(), sasl)
        Container(server).run()
        assert server.tap
        [connection] = server.tap.connections
        save(
            name,
            name,
            __file__,
            [
                stream(sent, by, size_of, preamble=0 if sasl else 8)
                for sent in (connection.client, connection.server)
            ],
        )


main()
