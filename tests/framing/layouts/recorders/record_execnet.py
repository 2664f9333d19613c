"""execnet, both ends, over the pipes of a process: ``pip install execnet==2.1.2``."""

from __future__ import annotations

from typing import Any

import execnet
from execnet import gateway_bootstrap
from execnet.gateway_base import Popen2IO

from .recording import Connection, package, save, stream


class Tapped(Popen2IO):  # type: ignore[misc,unused-ignore]
    """The pipes of execnet, which keep what passes."""

    passed = Connection()

    def read(self, numbytes: int) -> bytes:
        """Read from the worker."""
        data: bytes = super().read(numbytes)
        self.passed.server.reads.append(data)
        return data

    def write(self, data: bytes) -> None:
        """Write to the worker."""
        self.passed.client.reads.append(bytes(data))
        super().write(data)


def size_of(data: bytes) -> int:
    """Kind, number of the channel in 4 bytes, length in 4 bytes, data; once a line of source."""
    if data[:1] in (b"'", b'"'):
        return data.index(b"\n") + 1
    if len(data) < 9:
        raise IndexError
    return 9 + int.from_bytes(data[5:9], "big")


def main() -> None:
    """Run a program at the other end, speak with it, and leave."""
    # Where it is installed is nobody's business, and the worker finds it anyway.
    gateway_bootstrap.importdir = "/usr/lib/python3/site-packages"
    original: Any = execnet.gateway_io.Popen2IOMaster

    class Master(Tapped, original):  # type: ignore[misc,unused-ignore]
        """The end that starts the process."""

    execnet.gateway_io.Popen2IOMaster = Master
    gateway = execnet.makegateway("popen")
    channel = gateway.remote_exec("for item in channel:\n    channel.send(item * 2)\n")
    for item in ("", "bolt", 7, b"x" * 3000, [1, None, 2.5]):
        channel.send(item)
        channel.receive()
    channel.close()
    channel.waitclose()
    gateway.exit()
    gateway.join(5)
    by = package("execnet")
    passed = Tapped.passed
    streams = [
        stream(passed.client, by, size_of),
        stream(passed.server, by, size_of, preamble=1),
    ]
    save("execnet", "execnet", __file__, streams)


main()
