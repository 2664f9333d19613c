"""Python's SocketHandler, and pygelf over TCP: ``pip install pygelf==0.4.3``."""

from __future__ import annotations

import logging
import logging.handlers
import platform

from pygelf import GelfTcpHandler

from .recording import Tap, package, save, stream
from .sink import Sink

PROGRAM = """
logger.info("turned %d times", 7)
logger.warning("")
logger.error("long " * 2000)
try:
    raise LookupError("no bolt")
except LookupError:
    logger.exception("what went wrong")
"""
# The records have its name, and not this one's.


def pickled_size_of(data: bytes) -> int:
    """4 bytes of length before each record."""
    return 4 + int.from_bytes(data[:4], "big")


def gelf_size_of(data: bytes) -> int:
    """NUL behind each."""
    return data.index(b"\0") + 1


def log(handler: logging.Handler) -> None:
    """Log a few lines."""
    logger = logging.getLogger("sensors.attic")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    exec(compile(PROGRAM, "attic.py", "exec"), {"logger": logger})
    logger.removeHandler(handler)
    handler.close()


def main() -> None:
    """Log to a server that only reads."""
    sink = Sink()
    tap = Tap(sink.address)
    log(logging.handlers.SocketHandler("127.0.0.1", tap.port))
    sink.wait()
    by = f"Python {platform.python_version()}"
    streams = [stream(tap.connections[0].client, by, pickled_size_of)]
    save("python-logging", "python-logging", __file__, streams)
    sink = Sink()
    tap = Tap(sink.address)
    log(GelfTcpHandler("127.0.0.1", tap.port, debug=True))
    sink.wait()
    streams = [stream(tap.connections[0].client, package("pygelf"), gelf_size_of)]
    save("gelf-tcp", "gelf-tcp", __file__, streams)


main()
