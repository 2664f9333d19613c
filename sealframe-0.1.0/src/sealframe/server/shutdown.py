"""What became of a server's clients when it was closed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ShutdownReport:
    """What :meth:`Server.close` reports."""

    clients: int
    """Clients that were there when the close began."""
    cancelled: int
    """Handlers, hooks, streams and requests that did not finish in time and were cancelled."""
    unsent: int
    """Messages that were accepted for clients and could not be sent."""
    discarded: int
    """Messages of clients that came too late to be taken in."""

    def __str__(self) -> str:
        return (
            f"{self.clients} clients, {self.cancelled} tasks cancelled, "
            f"{self.unsent} messages unsent, {self.discarded} discarded"
        )
