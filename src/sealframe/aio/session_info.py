"""What a program is told of a session."""

from __future__ import annotations

from dataclasses import dataclass

from ..trust.peer import Peer


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session for whose position a program is asked (:attr:`Sessions.position`)."""

    name: str
    """Its public name, 32 hexadecimal digits; the same however often its client comes back. It is
    no secret, and nobody can take the session over by it."""
    peer: Peer | None
    """Who the client has proved to be; None on a plain connection and where a shared key is
    used. Two clients could have one name only if one knew the secret of the other's session: a
    program that gives each client its own data keeps positions by key and name."""
    writer: str = ""
    """Which start of the client's program its messages are from, 16 hexadecimal digits drawn at
    random; empty where the client has no :class:`Outbox`. A program that stores it together with
    the position, and returns both (:attr:`Sessions.position`), has copies of an outbox found
    out."""
