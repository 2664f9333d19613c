"""``sealframe invite``: a running server lets a new client in."""

from __future__ import annotations

from pathlib import Path

import click

from .. import Invitation
from .announcing import show_invitation
from .control import ask, controlling_option
from .errors import EXIT_CODES
from .output import Output
from .text import visible


@click.command(epilog=EXIT_CODES)
@click.argument("name")
@controlling_option
def invite(name: str, control: Path) -> None:
    """Let a new client in at a server that runs, and call it NAME.

    The server is a "sealframe serve" or "sealframe receive" with --identity, --clients and
    --control. This prints the command for the new client, and the invitation to be pasted
    there, as the server's own --invite does. It works once, within 10 minutes, and a restart of
    the server forgets it.
    """
    answer = ask(control, {"do": "invite", "name": name})
    invitation = Invitation.from_text(answer["invitation"])
    show_invitation(name, invitation, visible(answer["joining"]), Output())
