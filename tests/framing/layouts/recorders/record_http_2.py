"""h2, client and server: ``pip install h2==4.4.1``."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events

from .recording import Sent, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 9113, section 4.1: the first three bytes count what follows the nine of the head."""
    if len(data) < 9:
        raise IndexError
    return 9 + int.from_bytes(data[:3], "big")


def main() -> None:
    """A request with a body and its answer, a ping, the end."""
    ends = [
        h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=side, header_encoding=None)
        )
        for side in (True, False)
    ]
    sent = [Sent("client"), Sent("server")]

    def exchange() -> None:
        for _ in range(3):
            for number in (0, 1):
                if data := ends[number].data_to_send():
                    sent[number].reads.append(data)
                    ends[1 - number].receive_data(data)

    client, server = ends
    client.initiate_connection()
    server.initiate_connection()
    exchange()
    head = [(":method", "POST"), (":path", "/"), (":scheme", "http"), (":authority", "a")]
    client.send_headers(1, head)
    client.send_data(1, b"x" * 300)
    client.send_data(1, b"", end_stream=True)
    exchange()
    server.send_headers(1, [(":status", "200"), ("a", "b" * 200)])
    server.send_data(1, b"y" * 1000, end_stream=True, pad_length=7)
    client.ping(b"12345678")
    exchange()
    client.close_connection()
    exchange()
    by = package("h2")
    preface = 24
    streams = [stream(sent[0], by, size_of, preamble=preface), stream(sent[1], by, size_of)]
    save("http-2", "http-2", __file__, streams)


main()
