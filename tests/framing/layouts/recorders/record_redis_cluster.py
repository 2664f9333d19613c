"""Redis 7.0.15 (Debian 12: redis-server): two nodes that meet."""

from __future__ import annotations

import subprocess
import tempfile
import time

from .recording import Tap, free_port, save, stream, wait_for

BY = "Redis 7.0.15 (Debian)"
MOST = 3


def size_of(data: bytes) -> int:
    """RCmb, then the length of all, big-endian."""
    return int.from_bytes(data[4:8], "big")


def main() -> None:
    """Let two nodes meet, and publish something."""
    ports = [free_port(), free_port()]
    buses = [Tap(("127.0.0.1", free_port())) for _ in ports]
    targets = [free_port(), free_port()]
    nodes = []
    with tempfile.TemporaryDirectory() as folder:
        for index, port in enumerate(ports):
            buses[index]._target = ("127.0.0.1", targets[index])
            options = {
                "port": port,
                "cluster-enabled": "yes",
                "cluster-port": targets[index],
                "cluster-announce-bus-port": buses[index].port,
                "cluster-config-file": f"nodes-{index}.conf",
                "bind": "127.0.0.1",
                "dir": folder,
            }
            words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            nodes.append(subprocess.Popen(["redis-server", *words, "--save", ""]))
            wait_for(port)
        client = ["redis-cli", "-p", str(ports[0])]
        subprocess.run([*client, "cluster", "addslots", "1", "2", "16000"], check=True)
        meet = [*client, "cluster", "meet", "127.0.0.1", str(ports[1]), str(buses[1].port)]
        subprocess.run(meet, check=True)
        time.sleep(2)
        subprocess.run([*client, "publish", "channel", "text"], check=True)
        time.sleep(2)
        for node in nodes:
            node.kill()
            node.wait()
    passed = buses[1].connections[0]
    streams = [stream(one, BY, size_of, most=MOST) for one in (passed.client, passed.server)]
    save("redis-cluster-bus", "redis-cluster-bus", __file__, streams)


main()
