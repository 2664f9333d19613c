"""python-diameter, two nodes: ``pip install python-diameter==0.9.0``."""

from __future__ import annotations

import time

from diameter.message.constants import APP_DIAMETER_CREDIT_CONTROL_APPLICATION
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 6733, section 3: version, three bytes of length, which counts all."""
    return int.from_bytes(data[1:4], "big")


def main() -> None:
    """Exchange capabilities, watch each other, part."""
    port = free_port()
    server = Node("server.example.com", "example.com", ip_addresses=["127.0.0.1"], tcp_port=port)
    client = Node("client.example.com", "example.com", ip_addresses=["127.0.0.1"])
    tap = Tap(("127.0.0.1", port))
    near = server.add_peer("aaa://client.example.com", "example.com")
    far = client.add_peer(
        f"aaa://server.example.com:{tap.port}",
        "example.com",
        ip_addresses=["127.0.0.1"],
        is_persistent=True,
    )
    for node, peer in ((server, near), (client, far)):
        app = SimpleThreadingApplication(
            APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True
        )
        node.add_application(app, [peer])
        peer.idle_timeout = 1
        node.wakeup_interval = 1
        node.start()
    time.sleep(6)
    client.stop(wait_timeout=5)
    server.stop(wait_timeout=5)
    by = package("python-diameter")
    connection = tap.connections[0]
    save(
        "diameter",
        "diameter",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
