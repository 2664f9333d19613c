"""Long and narrow links: a TCP socket beside sealframe, and requests beside what is large.

Both ends are in network namespaces of this machine, and between them packets take the time that
they are told to (:mod:`suite.links.emulator`). Where that is not permitted, this is skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from .links.emulator import missing

_MIB: Final = 128
"""What is sent at a time: some 2 s at 50 ms, most of it after TCP has found its rate."""
_ROUNDS: Final = 3
"""At most: a round takes minutes."""
_REQUESTS: Final = 100
_CONGESTION: Final = Path("/proc/sys/net/ipv4/tcp_congestion_control")


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return the tables; with ``--long`` that of a link that was cut too, else that is empty."""
    # Not before: what runs both ends knows of links.
    from .links.beside import measure_beside
    from .links.bulk import measure_bulk
    from .links.cut import measure_cut

    del seconds
    if reason := missing():
        return {"skipped": reason}
    rounds = min(rounds, _ROUNDS)
    return {
        "congestion_control": _CONGESTION.read_text().strip(),
        "mib": _MIB,
        "bulk": measure_bulk(rounds, loop, _MIB),
        "beside": measure_beside(rounds, loop, _REQUESTS),
        "cut": [] if quick else measure_cut(loop),
    }


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    from .links.beside import show_beside
    from .links.bulk import show_bulk
    from .links.cut import show_cut

    if "skipped" in data:
        return f"skipped: {data['skipped']}"
    lines = [
        f"{data['mib']} MiB, no limit of the rate, congestion control {data['congestion_control']}",
        *show_bulk(data["bulk"]),
        "",
        "a request of 100 B, 50 ms and 20 Mbit/s, beside messages of 64 KiB or a file",
        *show_beside(data["beside"]),
    ]
    if data["cut"]:
        lines += [
            "",
            f"a link of 50 ms that is cut for {data['cut'][0]['cut']:g} s: used again after",
            *show_cut(data["cut"]),
        ]
    return "\n".join(lines)
