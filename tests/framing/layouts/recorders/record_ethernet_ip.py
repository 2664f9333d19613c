"""cpppo, scanner and adapter: ``pip install cpppo==5.2.5``."""

from __future__ import annotations

import struct
import subprocess
import sys
import time

from cpppo.server.enip import client

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """CIP volume 2, 2-3.1: command, length of what follows the 24 bytes of the header."""
    return 24 + int(struct.unpack_from("<H", data, 2)[0])


def main() -> None:
    """Register a session, write and read tags, list identity."""
    port = free_port()
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "cpppo.server.enip", "--address", f"127.0.0.1:{port}"),
            *("--no-udp", "Tag=INT[100]", "Text=STRING[2]"),
        ]
    )
    time.sleep(4)
    tap = Tap(("127.0.0.1", port))
    operations = ["Tag[0-9]=(INT)1,2,3,4,5,6,7,8,9,10", "Tag[0-99]", "Tag[3]"]
    with client.connector(host="127.0.0.1", port=tap.port, timeout=10) as link:
        for _ in link.pipeline(operations=client.parse_operations(operations), depth=1, timeout=10):
            pass
        link.list_identity(timeout=5)
        for _ in link:
            break
    server.terminate()
    by = package("cpppo")
    [connection] = tap.connections
    save(
        "ethernet-ip",
        "ethernet-ip",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
