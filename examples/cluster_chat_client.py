"""A client of the chat servers: at any of them, and at another one when that one goes away.

Run it: python examples/cluster_chat_client.py NAME [HOST:PORT ...]

Type lines; an empty one asks who is there, and the end of the input leaves.
"""

from __future__ import annotations

import contextlib
import sys
import threading

import sealframe
from sealframe.sync import Connection, reconnect

SERVERS = ("127.0.0.1:1234", "127.0.0.1:1235", "127.0.0.1:1236")


class Speaker:
    """Sends each line of the input over the connection of the moment."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._conn: Connection | None = None
        self._changed = threading.Condition()
        self.done = False

    def use(self, conn: Connection) -> None:
        """Go on over this connection."""
        with self._changed:
            self._conn = conn
            self._changed.notify()
            if self.done:
                conn.close()

    def run(self) -> None:
        """Say each line, then leave."""
        # Without a buffer: its lock would be held when the program ends in the middle of a read.
        with open(0, "rb", buffering=0, closefd=False) as lines:
            for line in lines:
                self._say(line.decode(errors="replace").strip())
        with self._changed:
            self.done = True
            # The next one, where this one is just being replaced, is closed as it comes.
            if self._conn is not None:
                self._conn.close()

    def _say(self, line: str) -> None:
        while True:
            conn = self._connection()
            try:
                conn.send(f"{self._name}\t{line}".encode())
                return
            except sealframe.ConnectionClosed:
                # It was not accepted: it goes over the next one.
                with self._changed:
                    while self._conn is conn:
                        self._changed.wait()

    def _connection(self) -> Connection:
        with self._changed:
            while self._conn is None:
                self._changed.wait()
            return self._conn


def main(name: str, *servers: str) -> None:
    speaker = Speaker(name)
    threading.Thread(target=speaker.run, daemon=True).start()
    # A session goes on at another server when its own is restarted. One that is killed takes the
    # session with it: the next round begins a new one.
    for conn in reconnect(servers or SERVERS, session=True):
        try:
            # Who is there? With that the others know this one's name, too.
            conn.send(f"{name}\t".encode())
            speaker.use(conn)
            for message in conn:
                print(message.decode())
        except sealframe.ConnectionClosed as error:
            print(f"* {error}")
        if speaker.done:
            break


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
