"""``sealframe serve``: a relay."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex

import click

import sealframe
from sealframe import (
    CloseCode,
    Connection,
    Invitation,
    Server,
    ServerIdentity,
    ServerOptions,
    SharedKey,
)

from .address import DEFAULT, HELP, Address, is_everywhere, is_local, listening_address, shown
from .errors import EXIT_CODES, Exit, LogLines, complain
from .output import Output
from .reachable import machine_addresses
from .running import run
from .server_sealing import ServerSealing, server_sealing

_SHOWN = 200
"""Bytes of each message that the relay's own output shows."""

_OPTIONS = ServerOptions(outbox_limit=8 * 1024 * 1024, close_timeout=5.0)


@click.command(epilog=f"{HELP}\n\n{EXIT_CODES}")
@click.argument("address", callback=listening_address, default=DEFAULT)
@server_sealing
def serve(address: Address, sealing: ServerSealing) -> None:
    """Run a relay at ADDRESS: what one client says, all others get.

    They get "<id>: " and then the message as it was sent; the id is the sender's,
    with --identity its name too: "<name>/<id>: ".
    A client that falls 8 MiB behind is disconnected.

    ADDRESS is 127.0.0.1:1234 unless given, which this machine alone can reach.
    0.0.0.0:1234 is reached over every IPv4 network that the machine is on, [::]:1234
    over every IPv6 network, and port 0 takes a free port. Ctrl-C or SIGTERM ends it.
    """
    logging.getLogger("sealframe").addHandler(LogLines())
    security = sealing.open()
    run(_serve(address, security, sealing.invitations(security)), terminated=Exit.DONE)


async def _serve(
    address: Address,
    security: SharedKey | ServerIdentity | None,
    invitations: list[tuple[str, Invitation]],
) -> None:
    relay = Relay(Output(asyncio.current_task()))
    async with sealframe.serve(
        relay.handle,
        address.host,
        address.port,
        path=address.path,
        security=security,
        options=_OPTIONS,
    ) as server:
        announce(server, relay.output, security, invitations)
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
        who = conn.id if conn.peer is None else f"{conn.peer.name}/{conn.id}"
        self.output.line(f"{who} joined from {shown(conn.remote_address)} ({here} here)", "green")
        try:
            async for message in conn:
                self.output.message(message, who=who, limit=_SHOWN)
                said = who.encode() + b": " + message
                if len(said) > _OPTIONS.max_message_size:
                    complain(f"a message of {len(message)} bytes from {who} is too large")
                    await conn.close(CloseCode.TOO_LARGE, "too large to be passed on")
                    return
                server.broadcast(said, exclude=conn)
        finally:
            self.output.line(f"{who} left", "yellow")


def announce(
    server: Server,
    output: Output,
    security: SharedKey | ServerIdentity | None,
    invitations: list[tuple[str, Invitation]],
) -> None:
    """Say where the server can be reached and by whom, and warn if anybody could."""
    how = "plain" if security is None else "sealed"
    output.line(f"relay, {how}, on {', '.join(map(shown, server.addresses))}", "bold")
    reached = reached_at(server)
    for address in reached:
        output.line(f"  reached at {shown(address)}")
    if isinstance(security, ServerIdentity):
        output.line(f"server key {security.public_key}")
        output.line(f"clients in {security.clients.path}: {len(security.clients)}")
        for name, invitation in invitations:
            show_invitation(name, invitation, shown([*reached, *server.addresses][0]), output)
    output.line("Ctrl-C ends it.", "dim")
    if security is None and not all(map(is_local, server.addresses)):
        complain(
            "warning: whoever reaches this address can read and join; make a key with: "
            "sealframe keygen --shared FILE, and use --key FILE at both ends, or use --identity"
        )


def reached_at(server: Server) -> list[tuple[str, int]]:
    """Return the machine's addresses if the server listens at all of them."""
    return [
        (host, address[1])
        for address in server.addresses
        if isinstance(address, tuple) and is_everywhere(address[0])
        for host in machine_addresses(ipv6=":" in address[0])
    ]


def show_invitation(name: str, invitation: Invitation, address: str, output: Output) -> None:
    """Print the command that lets one new client in."""
    # The name is for people, and may be no name for a file.
    file = f"{name}.key" if re.fullmatch(r"\w[\w.-]*", name) else "client.key"
    text = invitation.to_text()
    output.line(f"To let {name} in, run there, within 10 minutes; it works once:", "bold")
    output.line(
        f"  sealframe chat {shlex.quote(address)} --identity {file} --invitation {text}", "cyan"
    )
