"""How ``serve`` seals: its options, and what they make."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sealframe import ServerIdentity, SharedKey, create_clients_file

from .sealing import FILE, Command, check_one_way, private_key, shared_key, shared_key_options


@dataclass(frozen=True, kw_only=True)
class ServerSealing:
    """What the options say.

    :raises click.UsageError: they cannot work together
    """

    key: Path | None
    passphrase: bool
    identity: Path | None
    clients: Path | None
    invite: tuple[str, ...]

    def __post_init__(self) -> None:
        check_one_way(self.key, self.passphrase, self.identity)
        if self.identity is None and (self.clients is not None or self.invite):
            raise click.UsageError("--clients and --invite need --identity FILE too")
        if self.identity is not None and self.clients is None:
            raise click.UsageError("--identity needs --clients FILE too, the clients to let in")
        for name in self.invite:
            if not name.isprintable() or len(name.split()) != 1:
                raise click.UsageError(f"--invite takes a name of one word, not {name!r}")

    def open(self) -> SharedKey | ServerIdentity | None:
        """Return what seals, None for a plain server; this reads files and may ask."""
        if self.identity is None or self.clients is None:
            return shared_key(self.key, self.passphrase)
        key = private_key(self.identity, make=bool(self.invite))
        if self.invite:
            create_clients_file(self.clients)
        return ServerIdentity(key, self.clients, patterns=("XK", "XX"))


def server_sealing(command: Command) -> Command:
    """Add the options; the command gets them as ``sealing``."""

    @shared_key_options
    @click.option(
        "--identity",
        metavar="FILE",
        type=FILE,
        help="Seal with this server's own private key in FILE. Made by: sealframe keygen",
    )
    @click.option(
        "--clients",
        metavar="FILE",
        type=FILE,
        help="With --identity: the clients to let in, one on each line, public key and name. "
        "Taking out a line ends that client's connections.",
    )
    @click.option(
        "--invite",
        metavar="NAME",
        multiple=True,
        help="With --identity: let a new client in, once and within 10 minutes, and call it "
        "NAME. Makes both files if they are missing.",
    )
    @functools.wraps(command)
    def wrapped(
        *,
        key: Path | None,
        passphrase: bool,
        identity: Path | None,
        clients: Path | None,
        invite: tuple[str, ...],
        **others: Any,
    ) -> None:
        sealing = ServerSealing(
            key=key, passphrase=passphrase, identity=identity, clients=clients, invite=invite
        )
        command(sealing=sealing, **others)

    return wrapped
