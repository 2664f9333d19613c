"""How ``serve`` and ``receive`` seal: its options, and what they make."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from .. import AuthorizedClients, Invitation, ServerIdentity, SharedKey
from .errors import CommandError, Exit
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
    post_quantum_only: bool

    def __post_init__(self) -> None:
        check_one_way(self.key, self.passphrase, self.identity)
        if self.identity is None and (self.clients is not None or self.invite):
            raise click.UsageError("--clients and --invite need --identity FILE too")
        if self.identity is not None and self.clients is None:
            raise click.UsageError("--identity needs --clients FILE too, the clients to let in")
        if self.post_quantum_only and not any(self.ways.values()):
            raise click.UsageError(
                "--post-quantum-only needs --key, --passphrase or --identity too"
            )

    @property
    def ways(self) -> dict[str, object]:
        """The options that make it sealed, by their names, with what was given."""
        return {"key": self.key, "passphrase": self.passphrase, "identity": self.identity}

    def open(self) -> SharedKey | ServerIdentity | None:
        """Return what seals, None for a plain server; this reads files and may ask.

        :raises KeyFileError: a file cannot be used
        :raises KeyFormatError: a key or a line of the file of clients is mistyped
        :raises CommandError: there is no file of clients
        """
        if self.identity is None or self.clients is None:
            shared = ("NNhfs+psk0",) if self.post_quantum_only else ("NNpsk0",)
            return shared_key(self.key, self.passphrase, patterns=shared)
        key = private_key(self.identity, make=bool(self.invite))
        if self.invite:
            AuthorizedClients.create(self.clients)
        elif not self.clients.exists():
            raise CommandError(
                f"there is no file of clients {self.clients}: let a first one in by "
                "--invite NAME, which makes it, or write a line for each: PUBLIC-KEY NAME",
                Exit.KEY,
            )
        patterns = ("XKhfs", "XXhfs") if self.post_quantum_only else ("XK", "XX")
        return ServerIdentity(key, self.clients, patterns=patterns)

    def invitations(
        self, security: SharedKey | ServerIdentity | None
    ) -> list[tuple[str, Invitation]]:
        """Return each name with a new invitation.

        :param security: what :meth:`open` returned
        :raises click.UsageError: a name will not do
        """
        if not isinstance(security, ServerIdentity):
            return []
        try:
            return [(name, security.invite(name)) for name in self.invite]
        except ValueError as error:
            raise click.UsageError(f"--invite: {error}") from None


def server_sealing(command: Command) -> Command:
    """Add the options; the command gets them as ``sealing``."""

    @shared_key_options
    @click.option(
        "--identity",
        metavar="FILE",
        type=FILE,
        help="Seal with this server's own private key in FILE. Made by: sealframe keygen. "
        "Whoever connects learns its public key, and may know the server again by it.",
    )
    @click.option(
        "--clients",
        metavar="FILE",
        type=FILE,
        help="With --identity: the clients to let in, one on each line, public key and name. "
        "Taking out a line ends that client's connections. Invitations need its folder to "
        "be writable: a new file takes its place.",
    )
    @click.option(
        "--invite",
        metavar="NAME",
        multiple=True,
        help="With --identity: let a new client in, once and within 10 minutes, and call it "
        "NAME. Makes both files if they are missing. Each start makes a new invitation and "
        "forgets those before; nothing else takes one back.",
    )
    @click.option(
        "--post-quantum-only",
        is_flag=True,
        help="Refuse clients that ask for a key exchange without post-quantum, as those of old "
        "versions and with --classic do.",
    )
    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        own = {field.name: options.pop(field.name) for field in fields(ServerSealing)}
        command(sealing=ServerSealing(**own), **options)

    return wrapped
