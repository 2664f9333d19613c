"""Neo4j's driver, with a server that answers little: ``pip install neo4j==6.4.1``."""

from __future__ import annotations

import socket
import struct
import threading

from neo4j import GraphDatabase

from .recording import Tap, package, save, stream

HELLO, RUN, PULL, GOODBYE = 0x01, 0x10, 0x3F, 0x02
FIELDS = b"\xb1\x70\xa2\x86fields\x91\x81n\x87t_first\x01"
ENDED = b"\xb1\x70\xa2\x84type\x81r\x86t_last\x01"
GREETED = b"\xb1\x70\xa2\x86server\x8bNeo4j/4.4.0\x8dconnection_id\x86bolt-1"


def size_of(data: bytes) -> int:
    """The handshake, then chunks: big-endian, it does not count itself."""
    return 20 if data.startswith(b"\x60\x60\xb0\x17") else 2 + int.from_bytes(data[:2], "big")


def answer(listener: socket.socket) -> None:
    """Be a server of version 4.4 that finds one row."""
    connection, _ = listener.accept()
    file = connection.makefile("rb")
    file.read(20)
    connection.sendall(b"\0\0\4\4")
    kind = 0
    while kind != GOODBYE:
        message = b""
        while size := struct.unpack("!H", file.read(2))[0]:
            message += file.read(size)
        kind = message[1]
        answers = {HELLO: [GREETED], RUN: [FIELDS], PULL: [b"\xb1\x71\x91\x2a", ENDED]}
        for body in answers.get(kind, [b"\xb1\x70\xa0"]):
            connection.sendall(struct.pack("!H", len(body)) + body + b"\0\0")


def main() -> None:
    """Some queries."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    with GraphDatabase.driver(f"bolt://127.0.0.1:{tap.port}", auth=("neo4j", "pw")) as driver:
        with driver.session() as session:
            for query in ("RETURN 1 AS n", "MATCH (n:Person {name: 'Anna'}) RETURN n"):
                list(session.run(query, x=5))
    sent = tap.connections[0].client
    save("bolt", "bolt", __file__, [stream(sent, package("neo4j"), size_of)])


main()
