"""Who is compared, and the programs that each of them has."""

from __future__ import annotations

from typing import Final

PEERS: Final = {
    "sealframe": "sealframe",
    "websockets": "websockets",
    "pyzmq": "pyzmq",
    "grpc": "gRPC",
    "nats": "NATS",
    "tls_streams": "TLS streams",
    "multiprocessing": "multiprocessing",
}
"""The name of each one's module, after ``with_``, and what the page calls it."""

PROGRAMS: Final = (
    *("starts_first", "cut", "dying", "slow_reader", "broadcast", "cancelled", "requests", "file"),
    *("private", "foreign", "scanner", "away", "browser", "python_object"),
)
"""What each of them has."""

FURTHER: Final = {"sealframe": ("cut_without_session",)}
"""What one alone has."""


def programs_of(peer: str) -> list[str]:
    """Return all programs of one of them."""
    return [*PROGRAMS, *FURTHER.get(peer, ())]
