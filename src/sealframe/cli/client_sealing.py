"""How clients seal: their options, and how they come to know a server."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

import sealframe

from .. import (
    ClientIdentity,
    CloseCode,
    ConnectError,
    Connection,
    HandshakeError,
    Invitation,
    KeyFileError,
    KnownServers,
    PrivateKey,
    PublicKey,
    SharedKey,
    UnauthorizedError,
    UnknownServerError,
)
from .address import ServerAddress, connect_to, each, known_as
from .asking import can_ask, invitation_text, is_right
from .errors import CommandError, exit_code
from .running import run
from .sealing import FILE, Command, check_one_way, private_key, shared_key, shared_key_options

_KNOWN_SERVERS = "known_servers"


@dataclass(frozen=True, kw_only=True)
class ClientSealing:
    """What the options say.

    :raises click.UsageError: they cannot work together
    """

    key: Path | None
    passphrase: bool
    identity: Path | None
    server_key: str | None
    known_servers: Path | None
    trust_first_use: bool
    invitation: str | None
    classic: bool

    def __post_init__(self) -> None:
        check_one_way(self.key, self.passphrase, self.identity)
        if self.classic and not any(self.ways.values()):
            raise click.UsageError("--classic needs --key, --passphrase or --identity too")
        about_server = {
            "--server-key": self.server_key is not None,
            "--invitation": self.invitation is not None,
            "--known-servers": self.known_servers is not None,
            "--trust-first-use": self.trust_first_use,
        }
        given = [name for name, there in about_server.items() if there]
        if given and self.identity is None:
            raise click.UsageError(f"{given[0]} needs --identity FILE too, this client's key")
        if len(given) > 1 and given not in (
            ["--invitation", "--known-servers"],
            ["--known-servers", "--trust-first-use"],
        ):
            raise click.UsageError(f"{given[0]} and {given[1]} cannot work together")

    @property
    def ways(self) -> dict[str, object]:
        """The options that make it sealed, by their names, with what was given."""
        return {"key": self.key, "passphrase": self.passphrase, "identity": self.identity}

    def open(self, address: ServerAddress) -> Access:
        """Return the way to a server; this reads files, and may ask and connect.

        :raises KeyFileError: a file cannot be used
        :raises KeyFormatError: a key or the invitation is mistyped
        :raises ServerKeyChangedError: the invitation is of another server than the known
        :raises UnknownServerError: the server's key was asked about and is not right
        """
        if self.identity is None:
            key = shared_key(self.key, self.passphrase, post_quantum=not self.classic)
            return Access(key)
        if self.server_key is not None:
            server = PublicKey.from_text(self.server_key)
            own = private_key(self.identity, make=False)
            security = ClientIdentity(own, server=server, post_quantum=not self.classic)
            return Access(security, key=own, server=server)
        known = KnownServers(
            self.known_servers or Path(click.get_app_dir("sealframe"), _KNOWN_SERVERS)
        )
        if self.invitation is not None:
            return self._open_invitation(self.identity, known, address)
        own = private_key(self.identity, make=False)
        security = ClientIdentity(
            own,
            known_servers=known.path,
            trust_first_use=self.trust_first_use,
            post_quantum=not self.classic,
        )
        access = Access(security, key=own)
        if can_ask() and not self.trust_first_use:
            for one in each(address):
                if known.lookup(known_as(one)) is not None:
                    continue
                # One of several that is not there is asked about another time.
                skipped = () if one is address else (ConnectError,)
                with access.explained(), suppress(*skipped):
                    _introduce(one, security, known)
        return access

    def _open_invitation(self, path: Path, known: KnownServers, address: ServerAddress) -> Access:
        text = self.invitation
        invitation = Invitation.from_text(invitation_text() if text in (None, "-") else text)
        # Before it is used up: afterwards it would not help any more.
        for one in each(address):
            known.check(known_as(one), invitation.server)
        key = private_key(path, make=True)
        security = ClientIdentity(key, invitation=invitation, post_quantum=not self.classic)
        return Access(security, key=key, server=invitation.server, to_record=known)


class Access:
    """The way to one server.

    :param security: for ``connect()``
    :param key: of this client, where it has one
    :param server: the server's public key, where it is known beforehand
    :param to_record: where to write the server once it has accepted the invitation
    """

    def __init__(
        self,
        security: SharedKey | ClientIdentity | None,
        *,
        key: PrivateKey | None = None,
        server: PublicKey | None = None,
        to_record: KnownServers | None = None,
    ) -> None:
        self.security = security
        self._key = key
        self._server = server
        self._to_record = to_record

    async def connected(self, conn: Connection) -> None:
        """Note that the server has let this client in.

        :raises CommandError: the server cannot be recorded
        """
        known, self._to_record = self._to_record, None
        if known is not None and conn.peer is not None:
            try:
                await asyncio.to_thread(known.add, conn.peer.name, conn.peer.key)
            except KeyFileError as error:
                # Who is on the server's list is let in with a used invitation too.
                raise CommandError(
                    f"{error}; the server has let this client in: see to that file, "
                    "and run the same command again",
                    exit_code(error),
                ) from error

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of a refusal what would help."""
        try:
            yield
        except HandshakeError as error:
            explained = self.explain(error)
            if explained is error:
                raise
            raise explained from error

    def explain(self, error: Exception) -> Exception:
        """Return the error with what would help, or as it is."""
        advice = self._advice(error) if isinstance(error, HandshakeError) else ""
        return CommandError(f"{error}; {advice}", exit_code(error)) if advice else error

    def _advice(self, error: HandshakeError) -> str:
        if isinstance(error, UnauthorizedError) and self._key is not None:
            line = f"add this line to its file of clients: {self._key.public_key} NAME"
            if self._to_record is None:
                return f"whoever runs it can {line}"
            return (
                "the invitation was used, is over ten minutes old, or the server was started "
                f"anew: ask whoever runs it for another, or to {line}"
            )
        if error.code == CloseCode.REFUSED and self._server is not None:
            return f"is its public key {self._server}?"
        if error.code == CloseCode.VERSION and self._key is not None and self._server is None:
            return "one that does not show its key to strangers needs --server-key"
        return ""


def _introduce(address: ServerAddress, security: ClientIdentity, known: KnownServers) -> None:
    """Let the server show its key, and ask about it when that attempt is over."""
    try:
        run(_knock(address, security))
    except UnknownServerError as error:
        if not is_right(error.name, error.key):
            raise
        known.add(error.name, error.key)


async def _knock(address: ServerAddress, security: ClientIdentity) -> None:
    conn = await sealframe.connect(**connect_to(address), security=security)
    await conn.close()


def client_sealing(command: Command) -> Command:
    """Add the options; the command gets them as ``sealing``."""

    @shared_key_options
    @click.option(
        "--identity",
        metavar="FILE",
        type=FILE,
        help="Seal with this client's own private key in FILE. Made by: sealframe keygen, "
        "or by --invitation",
    )
    @click.option(
        "--invitation",
        metavar="-|TEXT",
        help="With --identity: what the server printed for --invite. Makes the identity if "
        "it is missing, and remembers the server. - asks for it, or where there is no terminal "
        "reads it as the first line of stdin; the text itself is seen in the list of processes "
        "and in the shell's history.",
    )
    @click.option(
        "--server-key",
        metavar="TEXT",
        help="With --identity: the server's public key; no other is accepted.",
    )
    @click.option(
        "--known-servers",
        metavar="FILE",
        type=FILE,
        help="With --identity: the servers that are known. Unless given: "
        f"{_KNOWN_SERVERS} in the folder of sealframe's settings.",
    )
    @click.option(
        "--trust-first-use",
        is_flag=True,
        help="With --identity: take the key of a server that is not known for right, unasked.",
    )
    @click.option(
        "--classic",
        is_flag=True,
        help="Seal without the post-quantum key exchange, for a server that has none.",
    )
    @functools.wraps(command)
    def wrapped(**options: Any) -> None:
        own = {field.name: options.pop(field.name) for field in fields(ClientSealing)}
        command(sealing=ClientSealing(**own), **options)

    return wrapped
