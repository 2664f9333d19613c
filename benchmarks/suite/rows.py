"""What is measured, with whom, and which ratio is the aim."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from .against import Build
from .job import Way
from .tls import CLASSIC, HYBRID

Figure: TypeAlias = Literal["rate", "cpu", "memory", "latency"]
"""``rate`` per second, ``cpu`` in microseconds for each, ``memory`` in bytes for each,
``latency`` in microseconds: what 99 of 100 take at most.
"""

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
    needs: str = ""
    """What of :class:`suite.against.Build` ``.features`` it cannot do without."""
    group: str = ""
    """The group of key agreement that its TLS is held to. It takes part in sealed connects alone:
    nothing else depends on the handshake."""
    certificate: str = "P-256"
    """What its TLS server signs with; see :class:`suite.job.Job`."""
    mutual: bool = False
    """Whether its TLS client signs too, as identities prove themselves at both ends."""


@dataclass(frozen=True)
class Competitor:
    """A peer as it takes part in a row."""

    peer: Peer
    sealed: bool = False
    batch: bool = False
    build: Build | None = None
    """Which sealframe it is, if it is one."""
    pure: bool = False
    """Whether it runs without its extension, written in C."""

    @property
    def title(self) -> str:
        """Return what it is called in tables and results."""
        title = self.peer.sealed_title if self.sealed else self.peer.title
        if self.pure:
            return f"{title}, pure Python"
        return f"{title} at {self.commit}" if self.commit else title

    @property
    def commit(self) -> str:
        """Return the commit that it is, if it is another one of sealframe."""
        return self.build.commit if self.build else ""

    @property
    def source(self) -> Path | None:
        """Return the folder that it is imported from, if it is another commit of sealframe."""
        return self.build.source if self.build else None


@dataclass(frozen=True)
class Target:
    """A figure of sealframe's, or its ratio to another's, and what it is to be."""

    bound: float | None
    """``None`` where there is no aim."""
    theirs: str = ""
    """A peer's name, ``BEST``, or a commit; without one, the figure itself is meant."""
    figure: Figure = "rate"
    at_most: bool = False
    ours: str = "sealframe"
    """The name of the peer that is meant."""
    pure: bool = False
    """Whether it is about sealframe in pure Python."""

    def met_by(self, value: float) -> bool:
        """Return whether a value is good enough."""
        if self.bound is None:
            return True
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
    way: Way = "plain"
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
    without: frozenset[str] = frozenset()
    """Peers that are left out, since the row has told enough without them."""

    @property
    def sealed(self) -> bool:
        """Whether what goes over the network is encrypted."""
        return self.way in ("sealed", "classic", "identity")

    @property
    def needs(self) -> frozenset[str]:
        """What a sealframe must have to take part; see :class:`suite.against.Build`."""
        ways = {"extended", "classic"} & {self.way}
        return frozenset({"request", "file"} & {self.workload} | ways)


SEALFRAME: Final = Peer("sealframe", "sealframe_", "sealframe", "sealframe, sealed")
CALLBACKS: Final = Peer(
    "callbacks",
    "sealframe_callbacks",
    "sealframe, callbacks",
    "sealframe, callbacks, sealed",
    needs="on_message",
)
OURS: Final = [SEALFRAME, CALLBACKS]
PEERS: Final = [
    Peer("streams", "streams", "asyncio streams", "asyncio streams, TLS"),
    *(
        Peer(
            f"tls-{group}-{certificate}",
            "streams",
            "",
            f"asyncio streams, TLS, {group}, {certificate}",
            group=group,
            certificate=certificate,
        )
        for group in (HYBRID, CLASSIC)
        for certificate in ("P-256", "RSA-2048")
    ),
    Peer(
        f"tls-{HYBRID}-mutual",
        "streams",
        "",
        f"asyncio streams, TLS, {HYBRID}, P-256 at both ends",
        group=HYBRID,
        mutual=True,
    ),
    Peer("picows", "picows_", "picows", "picows, TLS"),
    Peer("websockets", "websockets_", "websockets", "websockets, TLS"),
    Peer("pyzmq", "pyzmq_", "pyzmq", "pyzmq, CURVE"),
    Peer("grpc", "grpc_", "grpc.aio", "grpc.aio, TLS"),
    Peer("multiprocessing", "multiprocessing_", "multiprocessing.connection", one_connection=True),
    Peer("twisted", "twisted_", "Twisted Int32StringReceiver"),
    Peer("scp", "scp_", "scp", "scp"),
    Peer("raw_socket", "raw_socket", "bare socket, nothing parsed", bound=True),
]

_SLOW: Final = frozenset({"websockets", "multiprocessing", "twisted"})
"""Peers that are not near the best in what is encrypted, or large, or to and fro."""
_BUT_STREAMS: Final = frozenset({"picows", "websockets", "pyzmq"})
"""Peers beside asyncio's streams that have connected in the row of sealed connections already."""


def _security(way: Way) -> str:
    return {"identity": "identity keys", "classic": "sealed, classic"}.get(way, way)


def _bytes(size: int) -> str:
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return f"{size} B"


def _pure(bound: float = 1.0) -> Target:
    return Target(bound, "streams", pure=True)


def _one_way(
    size: int,
    *targets: Target,
    way: Way = "plain",
    batch: bool = False,
    without: frozenset[str] = frozenset(),
) -> Row:
    return Row(
        f"one_way-{size}" + f"-{way}" * (way != "plain") + "-batch" * batch,
        f"{_bytes(size)} one way, {_security(way)}" + ", in batches" * batch,
        "one_way",
        "messages/s",
        targets,
        size=size,
        way=way,
        batch=batch,
        first=50 if size >= 1 << 20 else 500 if size >= 65536 else 1000,
        without=without,
    )


def _round_trip(
    connections: int, *targets: Target, way: Way = "plain", without: frozenset[str] = frozenset()
) -> Row:
    many = f"{connections} connections" if connections > 1 else "1 connection"
    return Row(
        f"round_trip-{connections}" + f"-{way}" * (way != "plain"),
        f"128 B and its echo, {many}, {_security(way)}",
        "round_trip",
        "round trips/s",
        targets,
        way=way,
        connections=connections,
        step=connections,
        without=without,
    )


def _request(way: Way, *targets: Target) -> Row:
    return Row(
        f"request-{way}",
        f"a request of 128 B and its answer, {way}",
        "request",
        "requests/s",
        targets,
        way=way,
    )


def _broadcast(*targets: Target, way: Way = "plain") -> Row:
    return Row(
        "broadcast-1000" + f"-{way}" * (way != "plain"),
        f"128 B to 1,000 clients, {_security(way)}",
        "broadcast",
        "messages received/s",
        targets,
        way=way,
        connections=1000,
        first=100,
        step=100,
        rounds=3,
    )


def _connect(way: Way, *targets: Target, without: frozenset[str] = frozenset()) -> Row:
    return Row(
        f"connect-{way}",
        f"connect, shake hands, one echo, close, {_security(way)}",
        "connect",
        "connections/s",
        targets,
        way=way,
        connections=10,
        first=100,
        step=10,
        without=without,
    )


def _idle(*targets: Target, way: Way = "plain") -> Row:
    return Row(
        "idle" + f"-{way}" * (way != "plain"),
        f"memory of an idle connection, {_security(way)}",
        "idle",
        "bytes",
        targets,
        way=way,
        connections=50,
        fixed=(100, 1000),
        rounds=2,
    )


def _file(way: Way, *targets: Target, without: frozenset[str] = frozenset()) -> Row:
    return Row(
        f"file-{way}",
        f"a file in memory, {way}",
        "file",
        "MiB/s",
        targets,
        way=way,
        fixed=(0, FILE_SIZE),
        rounds=3,
        without=without,
    )


FILE_SIZE: Final = 1024
"""MiB of the file, unless ``run.py --mib`` says otherwise."""

ROWS: Final = [
    _one_way(128, Target(4, BEST), Target(10, "picows"), _pure()),
    _one_way(
        128,
        Target(6, BEST),
        _pure(),
        batch=True,
        without=frozenset({"picows", "websockets", "multiprocessing", "raw_socket"}),
    ),
    _one_way(128, Target(1, "4798d3a"), way="extended"),
    _one_way(
        128,
        Target(3, "pyzmq"),
        Target(12, "picows"),
        Target(1, "4798d3a"),
        _pure(),
        way="sealed",
    ),
    _one_way(4096, Target(3, BEST), without=frozenset({"websockets", "raw_socket"})),
    _one_way(4096, Target(1, "4798d3a"), way="extended"),
    _one_way(4096, Target(3, "picows"), Target(1, "4798d3a"), way="sealed", without=_SLOW),
    _one_way(
        65536,
        Target(1, BEST),
        Target(0.8, BEST, "cpu", at_most=True),
        without=frozenset({"websockets", "twisted"}),
    ),
    _one_way(65536, Target(1, "4798d3a"), way="extended"),
    _one_way(65536, Target(1.2, "picows"), Target(1, "4798d3a"), way="sealed", without=_SLOW),
    _one_way(1048576, Target(1, BEST), without=frozenset({"websockets", "twisted"})),
    _one_way(1048576, Target(0.95, "4798d3a"), way="extended"),
    _one_way(1048576, Target(1.4, "picows"), Target(0.95, "4798d3a"), way="sealed", without=_SLOW),
    _round_trip(
        1,
        Target(1, "picows", ours="callbacks"),
        Target(0.8, "picows"),
        Target(1.25, "ce2d914"),
        _pure(0.9),
        without=frozenset({"twisted"}),
    ),
    _round_trip(
        1,
        Target(1, "picows", ours="callbacks"),
        Target(0.85, "picows"),
        Target(1.75, "ce2d914"),
        _pure(0.9),
        way="sealed",
        without=frozenset({"websockets"}),
    ),
    _round_trip(100, Target(1, "picows", ours="callbacks"), Target(0.8, "picows"), without=_SLOW),
    _request(
        "extended",
        Target(5, "grpc", ours="callbacks"),
        Target(1, "pyzmq", ours="callbacks"),
        Target(5, "grpc"),
        Target(1, "pyzmq"),
        Target(1.9, "ce2d914"),
    ),
    _request(
        "sealed",
        Target(5, "grpc", ours="callbacks"),
        Target(1, "pyzmq", ours="callbacks"),
        Target(5, "grpc"),
        Target(1, "pyzmq"),
        Target(2.3, "ce2d914"),
    ),
    _broadcast(Target(15, "websockets")),
    _broadcast(Target(15, "websockets"), way="sealed"),
    _connect(
        "sealed",
        Target(1.4, "streams"),
        Target(1.3, f"tls-{HYBRID}-P-256", "cpu", at_most=True),
    ),
    _connect("classic", Target(None, "streams"), without=_BUT_STREAMS),
    _connect(
        "identity",
        Target(1.1, "streams"),
        Target(1.3, f"tls-{HYBRID}-mutual", "cpu", at_most=True),
        without=_BUT_STREAMS,
    ),
    _file("extended", Target(1.3, "ce2d914"), without=frozenset({"scp"})),
    _file("sealed", Target(3, "scp"), Target(1.3, "ce2d914")),
    Row(
        "beside-sealed",
        "a message of 128 B and its echo beside 64 KiB messages, sealed",
        "beside",
        "us for 99 of 100",
        (Target(0.5, "websockets", "latency", at_most=True),),
        size=65536,
        way="sealed",
        fixed=(30, 300),
    ),
    _idle(
        Target(3000, figure="memory", at_most=True, ours="callbacks"),
        Target(4096, figure="memory", at_most=True),
    ),
    _idle(Target(4800, figure="memory", at_most=True), way="sealed"),
]

ALONE: Final = ["decoder", "foreign", "growth", "latency", "aes_gcm", "long_links", "sessions"]
"""Measurements of another shape, a module each."""
