"""A server that only listens, for recorders of what a client sends unasked."""

from __future__ import annotations

import socket
import threading


class Sink:
    """Accepts one connection and reads it to its end.

    :ivar address: where it listens
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener:
            while connection.recv(65_536):
                pass

    def wait(self) -> None:
        """Wait until the client has closed."""
        self._thread.join(10)
