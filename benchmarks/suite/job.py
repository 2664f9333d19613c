"""What one side of one measurement is told, and what it reports."""

from __future__ import annotations

import asyncio
import json
import resource
import time
import zlib
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from .payloads import Check, checked, checker, make_payloads

HOST = "127.0.0.1"

Way: TypeAlias = Literal["plain", "extended", "sealed", "classic", "identity"]
"""How a connection talks: packets, sealframe's own frames, encrypted with a shared key (or TLS),
the same by a handshake that is not post-quantum, encrypted between ends with a key pair each."""


@dataclass
class Meter:
    """Wall and CPU time of this process, from ``start`` to ``stop``."""

    wall: float = 0.0
    """Seconds."""
    cpu: float = 0.0
    """Seconds of user and system time, all threads."""

    def start(self) -> None:
        """Begin to measure."""
        self._wall = time.perf_counter()
        self._cpu = _cpu()

    def stop(self) -> None:
        """End the measurement; ``stop`` may come again, the last counts."""
        self.wall = time.perf_counter() - self._wall
        self.cpu = _cpu() - self._cpu


@dataclass
class Job:
    """One side of one measurement."""

    workload: str
    peer: str
    way: Way = "plain"
    loop: str = "uvloop"
    """``uvloop`` or ``asyncio``; peers with an event loop of their own ignore it."""
    size: int = 128
    """Bytes of a message."""
    count: int = 1000
    """Messages that are timed (round trips and connects: in all, not per connection)."""
    warm_up: int = 0
    """Messages before these, not timed."""
    connections: int = 1
    session: bool = False
    """Whether connections outlive their links, in sealframe."""
    batch: bool = False
    """Whether to send and receive many messages per call, where the peer can."""
    thorough: bool = False
    """Whether the checksum covers every byte of a large message, or one of each cache line."""
    host: str = HOST
    """Where the server listens."""
    port: int = 0
    """On the client's side, the server's port."""
    directory: str = ""
    """A temporary one of the measurement's, the same at both sides."""
    group: str = ""
    """The only group of key agreement in TLS; empty for what OpenSSL takes by itself."""
    certificate: str = "P-256"
    """What the TLS server signs with: ``P-256`` or ``RSA-2048``."""
    mutual: bool = False
    """Whether the TLS client signs too."""
    sealframe: str = ""
    """The file that must be what ``import sealframe`` finds, in competitors that are sealframe."""
    implementation: str = ""
    """Its ``IMPLEMENTATION``, likewise."""
    meter: Meter = field(default_factory=Meter)
    checksum: int = 0
    """Of all messages that this side received, the warm-up included, in order."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What else was measured."""

    @property
    def sealed(self) -> bool:
        """Whether what goes over the network is encrypted."""
        return self.way in ("sealed", "classic", "identity")

    @property
    def payloads(self) -> list[bytes]:
        """The messages, to be sent in turn, again and again; the same at both sides."""
        return make_payloads(self.size)

    @property
    def check(self) -> Check:
        """``check(message, checksum) -> checksum``; touches the message."""
        return checker(self.size, thorough=self.thorough)

    def expected(self, count: int) -> int:
        """Return the checksum after the first ``count`` messages."""
        payloads, check, checksum = self.payloads, self.check, 0
        whole, rest = divmod(count, len(payloads))
        # A checksum of messages is that of their bytes in a row.
        row = b"".join(checked(payload, thorough=self.thorough) for payload in payloads)
        for _ in range(whole):
            checksum = zlib.adler32(row, checksum)
        for payload in payloads[:rest]:
            checksum = check(payload, checksum)
        return checksum

    def to_json(self) -> str:
        """Return what :mod:`suite.child` makes a job of."""
        told = asdict(self)
        del told["meter"]
        return json.dumps(told)

    def listening(self, port: int) -> None:
        """Tell the other side where this one listens."""
        print(json.dumps({"port": port}), flush=True)

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run under the event loop that is wanted."""
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if self.loop == "uvloop":
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main)

    def report(self) -> None:
        """Tell what was measured."""
        result = {"checksum": self.checksum, **asdict(self.meter), **self.extra}
        print(json.dumps(result), flush=True)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
