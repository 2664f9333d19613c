"""tacacs_plus asks a server made of its own packets: ``pip install tacacs_plus==2.6``."""

from __future__ import annotations

import socket
import threading

from tacacs_plus.client import TACACSClient

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 8907, 4.1: a header of 12 bytes, its last four the length of the body."""
    return 12 + int.from_bytes(data[8:12], "big")


def server(listener: socket.socket) -> None:
    """Read, and hang up."""
    while True:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.close()


def main() -> None:
    """Ask whether a user may come in, which nobody answers."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=server, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    client = TACACSClient("127.0.0.1", tap.port, "secret", timeout=5)
    try:
        client.authenticate("jane", "password")
    except Exception as error:  # noqa: BLE001 (no reply is what this server gives)
        print(error)
    by = package("tacacs_plus")
    save("tacacs-plus", "tacacs-plus", __file__, [stream(tap.connections[0].client, by, size_of)])


main()
