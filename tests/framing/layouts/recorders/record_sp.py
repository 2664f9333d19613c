"""pynng, both ends: ``pip install pynng==0.9.0``."""

from __future__ import annotations

import pynng

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """The connection's header; then big-endian lengths of 8 bytes that do not count themselves."""
    return 8 if data.startswith(b"\0SP\0") else 8 + int.from_bytes(data[:8], "big")


def main() -> None:
    """Requests and replies."""
    port = free_port()
    with pynng.Rep0(listen=f"tcp://127.0.0.1:{port}", recv_timeout=5000) as server:
        tap = Tap(("127.0.0.1", port))
        with pynng.Req0(dial=f"tcp://127.0.0.1:{tap.port}", recv_timeout=5000) as client:
            for text in (b"status", b"temperature of the kitchen", b"x", b"open door 7", b"close"):
                client.send(text)
                server.send(server.recv()[::-1] + b" done")
                client.recv()
    by = package("pynng")
    passed = tap.connections[0]
    streams = [stream(passed.client, by, size_of), stream(passed.server, by, size_of)]
    save("sp-tcp", "sp-tcp", __file__, streams)


main()
