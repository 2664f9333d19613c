"""redis-py with the Redis server of Debian 12.

``apt-get install redis-server; pip install redis==8.1.0``
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from contextlib import suppress

import redis

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """A RESP value: a type, a line, and where that is a length a bulk string and CR LF."""
    end = data.index(b"\r\n") + 2
    kind, line = data[:1], data[1 : end - 2]
    if kind in b"$=!":
        return end if line == b"-1" else end + int(line) + 2
    if kind in b"*~>%":
        place = end
        for _ in range(max(0, int(line)) * (2 if kind == b"%" else 1)):
            place += size_of(data[place:])
        return place
    return end


def part_size_of(data: bytes) -> int:
    """The same without nesting: an array's head, and each of its items, on its own."""
    if data[:1] in b"*~>%":
        return data.index(b"\r\n") + 2
    return size_of(data)


def use(client: redis.Redis) -> None:
    """Values of every kind."""
    client.set("name", "bolt")
    client.get("name")
    client.get("nothing")
    client.incr("count")
    client.rpush("list", "a", "bb", "", b"\r\n" * 5)
    client.lrange("list", 0, -1)
    client.hset("hash", mapping={"x": 1, "y": "n" * 400})
    client.hgetall("hash")
    client.eval("return {1, {2, {'deep', false}}, 'x'}", 0)
    with suppress(redis.ResponseError):
        client.incr("name")
    client.close()


def main() -> None:
    """Run a server and record RESP2 and RESP3."""
    port = free_port()
    found = subprocess.run(["redis-server", "--version"], check=True, stdout=subprocess.PIPE)
    number = re.search(rb"v=([\d.]+)", found.stdout)
    assert number
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--dir", folder, "--save", ""]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            waiting = redis.Redis(port=port, retry_on_error=[redis.ConnectionError])
            while True:
                try:
                    waiting.ping()
                    break
                except redis.ConnectionError:
                    pass
            waiting.close()
            tap = Tap(("127.0.0.1", port))
            use(redis.Redis(port=tap.port, protocol=2))
            use(redis.Redis(port=tap.port, protocol=3))
        finally:
            process.terminate()
            process.wait()
    server = f"Redis {number[1].decode()}"
    streams = []
    for connection in tap.connections:
        streams.append(stream(connection.client, package("redis"), part_size_of))
        streams.append(stream(connection.server, server, part_size_of))
    save("redis", "resp", __file__, streams)


main()
