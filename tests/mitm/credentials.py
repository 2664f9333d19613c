"""What the honest ends prove themselves with, in each handshake pattern."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sealframe import ClientIdentity, PrivateKey, ServerIdentity, SharedKey
from sealframe.noise.handshake import Handshake
from sealframe.wire import MAGIC, VERSION, Pattern

from .middle import Way

CONTEXT = b"vault.example"
"""The name of the service in all these tests."""

PatternName = Literal["NNpsk0", "XK", "XX", "NNhfs+psk0", "XKhfs", "XXhfs"]


@dataclass(frozen=True)
class Credentials:
    """The keys of one server and its clients.

    The bytes are what a thief of the key would have.
    """

    name: PatternName
    pattern: Pattern
    server: Any
    """For ``serve(security=)``."""
    client: Any
    """For ``connect(security=)``: of the client that is attacked."""
    bystander: Any
    """The same of the one that is not."""
    psk: bytes | None = None
    server_static: bytes | None = None
    client_static: bytes | None = None
    server_public: bytes | None = None
    client_public: bytes | None = None

    def handshakes(self, way: Way) -> int:
        """Return how many frames the handshake has in that direction."""
        return 2 if way is Way.UP and self.psk is None else 1

    @property
    def pinned(self) -> bool:
        """Whether the client has the server's public key beforehand, as in XK."""
        return self.name in ("XK", "XKhfs")

    @property
    def unproven(self) -> bool:
        """Whether message 1 proves nothing, as in XX."""
        return self.name in ("XX", "XXhfs")

    @property
    def preamble(self) -> bytes:
        """What stands before message 1."""
        return MAGIC + bytes((VERSION, self.pattern))

    def handshake(
        self, *, initiator: bool, context: bytes = CONTEXT, static: bytes | None = None
    ) -> Handshake:
        """Return one end's handshake, with that end's keys unless told otherwise."""
        own = self.client_static if initiator else self.server_static
        return Handshake(
            self.name,
            initiator=initiator,
            prologue=self.preamble + len(context).to_bytes(2, "little") + context,
            psk=self.psk,
            static=static or own,
            remote_static=self.server_public if initiator and self.pinned else None,
        )


def make(name: PatternName, folder: Path, *, accepted: Collection[PatternName] = ()) -> Credentials:
    """Return new keys.

    :param folder: for a file of known servers
    :param accepted: the patterns that the server takes, if not that one alone
    """
    if name in ("NNpsk0", "NNhfs+psk0"):
        return shared(name)
    return identities(name, folder / "known_servers", accepted or (name,))


def shared(name: PatternName) -> Credentials:
    """Return a shared key."""
    hybrid = name == "NNhfs+psk0"
    key = SharedKey.generate(post_quantum=hybrid)
    return Credentials(
        name=name,
        pattern=Pattern.NNHFS_PSK0 if hybrid else Pattern.NNPSK0,
        server=key,
        client=key,
        bystander=key,
        psk=key.secret_bytes(),
    )


def identities(
    name: PatternName, known_servers: Path, accepted: Collection[PatternName]
) -> Credentials:
    """Return a key pair for the server and for each of two clients that it lets in."""
    server, client, bystander = (PrivateKey.generate() for _ in range(3))

    hybrid = "hfs" in name

    def identity(key: PrivateKey) -> ClientIdentity:
        if name in ("XK", "XKhfs"):
            return ClientIdentity(key, server=server.public_key, post_quantum=hybrid)
        return ClientIdentity(
            key, known_servers=known_servers, trust_first_use=True, post_quantum=hybrid
        )

    return Credentials(
        name=name,
        pattern=Pattern[name.upper()],
        server=ServerIdentity(
            server,
            {"client": client.public_key, "bystander": bystander.public_key},
            patterns=accepted,
        ),
        client=identity(client),
        bystander=identity(bystander),
        server_static=server.secret_bytes(),
        client_static=client.secret_bytes(),
        server_public=bytes(server.public_key),
        client_public=bytes(client.public_key),
    )
