"""What a server answers to whoever asks how it is: a JSON object, asked for by a NATS request with
the body ``status`` on its own subject. A server of an earlier version answers with nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Self

from ..aio.connection import AnyConnection, protocol_of
from ..aio.session_protocol import SessionProtocol
from ..aio.stats import Stats
from ..server.cluster_member import LocalServer

QUESTION: Final = b"status"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How a server is.

    :ivar clients: those that are there, the ones without a link included
    :ivar sessions: how many of them have a session
    :ivar detached: how many of these have no link
    :ivar messages_received: of all its clients since it started, those that are gone included
    :ivar messages_sent: to them
    :ivar bytes_received: of them
    :ivar bytes_sent: to them
    :ivar waiting_bytes: accepted for clients, and not sent
    :ivar latency: the longest of its clients' last round trips in seconds, 0 where none is known
    """

    clients: int
    sessions: int
    detached: int
    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int
    waiting_bytes: int
    latency: float

    def encode(self) -> bytes:
        """Return it as JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """Return what :meth:`encode` has made bytes of; None if these are something else."""
        try:
            fields = json.loads(data)
            known = {name: fields[name] for name in cls.__slots__}
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if not all(type(value) in (int, float) for value in known.values()):
            return None
        return cls(**known)


class Traffic:
    """Counts what goes through a server, also of clients that have left."""

    def __init__(self, local: LocalServer) -> None:
        self._local = local
        self._gone = Stats()

    def left(self, conn: AnyConnection) -> None:
        """Count a client that is registered no more."""
        self._gone.add(conn.stats)

    def answer(self, question: bytes) -> bytes:
        """Return the answer to a question; an unknown one has an empty one."""
        return self.status().encode() if question == QUESTION else b""

    def status(self) -> ServerStatus:
        """Return how the server is now."""
        total = Stats()
        total.add(self._gone)
        sessions = detached = waiting = 0
        latency = 0.0
        clients = self._local.clients.values()
        for conn in clients:
            protocol = protocol_of(conn)
            total.add(conn.stats)
            sessions += isinstance(protocol, SessionProtocol) and protocol.session is not None
            detached += protocol.detached
            waiting += protocol.sender.queue.queued_bytes
            latency = max(latency, conn.latency or 0)
        return ServerStatus(
            clients=len(clients),
            sessions=sessions,
            detached=detached,
            messages_received=total.messages_received,
            messages_sent=total.messages_sent,
            bytes_received=total.bytes_received,
            bytes_sent=total.bytes_sent,
            waiting_bytes=waiting,
            latency=latency,
        )
