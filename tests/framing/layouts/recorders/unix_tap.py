"""The proxy of ``recording`` for sockets of the Unix domain, for recorders alone."""

from __future__ import annotations

import socket
import tempfile
import threading
from pathlib import Path

from .recording import Connection, Sent


class UnixTap:
    """A proxy before a server on a path: listens on a path of its own and keeps what passes.

    :ivar path: where clients are to connect
    :ivar connections: what has passed, oldest connection first
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self.path = str(Path(tempfile.mkdtemp()) / "tap")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self.connections: list[Connection] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            passed = Connection()
            self.connections.append(passed)
            for ends in ((client, server, passed.client), (server, client, passed.server)):
                threading.Thread(target=self._pump, args=ends, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, drain: socket.socket, sent: Sent) -> None:
        try:
            while data := source.recv(65_536):
                sent.reads.append(data)
                drain.sendall(data)
            drain.shutdown(socket.SHUT_WR)
        except OSError:
            pass
