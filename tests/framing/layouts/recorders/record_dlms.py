"""dlms-cosem, which packs and parses: ``pip install dlms-cosem==25.1.0``."""

from __future__ import annotations

import socket
import threading

from dlms_cosem.io import BlockingTcpIO, TcpTransport

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """IEC 62056-47 (Green Book, 7.3.3.2): version, two ports, two bytes of length."""
    return 8 + int.from_bytes(data[6:8], "big")


def meter(listener: socket.socket) -> None:
    """Answer each request with a wrapper of the same package."""
    connection, _ = listener.accept()
    back = TcpTransport(1, 16, io=None)
    for reply in (bytes.fromhex("c40181000600000042"), bytes(300)):
        connection.recv(4096)
        connection.sendall(back.wrap(reply))
    connection.recv(1)


def main() -> None:
    """Two requests."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=meter, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    transport = TcpTransport(16, 1, io=BlockingTcpIO("127.0.0.1", tap.port))
    transport.connect()
    transport.send_request(bytes.fromhex("c0018100030100010800ff0200"))
    transport.send_request(bytes.fromhex("c0018200030100010800ff0300"))
    transport.disconnect()
    by = package("dlms-cosem")
    [connection] = tap.connections
    save(
        "dlms",
        "dlms",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
