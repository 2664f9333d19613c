"""What is measured, with whom, and which ratio is the aim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Figure: TypeAlias = Literal["rate", "cpu", "memory"]
"""``rate`` per second, ``cpu`` in microseconds for each, ``memory`` in bytes for each."""

BEST: Final = "best"
"""Stands for the peer with the highest median rate in that row."""


@dataclass(frozen=True)
class Peer:
    """A library, or a way to do without one; a module in ``suite/peers``."""

    name: str
    module: str
    title: str
    sealed_title: str = ""
    one_connection: bool = False
    """It serves one client at a time."""
    bound: bool = False
    """It says what the machine can do at best; nothing is compared with it."""


@dataclass(frozen=True)
class Competitor:
    """A peer as it takes part in a row."""

    peer: Peer
    sealed: bool = False
    batch: bool = False
    pure: bool = False
    """Whether it runs without its extension, written in C."""

    @property
    def title(self) -> str:
        """Return what it is called in tables and results."""
        title = self.peer.sealed_title if self.sealed else self.peer.title
        return f"{title}, pure Python" if self.pure else title


@dataclass(frozen=True)
class Target:
    """A figure of sealframe's, or its ratio to a peer's, and what it is to be."""

    bound: float
    theirs: str = ""
    """A peer's name, or ``BEST``; without one, the figure itself is meant."""
    figure: Figure = "rate"
    at_most: bool = False
    pure: bool = False
    """Whether it is about sealframe in pure Python."""

    def met_by(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:g}"


@dataclass(frozen=True)
class Row:
    """One line of the comparison: everyone does the same work."""

    id: str
    title: str
    workload: str
    unit: str
    targets: tuple[Target, ...]
    size: int = 128
    sealed: bool = False
    batch: bool = False
    connections: int = 1
    first: int = 1000
    """How many messages the first run has, which finds out how fast a competitor is."""
    step: int = 1
    """All counts are multiples of it."""
    fixed: tuple[int, int] | None = None
    """(warm_up, count), where these do not depend on the speed."""
    rounds: int | None = None
    """At most so many, where one takes long or all agree."""


SEALFRAME: Final = Peer("sealframe", "sealframe_", "sealframe", "sealframe, sealed")
PEERS: Final = [
    Peer("streams", "streams", "asyncio streams", "asyncio streams, TLS"),
    Peer("picows", "picows_", "picows", "picows, TLS"),
    Peer("websockets", "websockets_", "websockets", "websockets, TLS"),
    Peer("pyzmq", "pyzmq_", "pyzmq", "pyzmq, CURVE"),
    Peer("multiprocessing", "multiprocessing_", "multiprocessing.connection", one_connection=True),
    Peer("twisted", "twisted_", "Twisted Int32StringReceiver"),
    Peer("raw_socket", "raw_socket", "bare socket, nothing parsed", bound=True),
]

_PURE: Final = Target(1.0, "streams", pure=True)


def _one_way(
    size: int, *targets: Target, sealed: bool = False, batch: bool = False, first: int = 1000
) -> Row:
    return Row(
        f"one_way-{size}" + "-sealed" * sealed + "-batch" * batch,
        f"{_bytes(size)} one way, {_security(sealed)}" + ", in batches" * batch,
        "one_way",
        "messages/s",
        (*targets, _PURE),
        size=size,
        sealed=sealed,
        batch=batch,
        first=first,
    )


def _round_trip(connections: int, *targets: Target, sealed: bool = False) -> Row:
    many = f"{connections} connections" if connections > 1 else "1 connection"
    return Row(
        f"round_trip-{connections}" + "-sealed" * sealed,
        f"128 B and its echo, {many}, {_security(sealed)}",
        "round_trip",
        "round trips/s",
        (*targets, _PURE),
        sealed=sealed,
        connections=connections,
        step=connections,
    )


def _broadcast(*targets: Target, sealed: bool = False, batch: bool = False) -> Row:
    return Row(
        "broadcast-1000" + "-sealed" * sealed + "-batch" * batch,
        f"128 B to 1,000 clients, {_security(sealed)}" + ", in batches" * batch,
        "broadcast",
        "messages received/s",
        (*targets, _PURE),
        sealed=sealed,
        batch=batch,
        connections=1000,
        first=100,
        step=100,
        rounds=3,
    )


def _idle(*targets: Target, sealed: bool = False) -> Row:
    return Row(
        "idle" + "-sealed" * sealed,
        f"memory of an idle connection, {_security(sealed)}",
        "idle",
        "bytes",
        targets,
        sealed=sealed,
        connections=50,
        fixed=(100, 1000),
        rounds=2,
    )


def _bytes(size: int) -> str:
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} B"


def _security(sealed: bool) -> str:
    return "sealed" if sealed else "plain"


ROWS: Final = [
    _one_way(128, Target(4, BEST), Target(10, "picows")),
    _one_way(128, Target(6, BEST), batch=True),
    _one_way(128, Target(3, "pyzmq"), Target(12, "picows"), sealed=True),
    _one_way(4096, Target(3, BEST)),
    _one_way(4096, Target(4, BEST), sealed=True),
    _one_way(65536, Target(1, BEST), Target(0.8, BEST, "cpu", at_most=True), first=500),
    _one_way(65536, Target(1.8, BEST), sealed=True, first=500),
    _one_way(1048576, Target(1, BEST), first=50),
    _one_way(1048576, Target(1.7, "picows"), sealed=True, first=50),
    _round_trip(1, Target(1, "picows")),
    _round_trip(1, Target(1.3, "picows"), sealed=True),
    _round_trip(100, Target(1.2, "picows")),
    _broadcast(Target(5, "websockets")),
    _broadcast(Target(5, "websockets"), batch=True),
    _broadcast(Target(3, "websockets"), sealed=True),
    _broadcast(Target(3, "websockets"), sealed=True, batch=True),
    Row(
        "connect-sealed",
        "connect, shake hands, one echo, close; sealed",
        "connect",
        "connections/s",
        (Target(2.5, "streams"), _PURE),
        sealed=True,
        connections=10,
        first=100,
        step=10,
    ),
    _idle(Target(4096, figure="memory", at_most=True)),
    _idle(Target(8192, figure="memory", at_most=True), sealed=True),
]

ALONE: Final = ["decoder", "growth", "latency", "aes_gcm"]
"""Measurements of another shape, a module each."""
