"""python-binary-memcached with the memcached of Debian 12.

``apt-get install memcached; pip install python-binary-memcached==0.33.0``
"""

from __future__ import annotations

import subprocess

import bmemcached

from .recording import Tap, free_port, package, save, stream, wait_for


def size_of(data: bytes) -> int:
    """A header of 24 bytes, with the length of the body at bytes 8 to 11."""
    return 24 + int.from_bytes(data[8:12], "big")


def main() -> None:
    """Set, get, count, and what is not there."""
    port = free_port()
    text = subprocess.run(["memcached", "-V"], check=True, capture_output=True, text=True).stdout
    command = ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command)
    try:
        wait_for(port)
        tap = Tap(("127.0.0.1", port))
        client = bmemcached.Client((f"127.0.0.1:{tap.port}",), compression=None)
        client.set("name", "bolt")
        client.get("name")
        client.get("nothing")
        client.set("long", "n" * 700)
        client.get_multi(["name", "long"])
        client.set("empty", "")
        client.get("empty")
        client.incr("count", 1)
        client.delete("name")
        client.stats()
        client.disconnect_all()
    finally:
        process.terminate()
        process.wait()
    [connection] = tap.connections
    save(
        "memcached-binary",
        "memcached-binary",
        __file__,
        [
            stream(connection.client, package("python-binary-memcached"), size_of),
            stream(connection.server, text.strip(), size_of),
        ],
    )


main()
