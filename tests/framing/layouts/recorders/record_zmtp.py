"""pyzmq with itself: ``pip install pyzmq==27.3.0``, which brings libzmq."""

from __future__ import annotations

import zmq

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """ZMTP 3.1: a greeting of 64 bytes, then a byte of flags and a length of 1 or 8 bytes."""
    if data.startswith(b"\xff"):
        return 64
    width = 8 if data[0] & 2 else 1
    if len(data) < 1 + width:
        raise IndexError
    return 1 + width + int.from_bytes(data[1 : 1 + width], "big")


def main() -> None:
    """Ask and answer, in several parts, short and long."""
    context = zmq.Context()
    server = context.socket(zmq.REP)
    port = server.bind_to_random_port("tcp://127.0.0.1")
    tap = Tap(("127.0.0.1", port))
    client = context.socket(zmq.REQ)
    client.connect(f"tcp://127.0.0.1:{tap.port}")
    for parts in ([b"bolt"], [b""], [b"a", b"b" * 255, b"c" * 256], [b"d" * 9000]):
        client.send_multipart(parts)
        server.send_multipart(server.recv_multipart()[::-1])
        client.recv_multipart()
    client.close()
    server.close()
    context.term()
    by = f"{package('pyzmq')} (libzmq {zmq.zmq_version()})"
    [connection] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (connection.client, connection.server)]
    save("zmtp", "zmtp", __file__, streams)


main()
