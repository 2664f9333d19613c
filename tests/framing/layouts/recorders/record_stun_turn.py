"""aioice relays through coturn over TCP: ``pip install aioice==0.13.0``; ``apt install coturn``."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time

from aioice import turn

from .recording import Connection, Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 8489, section 5, and RFC 8656, 12.5: over TCP ChannelData is padded to four bytes."""
    length = int.from_bytes(data[2:4], "big")
    if data[0] & 0xC0 == 0x40:
        return 4 + (length + 3) // 4 * 4
    return 20 + length


class Echo(asyncio.DatagramProtocol):
    """A peer that sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send it back."""
        self.transport.sendto(data, addr)


class Relayed(asyncio.DatagramProtocol):
    """The client's end."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Keep it."""
        del addr
        self.came.put_nowait(data)


async def relay(tap: Tap, sizes: list[int]) -> Connection:
    """Allocate, bind a channel where something is sent, send so many bytes each, release."""
    loop = asyncio.get_running_loop()
    peer, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    transport, protocol = await turn.create_turn_endpoint(
        Relayed,
        server_addr=("127.0.0.1", tap.port),
        username="user",
        password="password",
        transport="tcp",
    )
    for size in sizes:
        transport.sendto(bytes(size), peer.get_extra_info("sockname"))
        if size:
            await asyncio.wait_for(protocol.came.get(), 5)
    transport.close()
    await asyncio.sleep(1)
    peer.close()
    return tap.connections[-1]


async def main() -> None:
    """With data, and without."""
    port = free_port()
    options = [
        *("-n", "--lt-cred-mech", "--user", "user:password", "--realm", "example.com", "--no-tls"),
        *("--no-dtls", "--no-cli", "--allow-loopback-peers", "--listening-ip", "127.0.0.1"),
        *("--relay-ip", "127.0.0.1", "--listening-port", str(port), "--log-file", "stdout"),
        *("--pidfile", "/tmp/turn.pid", "--userdb", "/tmp/turn.db"),
    ]
    server = subprocess.Popen(["turnserver", *options], stdout=subprocess.DEVNULL)
    time.sleep(2)
    tap = Tap(("127.0.0.1", port))
    told = subprocess.run(["dpkg", "-s", "coturn"], capture_output=True, text=True, check=True)
    [version] = re.findall(r"^Version: ([\d.]+)", told.stdout, re.MULTILINE)
    by = {"client": package("aioice"), "server": f"coturn {version} (Debian)"}
    for entry, sizes in (("turn-tcp", [0, 1, 2, 3, 4, 900]), ("stun-tcp", [])):
        connection = await relay(tap, sizes)
        both = (connection.client, connection.server)
        save(entry, entry, __file__, [stream(sent, by[sent.sender], size_of) for sent in both])
    server.terminate()


asyncio.run(main())
