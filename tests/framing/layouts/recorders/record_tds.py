"""What python-tds sends: ``pip install python-tds==1.17.1``.

No server is in a package of Python or Debian. Here one answers as far as the client needs it to go
on; what it says is not recorded.
"""

from __future__ import annotations

import socket
import threading

import pytds

from .recording import Tap, package, save, stream

PRELOGIN = bytes.fromhex("00000b00060100110001ff0f0007d0000002")
PROGRAM = "server".encode("utf-16-le")
LOGIN_ACK = b"\x01\x74\x00\x00\x04" + bytes([6]) + PROGRAM + b"\x0f\x00\x07\xd0"
DONE = bytes.fromhex("fd000000000000000000000000")
LOGGED_IN = b"\xad" + len(LOGIN_ACK).to_bytes(2, "little") + LOGIN_ACK + DONE


def size_of(data: bytes) -> int:
    """[MS-TDS] 2.2.3.1: the length at bytes 2 and 3 counts the header."""
    return int.from_bytes(data[2:4], "big")


def answer(listener: socket.socket) -> None:
    """Answer each message; its last packet has bit 0 of the status set."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as file:
        while head := file.read(8):
            file.read(size_of(head) - 8)
            if not head[1] & 1:
                continue
            body = PRELOGIN if head[0] == 18 else LOGGED_IN if head[0] == 16 else DONE
            size = (8 + len(body)).to_bytes(2, "big")
            connection.sendall(b"\x04\x01" + size + b"\0\0\1\0" + body)


def main() -> None:
    """Log in, and send batches of one packet and of several."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    connection = pytds.connect(
        "127.0.0.1", "stock", "reader", "secret", port=tap.port, autocommit=True
    )
    cursor = connection.cursor()
    cursor.execute("SELECT 1")
    cursor.execute("SELECT '" + "x" * 3000 + "'")
    connection.close()
    [passed] = tap.connections
    save("tds", "tds", __file__, [stream(passed.client, package("python-tds"), size_of)])


main()
