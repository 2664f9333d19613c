"""``multiprocessing.connection`` of Python's own library."""

from __future__ import annotations

import platform
import socket
import threading
from multiprocessing.connection import Connection

from .recording import Sent, save, stream


def size_of(data: bytes) -> int:
    """4 bytes, big-endian and signed; -1 means that 8 bytes follow, for 2 GiB and more."""
    size = int.from_bytes(data[:4], "big", signed=True)
    if size == -1:
        if len(data) < 12:
            raise IndexError
        return 12 + int.from_bytes(data[4:12], "big")
    return 4 + size


def main() -> None:
    """Objects and bytes of several sizes."""
    ours, theirs = socket.socketpair()
    sending = Connection(theirs.detach())

    def send() -> None:
        sending.send({"name": "bolt"})
        for size in (0, 1, 300, 20_000):
            sending.send_bytes(b"x" * size)
        sending.close()

    threading.Thread(target=send).start()
    sent = Sent("client")
    with ours:
        while data := ours.recv(65_536):
            sent.reads.append(data)
    by = f"Python {platform.python_version()}"
    save("multiprocessing", "multiprocessing", __file__, [stream(sent, by, size_of)])


main()
