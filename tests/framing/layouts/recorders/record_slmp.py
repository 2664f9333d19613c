"""pymcprotocol asks; nobody answers: ``pip install pymcprotocol==0.3.0``."""

from __future__ import annotations

import socket
import threading

import pymcprotocol

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """SH-080956ENG, 5.2: 3E frame, two bytes of length at 7, which count what follows them."""
    return 9 + int.from_bytes(data[7:9], "little")


def server(listener: socket.socket) -> None:
    """Answer reads of ten words, as the manual shows it."""
    connection, _ = listener.accept()
    while connection.recv(4096):
        connection.sendall(bytes.fromhex("d000 00 ff ff03 00 1600 0000") + bytes(20))


def main() -> None:
    """Read ten words, twice, and write."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=server, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    plc = pymcprotocol.Type3E()
    plc.connect("127.0.0.1", tap.port)
    plc.batchread_wordunits(headdevice="D100", readsize=10)
    plc.batchwrite_wordunits(headdevice="D10", values=list(range(40)))
    plc.batchread_bitunits(headdevice="X10", readsize=10)
    plc.close()
    by = package("pymcprotocol")
    save("slmp", "slmp", __file__, [stream(tap.connections[0].client, by, size_of)])


main()
