"""Before: a client on multiprocessing.connection."""

from __future__ import annotations

import sys
from multiprocessing.connection import Client


def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    with Client((host, int(port)), authkey=b"secret") as conn:
        for word in (b"one", b"", b"three"):
            conn.send_bytes(word)
            print(conn.recv_bytes())


if __name__ == "__main__":
    main(*sys.argv[1:])
