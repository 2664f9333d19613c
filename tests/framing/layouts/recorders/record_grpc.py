"""grpcio with itself: ``pip install grpcio==1.85.3 hyperframe==6.1.0``.

Makes two files: the HTTP/2 frames, and the messages of gRPC that are in the DATA frames of each
stream, which hyperframe cuts out.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from hyperframe.frame import DataFrame, Frame

from .recording import Sent, Tap, package, save, stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame_size_of(data: bytes) -> int:
    """RFC 9113, section 4.1, by hyperframe."""
    _, length = Frame.parse_frame_header(memoryview(data)[:9])
    return 9 + int(length)


def message_size_of(data: bytes) -> int:
    """A byte that tells of compression, and a length of 4 bytes."""
    if len(data) < 5:
        raise IndexError
    return 5 + int.from_bytes(data[1:5], "big")


def messages(data: bytes) -> bytes:
    """Return what the DATA frames carry, stream by stream."""
    carried: dict[int, bytes] = {}
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data)[:9])
        if isinstance(frame, DataFrame):
            frame.parse_body(memoryview(data)[9 : 9 + length])
            carried[frame.stream_id] = carried.get(frame.stream_id, b"") + frame.data
        data = data[9 + length :]
    return b"".join(carried.values())


class Handler(grpc.GenericRpcHandler):  # type: ignore[misc,unused-ignore]
    """Answers a stream with a stream: each message twice."""

    def service(self, _: object) -> grpc.RpcMethodHandler:
        """Return the one method that is there."""

        def twice(requests: object, _: object) -> object:
            for request in requests:  # type: ignore[attr-defined]
                yield request
                yield request * 2

        return grpc.stream_stream_rpc_method_handler(twice)


def main() -> None:
    """Serve and record."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    tap = Tap(("127.0.0.1", server.add_insecure_port("127.0.0.1:0")))
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{tap.port}") as channel:
        call = channel.stream_stream("/stock.Parts/Twice")
        list(call(iter([b"", b"bolt", b"n" * 300])))
        gzip = grpc.Compression.Gzip
        list(call(iter([b"x" * 2000]), compression=gzip))
    server.stop(None).wait()
    by = package("grpcio")
    connection = next(one for one in tap.connections if one.client.data)
    client, served = connection.client, connection.server
    http2 = [
        stream(client, by, frame_size_of, preamble=len(PREFACE)),
        stream(served, by, frame_size_of),
    ]
    save("http-2-grpc", "http-2", __file__, http2)
    carried = [
        Sent("client", [messages(client.data[len(PREFACE) :])]),
        Sent("server", [messages(served.data)]),
    ]
    save("grpc", "grpc", __file__, [stream(sent, by, message_size_of) for sent in carried])


main()
