"""What a server says of itself when it has begun to listen."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from .. import Invitation, ServerIdentity, SharedKey
from .address import is_everywhere, is_local, shown
from .errors import complain
from .output import Output
from .pages import Page, tell
from .reachable import machine_addresses

ListeningAddress: TypeAlias = tuple[str, int] | str | None
"""As in ``Server.addresses``."""


def announce(
    addresses: Sequence[ListeningAddress],
    output: Output,
    security: SharedKey | ServerIdentity | None,
    invitations: list[tuple[str, Invitation]],
    *,
    what: str,
    joining: str,
    allowed: str,
    metrics: Page | None = None,
    dashboard: Page | None = None,
    control: Path | None = None,
) -> None:
    """Say where the server can be reached and by whom, and warn if anybody could.

    :param addresses: where it listens
    :param what: the kind of server
    :param joining: the command, without its options, of a client that was invited
    :param allowed: what whoever reaches a plain server can do
    :param metrics: its figures
    :param dashboard: the page that shows them
    :param control: its control socket
    """
    how = "plain" if security is None else "sealed"
    output.line(f"{what}, {how}, on {', '.join(map(shown, addresses))}", "bold")
    reached = reached_at(addresses)
    for address in reached:
        output.line(f"  reached at {shown(address)}")
    if isinstance(security, ServerIdentity):
        output.line(f"server key {security.public_key}")
        output.line(f"clients in {security.clients.path}: {len(security.clients)}")
        for name, invitation in invitations:
            show_invitation(name, invitation, join_command(addresses, joining), output)
    if metrics is not None:
        tell("metrics", metrics, output)
    if dashboard is not None:
        tell("dashboard", dashboard, output)
    if control is not None:
        output.line(f"control socket {control}")
    output.line("Ctrl-C ends it.", "dim")
    if security is None and not all(map(is_local, addresses)):
        complain(
            f"warning: whoever reaches this address can {allowed}; make a key with: "
            "sealframe keygen --shared FILE, and use --key FILE at both ends, or use --identity"
        )


def join_command(addresses: Sequence[ListeningAddress], joining: str) -> str:
    """Return the command of a client, with the likeliest address of the server in its place."""
    address = [*reached_at(addresses), *addresses][0]
    return joining.format(address=shlex.quote(shown(address)))


def reached_at(addresses: Sequence[ListeningAddress]) -> list[tuple[str, int]]:
    """Return the machine's addresses if the server listens at all of them."""
    return [
        (host, address[1])
        for address in addresses
        if isinstance(address, tuple) and is_everywhere(address[0])
        for host in machine_addresses(ipv6=":" in address[0])
    ]


def show_invitation(name: str, invitation: Invitation, joining: str, output: Output) -> None:
    """Print the command that lets one new client in, and the invitation, which is no part of it: a
    command line is in the list of processes and in the history of the shell."""
    # The name is for people, and may be no name for a file.
    file = f"{name}.key" if re.fullmatch(r"\w[\w.-]*", name) else "client.key"
    output.line(f"To let {name} in, run there, within 10 minutes:", "bold")
    output.line(f"  sealframe {joining} --identity {file} --invitation -", "cyan")
    output.line("and paste this there when it asks for the invitation; it works once:", "bold")
    output.line(f"  {invitation.to_text()}", "cyan")
