"""kazoo's client, with a server that answers a few requests: ``pip install kazoo==2.11.0``."""

from __future__ import annotations

import socket
import struct
import threading

from kazoo.client import KazooClient

from .recording import Tap, package, save, stream

EXISTS, GET_DATA, CHILDREN, CLOSE = 3, 4, 8, -11


def size_of(data: bytes) -> int:
    """Big-endian, it does not count itself."""
    return 4 + int.from_bytes(data[:4], "big")


def answer(listener: socket.socket) -> None:
    """Be a server that has every node, with little in it."""
    connection, _ = listener.accept()
    file = connection.makefile("rb")

    def send(body: bytes) -> None:
        connection.sendall(struct.pack("!i", len(body)) + body)

    def receive() -> bytes:
        return file.read(struct.unpack("!i", file.read(4))[0])

    receive()
    send(struct.pack("!iiqi", 0, 10_000, 7, 16) + bytes(17))
    kind = 0
    stat = struct.pack("!qqqqiiiqiiq", 1, 1, 0, 0, 0, 0, 0, 0, 4, 0, 1)
    bodies = {EXISTS: stat, GET_DATA: struct.pack("!i", 4) + b"data" + stat}
    bodies[CHILDREN] = struct.pack("!ii", 1, 3) + b"abc"
    while kind != CLOSE:
        number, kind = struct.unpack("!ii", receive()[:8])
        send(struct.pack("!iqi", number, 1, 0) + bodies.get(kind, b""))


def main() -> None:
    """Ask for some nodes."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    client = KazooClient(hosts=f"127.0.0.1:{tap.port}", timeout=10)
    client.start(5)
    for path in ("/config", "/config/brokers/ids", "/a"):
        client.exists(path)
        client.get(path)
        client.get_children(path)
    client.stop()
    sent = tap.connections[0].client
    save("zookeeper", "zookeeper", __file__, [stream(sent, package("kazoo"), size_of)])


main()
