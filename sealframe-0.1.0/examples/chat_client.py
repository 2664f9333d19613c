"""A client of chat_server.py, without asyncio: one thread reads lines, another shows them.

Run it: python examples/chat_client.py NAME [HOST [PORT]]

Type lines; /join ROOM, /who and /leave are commands, and the end of the input leaves too.
"""

from __future__ import annotations

import contextlib
import sys
import threading

import sealframe
from sealframe.sync import Connection


def say(conn: Connection) -> None:
    """Send each line of the input."""
    # Without a buffer: its lock would be held when the program ends in the middle of a read.
    with (
        open(0, "rb", buffering=0, closefd=False) as lines,
        contextlib.suppress(sealframe.ConnectionClosed),
    ):
        for line in lines:
            conn.send(line.strip())
        conn.close()


def main(name: str, host: str = "127.0.0.1", port: str = "1234") -> None:
    with sealframe.sync.connect(host, int(port)) as conn:
        conn.send(name.encode())
        threading.Thread(target=say, args=(conn,), daemon=True).start()
        for message in conn:
            print(message.decode())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
