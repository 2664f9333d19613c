"""Before: a server on multiprocessing.connection, one thread for each client."""

from __future__ import annotations

import contextlib
import sys
import threading
from multiprocessing.connection import Connection, Listener


def handle(conn: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            conn.send_bytes(conn.recv_bytes().upper())


def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    with Listener((host, int(port)), authkey=b"secret") as listener:
        print(f"listening on {host}:{listener.address[1]}")
        while True:
            threading.Thread(target=handle, args=(listener.accept(),), daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
