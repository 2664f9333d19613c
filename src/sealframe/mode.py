"""What a program asked of a connection, checked before anything is opened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import cipher, wire
from .errors import ConfigurationError
from .framing import Framing
from .keys import SharedKey
from .protocol import Protocol
from .seal import Seal
from .version import SOFTWARE


@dataclass(frozen=True)
class Mode:
    """How to talk: packets, extended, sealed, or a foreign framing.

    :raises ConfigurationError: the arguments cannot work together
    :raises MissingExtraError: sealing needs ``cryptography``, which is missing
    """

    security: SharedKey | None = None
    context: bytes | str = b""
    framing: Framing | None = None
    extended: bool = False
    max_message_size: int = wire.MAX_LENGTH

    def __post_init__(self) -> None:
        if self.security is not None:
            if not isinstance(self.security, SharedKey):
                raise ConfigurationError(
                    f"security is a {type(self.security).__name__}; use a SharedKey, "
                    "for example SharedKey.load(path), or None"
                )
            cipher.require()
        if not isinstance(self.context, bytes | str):
            raise ConfigurationError("context is text or bytes")
        if len(self._context) > wire.MAX_CONTEXT:
            raise ConfigurationError(f"context is over {wire.MAX_CONTEXT} bytes")
        if self.context and self.security is None:
            raise ConfigurationError("context belongs to a sealed connection: give security too")
        if self.framing is not None:
            if not isinstance(self.framing, Framing):
                raise ConfigurationError("framing is a Framing, for example INT32_BE, or None")
            if self.security is not None or self.extended:
                raise ConfigurationError(
                    "a foreign framing carries messages only: no security, not extended"
                )
            if self.framing.layout.maximum > self.max_message_size:
                narrowed = replace(self.framing, maximum=self.max_message_size)
                object.__setattr__(self, "framing", narrowed)

    @property
    def _context(self) -> bytes:
        return self.context.encode() if isinstance(self.context, str) else self.context

    def protocol(self, *, client: bool, client_id: str = "") -> Protocol:
        """Return the state machine for one new connection."""
        seal = None
        if self.security is not None:
            seal = Seal(initiator=client, psk=self.security.secret_bytes(), context=self._context)
        return Protocol(
            client=client,
            max_message_size=self.max_message_size,
            framing=self.framing,
            seal=seal,
            extended=self.extended,
            client_id=client_id,
            software=SOFTWARE,
        )
