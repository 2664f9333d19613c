"""The messages of adb-shell, over TCP: ``pip install adb-shell==0.4.4``.

No device is in a package: what answers here packs its messages with the same library.
"""

from __future__ import annotations

import socket
import struct
import threading

from adb_shell import constants
from adb_shell.adb_device import AdbDeviceTcp
from adb_shell.adb_message import AdbMessage

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """24 bytes of header, with the length of the data at bytes 12 to 15."""
    return 24 + int.from_bytes(data[12:16], "little")


def device(listener: socket.socket) -> None:
    """Take a connection, and run one command."""
    connection, _ = listener.accept()

    def send(command: bytes, *arguments: int, data: bytes = b"") -> None:
        message = AdbMessage(command, *arguments, data)
        connection.sendall(message.pack() + message.data)

    with connection, connection.makefile("rb") as file:
        while head := file.read(24):
            command, local = struct.unpack_from("<4sI", head)
            file.read(size_of(head) - 24)
            if command == b"CNXN":
                send(constants.CNXN, constants.VERSION, 4096, data=b"device::\0")
            elif command == b"OPEN":
                send(constants.OKAY, 7, local)
                for part in (b"bolt\n", b"n" * 300):
                    send(constants.WRTE, 7, local, data=part)
                send(constants.CLSE, 7, local)


def main() -> None:
    """Connect, run a command, close."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=device, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    client = AdbDeviceTcp("127.0.0.1", tap.port)
    client.connect()
    client.shell("ls")
    client.close()
    by = package("adb-shell")
    [passed] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("adb", "adb", __file__, streams)


main()
