"""Apache Thrift and thriftpy2: ``pip install thrift==0.25.0 thriftpy2==0.7.1``.

Both write calls of one service in the binary protocol over their framed transports.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import thriftpy2
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.Thrift import TMessageType
from thrift.transport.TTransport import TFramedTransport, TMemoryBuffer
from thriftpy2.protocol import TBinaryProtocolFactory
from thriftpy2.rpc import make_client, make_server
from thriftpy2.transport import TFramedTransportFactory

from .recording import Sent, Tap, free_port, package, save, stream, wait_for

SERVICE = "service Parts { string twice(1: string text), void nothing() }"


def size_of(data: bytes) -> int:
    """4 bytes of length before each message."""
    if len(data) < 4:
        raise IndexError
    return 4 + int.from_bytes(data[:4], "big")


class Handler:
    """The service."""

    def twice(self, text: str) -> str:
        """Return it twice."""
        return text * 2

    def nothing(self) -> None:
        """Do nothing."""


def by_thriftpy2() -> list[Sent]:
    """Calls and replies."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "parts.thrift"
        path.write_text(SERVICE, encoding="ascii")
        service = thriftpy2.load(str(path), module_name="parts_thrift").Parts
    port = free_port()
    factories = {
        "proto_factory": TBinaryProtocolFactory(),
        "trans_factory": TFramedTransportFactory(),
    }
    server = make_server(service, Handler(), "127.0.0.1", port, **factories)
    threading.Thread(target=server.serve, daemon=True).start()
    wait_for(port)
    tap = Tap(("127.0.0.1", port))
    client = make_client(service, "127.0.0.1", tap.port, **factories)
    for text in ("", "bolt", "n" * 300):
        client.twice(text)
    client.nothing()
    client.close()
    [passed] = tap.connections
    return [passed.client, passed.server]


def by_apache() -> Sent:
    """What its framed transport writes; the last flush has nothing to write."""
    memory = TMemoryBuffer()
    transport = TFramedTransport(memory)
    protocol = TBinaryProtocol(transport)
    for number, size in enumerate((0, 4, 300)):
        protocol.writeMessageBegin("twice", TMessageType.CALL, number)
        protocol.writeString("n" * size)
        protocol.writeMessageEnd()
        transport.flush()
    transport.flush()
    return Sent("client", [memory.getvalue()])


def main() -> None:
    """Record both."""
    client, server = by_thriftpy2()
    by = package("thriftpy2")
    streams = [
        stream(client, by, size_of),
        stream(server, by, size_of),
        stream(by_apache(), package("thrift"), size_of),
    ]
    save("thrift", "thrift", __file__, streams)


main()
