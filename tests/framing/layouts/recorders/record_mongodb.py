"""pymongo with mockupdb: ``pip install pymongo==4.20.1 mockupdb==1.8.1``."""

from __future__ import annotations

import struct

import pymongo
from mockupdb import MockupDB, OpMsg

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """messageLength counts itself."""
    return int(struct.unpack_from("<i", data)[0])


def main() -> None:
    """Insert, find, ping."""
    server = MockupDB(auto_ismaster={"maxWireVersion": 21})
    server.run()
    server.autoresponds("ping")
    server.autoresponds(OpMsg({"insert": "parts"}, namespace="stock"), {"ok": 1, "n": 3})
    server.autoresponds("endSessions")
    found = [{"_id": n, "name": "part" * n} for n in range(8)]
    cursor = {"id": 0, "ns": "stock.parts", "firstBatch": found}
    server.autoresponds(OpMsg({"find": "parts"}, namespace="stock"), {"ok": 1, "cursor": cursor})
    tap = Tap((server.host, server.port))
    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        f"mongodb://127.0.0.1:{tap.port}/?directConnection=true&serverMonitoringMode=poll"
    )
    client.admin.command("ping")
    client.stock.parts.insert_many([{"name": f"part {n}", "tags": ["a"] * n} for n in range(3)])
    list(client.stock.parts.find({}))
    client.close()
    server.stop()
    streams = []
    for connection in tap.connections:
        if len(connection.client.data) > 0:
            streams.append(stream(connection.client, package("pymongo"), size_of))
            streams.append(stream(connection.server, package("mockupdb"), size_of))
    save("mongodb", "mongodb", __file__, streams)


main()
