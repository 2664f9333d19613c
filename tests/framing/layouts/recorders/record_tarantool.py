"""Tarantool 2.6.0 (Debian 12), and its connector: ``pip install tarantool==1.3.0``.

The second argument is where tarantool is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import tarantool

from .recording import Tap, free_port, package, save, stream, wait_for

SERVER = sys.argv[1] if len(sys.argv) > 1 else "tarantool"
PROGRAM = """
box.cfg{{memtx_memory = 33554432}}
box.schema.user.grant('guest', 'super')
box.schema.space.create('t'):create_index('p')
box.cfg{{listen = '127.0.0.1:{port}'}}
"""


def size_of(data: bytes) -> int:
    """A greeting of 128 bytes; then a number of MessagePack that does not count itself."""
    if data.startswith(b"Tarantool "):
        return 128
    if data[0] < 0x80:
        return 1 + data[0]
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4}[data[0]]
    return 1 + width + int.from_bytes(data[1 : 1 + width], "big")


def main() -> None:
    """Write and read."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "init.lua")
        program.write_text(PROGRAM.format(port=port), encoding="ascii")
        pipe = subprocess.PIPE
        server = subprocess.Popen(
            [SERVER, "init.lua"], cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe
        )
        wait_for(port)
        tap = Tap(("127.0.0.1", port))
        connection = tarantool.Connection("127.0.0.1", tap.port)
        for number in range(6):
            connection.replace(512, (number, 40 * number * "name "))
            connection.select(512, number)
        connection.ping()
        connection.close()
        server.kill()
        server.communicate()
    passed = tap.connections[0]
    ends = (
        (passed.client, package("tarantool")),
        (passed.server, "Tarantool 2.6.0 (Debian)"),
    )
    streams = [stream(sent, by, size_of) for sent, by in ends]
    save("tarantool", "tarantool", __file__, streams)


main()
