"""caproto, both ends: ``pip install caproto==1.3.0``."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import caproto

from .recording import Tap, free_port, package, save, stream, wait_for

SERVER = """
from caproto.server import PVGroup, pvproperty, run

class Group(PVGroup):
    a = pvproperty(value=1.5)
    text = pvproperty(value="hello there", dtype=str)
    w = pvproperty(value=[1, 2, 3] * 5)

run(Group(prefix="x:").pvdb, interfaces=["127.0.0.1"])
"""


def size_of(data: bytes) -> int:
    """A header of 16 bytes, with the size of what follows at offset 2; none is extended here."""
    return 16 + int.from_bytes(data[2:4], "big")


def main() -> None:
    """Open three channels, read and write."""
    port = free_port()
    env = {
        **os.environ,
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
    }
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(port)
    tap = Tap(("127.0.0.1", port))
    circuit = caproto.VirtualCircuit(caproto.CLIENT, ("127.0.0.1", tap.port), 0)
    connection = socket.create_connection(("127.0.0.1", tap.port))
    connection.settimeout(1)

    def say(*commands: object) -> None:
        connection.sendall(b"".join(bytes(part) for part in circuit.send(*commands)))
        try:
            while True:
                answers, _ = circuit.recv(connection.recv(65_536))
                for answer in answers:
                    circuit.process_command(answer)
        except TimeoutError:
            pass

    names = caproto.HostNameRequest("pc7"), caproto.ClientNameRequest("anna")
    say(caproto.VersionRequest(version=13, priority=0), *names)
    channels = [caproto.ClientChannel(name, circuit) for name in ("x:a", "x:text", "x:w")]
    for channel in channels:
        say(channel.create())
    for channel in channels:
        say(channel.read())
    say(channels[0].write((2.5,)))
    say(channels[1].write((b"a longer text",)))
    connection.close()
    server.kill()
    server.wait()
    by = package("caproto")
    passed = tap.connections[0]
    streams = [stream(passed.client, by, size_of), stream(passed.server, by, size_of)]
    save("epics-ca", "epics-ca", __file__, streams)


main()
