"""Sends or receives one file by magic-wormhole's transit: ``wormhole_.py ROLE PATH SIZE``.

Hints go over stdout and stdin in place of its mailbox; there is no relay.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import inlineCallbacks
from twisted.internet.error import ConnectionClosed
from twisted.protocols.basic import FileSender
from wormhole.transit import (  # type: ignore[import-not-found,unused-ignore]
    TransitReceiver,
    TransitSender,
)


@inlineCallbacks  # type: ignore[untyped-decorator,unused-ignore]
def send(reactor: Any, path: str) -> Generator[Any, Any, None]:
    """Send the file once the other end is there."""
    transit = TransitSender("", reactor=reactor)
    transit.set_transit_key(bytes(32))
    (hint, *_) = yield transit.get_connection_hints()
    print(json.dumps([{**hint, "hostname": "127.0.0.1"}]), flush=True)
    pipe = yield transit.connect()
    hasher = hashlib.sha256()
    began = time.perf_counter()

    def hashed(data: bytes) -> bytes:
        hasher.update(data)
        return data

    with Path(path).open("rb") as file:
        yield FileSender().beginFileTransfer(file, pipe, transform=hashed)
    answer = yield pipe.receive_record()
    wall = time.perf_counter() - began
    pipe.close()
    if answer != hasher.digest():
        raise SystemExit("the file was changed on its way")
    report(wall)


@inlineCallbacks  # type: ignore[untyped-decorator,unused-ignore]
def receive(reactor: Any, path: str, size: str) -> Generator[Any, Any, None]:
    """Receive the file, have it on the disk, and answer with its hash."""
    transit = TransitReceiver("", no_listen=True, reactor=reactor)
    transit.set_transit_key(bytes(32))
    yield transit.get_connection_hints()
    transit.add_connection_hints(json.loads(sys.stdin.readline()))
    pipe = yield transit.connect()
    hasher = hashlib.sha256()
    with Path(path).open("wb") as file:
        yield pipe.writeToFile(file, int(size), hasher=hasher.update)
        file.flush()
        os.fsync(file.fileno())
    pipe.send_record(hasher.digest())
    with contextlib.suppress(ConnectionClosed):
        # The other end closes once it has that.
        yield pipe.receive_record()
    report(0.0)


def report(wall: float) -> None:
    """Tell what was measured."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    task.react({"send": send, "receive": receive}[role], arguments)
