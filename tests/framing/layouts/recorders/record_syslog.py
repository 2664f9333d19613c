"""rfc5424-logging-handler, both framings: ``pip install rfc5424-logging-handler==1.4.3``."""

from __future__ import annotations

import logging
import socket
import threading

from rfc5424logging import FRAMING_NON_TRANSPARENT, FRAMING_OCTET_COUNTING, Rfc5424SysLogHandler

from .recording import Tap, package, save, stream


def counted(data: bytes) -> int:
    """RFC 6587, 3.4.1: decimal digits, a space, so many bytes."""
    space = data.index(b" ")
    return space + 1 + int(data[:space])


def lines(data: bytes) -> int:
    """RFC 6587, 3.4.2: up to a line feed."""
    return data.index(b"\n") + 1


def swallow(listener: socket.socket) -> None:
    """Read all and say nothing, as syslog servers do."""
    connection, _ = listener.accept()
    while connection.recv(65_536):
        pass


def main() -> None:
    """A line, two lines in one message, a long one; from one logger."""
    for entry, framing, size_of in (
        ("syslog-counted", FRAMING_OCTET_COUNTING, counted),
        ("syslog-lines", FRAMING_NON_TRANSPARENT, lines),
    ):
        listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=swallow, args=(listener,), daemon=True).start()
        tap = Tap(listener.getsockname())
        handler = Rfc5424SysLogHandler(
            address=("127.0.0.1", tap.port),
            socktype=socket.SOCK_STREAM,
            framing=framing,
            hostname="host",
            appname="example",
            procid=1,
        )
        logger = logging.getLogger(entry)
        logger.propagate = False
        logger.addHandler(handler)
        logger.warning("disk full")
        logger.error("two\nlines, and an umlaut: ü")
        logger.critical("x" * 1500)
        handler.close()
        by = package("rfc5424-logging-handler")
        while not tap.connections:
            pass
        threading.Event().wait(0.5)
        save(entry, entry, __file__, [stream(tap.connections[0].client, by, size_of)])


main()
