"""greenstalk with the beanstalkd of Debian 12.

``apt-get install beanstalkd; pip install greenstalk==2.1.1``
"""

from __future__ import annotations

import subprocess
from contextlib import suppress

import greenstalk

from .recording import Tap, free_port, package, save, stream, wait_for

SIZED = (b"put ", b"RESERVED ", b"FOUND ", b"OK ")


def size_of(data: bytes) -> int:
    """A line; one command and three answers have data behind it, whose size is the last word."""
    end = data.index(b"\r\n") + 2
    return end + int(data[:end].split()[-1]) + 2 if data.startswith(SIZED) else end


def main() -> None:
    """Put, take, look, count."""
    port = free_port()
    process = subprocess.Popen(["beanstalkd", "-l", "127.0.0.1", "-p", str(port)])
    try:
        wait_for(port)
        tap = Tap(("127.0.0.1", port))
        with greenstalk.Client(("127.0.0.1", tap.port), use="parts", watch="parts") as client:
            for body in ("bolt", "", "\r\n" * 20, "n" * 300):
                client.put(body)
            for _ in range(3):
                client.delete(client.reserve(timeout=0))
            client.peek_ready()
            client.stats()
            with suppress(greenstalk.NotFoundError):
                client.peek(99)
            version = client.stats()["version"]
    finally:
        process.terminate()
        process.wait()
    [connection] = tap.connections
    save(
        "beanstalk",
        "beanstalk",
        __file__,
        [
            stream(connection.client, package("greenstalk"), size_of),
            stream(connection.server, f"beanstalkd {version}", size_of),
        ],
    )


main()
