"""``sealframe serve``: a relay."""

from __future__ import annotations

import asyncio
import logging

import click

import sealframe
from sealframe import CloseCode, Connection, Server, ServerOptions, SharedKey

from .address import DEFAULT, HELP, Address, is_everywhere, is_local, listening_address, shown
from .errors import EXIT_CODES, Exit, LogLines, complain
from .key_option import key_option
from .output import Output
from .reachable import machine_addresses
from .running import run

_SHOWN = 200
"""Bytes of each message that the relay's own output shows."""

_OPTIONS = ServerOptions(outbox_limit=8 * 1024 * 1024, close_timeout=5.0)


@click.command(epilog=f"{HELP}\n\n{EXIT_CODES}")
@click.argument("address", callback=listening_address, default=DEFAULT)
@key_option
def serve(address: Address, key: SharedKey | None) -> None:
    """Run a relay at ADDRESS: what one client says, all others get.

    They get "<id>: " and then the message as it was sent; the id is the sender's.
    A client that falls 8 MiB behind is disconnected.

    ADDRESS is 127.0.0.1:1234 unless given, which this machine alone can reach.
    0.0.0.0:1234 is reached over every IPv4 network that the machine is on, [::]:1234
    over every IPv6 network, and port 0 takes a free port. Ctrl-C or SIGTERM ends it.
    """
    logging.getLogger("sealframe").addHandler(LogLines())
    run(_serve(address, key), terminated=Exit.DONE)


async def _serve(address: Address, key: SharedKey | None) -> None:
    relay = Relay(Output(asyncio.current_task()))
    async with sealframe.serve(
        relay.handle, address.host, address.port, path=address.path, security=key, options=_OPTIONS
    ) as server:
        announce(server, relay.output, sealed=key is not None)
        relay.start(server)
        await server.serve_forever()


class Relay:
    """Passes every message on to all clients but its sender, and shows what happens."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()

    def start(self, server: Server) -> None:
        """Begin to serve clients; those that came before have waited."""
        self._started.set_result(server)

    async def handle(self, conn: Connection) -> None:
        """Serve one client."""
        server = await asyncio.shield(self._started)
        here = len(server.clients)
        self.output.line(
            f"{conn.id} joined from {shown(conn.remote_address)} ({here} here)", "green"
        )
        try:
            async for message in conn:
                self.output.message(message, who=conn.id, limit=_SHOWN)
                said = conn.id.encode() + b": " + message
                if len(said) > _OPTIONS.max_message_size:
                    complain(f"a message of {len(message)} bytes from {conn.id} is too large")
                    await conn.close(CloseCode.TOO_LARGE, "too large to be passed on")
                    return
                server.broadcast(said, exclude=conn)
        finally:
            self.output.line(f"{conn.id} left", "yellow")


def announce(server: Server, output: Output, *, sealed: bool) -> None:
    """Say where the server can be reached, and warn if anybody could."""
    how = "sealed" if sealed else "plain"
    output.line(f"relay, {how}, on {', '.join(map(shown, server.addresses))}", "bold")
    for address in server.addresses:
        if isinstance(address, tuple) and is_everywhere(address[0]):
            for host in machine_addresses(ipv6=":" in address[0]):
                output.line(f"  reached at {shown((host, address[1]))}")
    output.line("Ctrl-C ends it.", "dim")
    if not sealed and not all(map(is_local, server.addresses)):
        complain(
            "warning: whoever reaches this address can read and join; "
            "make a key with: sealframe keygen FILE, and use --key FILE at both ends"
        )
