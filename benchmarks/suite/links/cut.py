"""A link that is cut and comes back: how soon is it used again?

Something small is sent every 100 ms. While the link is cut the kernel sends it again after ever
longer waits (RFC 6298, section 5.5), and notices only with the next try that the link is back.
TCP_RTO_MAX_MS bounds the wait, of Linux 6.15. It also bounds how long the kernel tries at all, to
14 s where it is 1 s, unless TCP_USER_TIMEOUT says otherwise. sealframe sets both.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from ..job import Job
from ..pair import run_pair
from .emulator import Link, open_link
from .ticks import TICK

SECONDS: Final = 25.0
"""How long the link is cut; less than the keepalive waits for."""
_ROUND_TRIP: Final = 0.05
_BEFORE: Final = 2.0
"""Seconds from the last connection to the cut."""
_AFTER: Final = 25.0
"""Seconds for what comes then, and for the connections to be made before."""
_ESTABLISHED: Final = "01"
"""The state of a connection in /proc/net/tcp."""


def measure_cut(loop: str, seconds: float = SECONDS) -> list[dict[str, Any]]:
    """Return for how many seconds nothing came on each connection, all over the same link.

    None where nothing came any more: the kernel gave the connection up.

    :param seconds: how long the link is cut
    """
    count = round((_BEFORE + seconds + _AFTER) / TICK)
    sealframe = Job("cut", "link_sealframe", loop=loop, count=count)
    tcp = Job("cut", "link_socket", count=count)
    jobs = {
        "a TCP socket": tcp,
        "the same, TCP_RTO_MAX_MS 1000": replace(tcp, extra={"rto_max_ms": 1000}),
        "sealframe": replace(sealframe, way="extended"),
        "sealframe, sealed": replace(sealframe, way="sealed"),
    }
    limit = 2 * (_BEFORE + seconds + _AFTER)
    with open_link(round_trip=_ROUND_TRIP) as link, ThreadPoolExecutor(len(jobs)) as pool:
        running = {
            name: pool.submit(run_pair, job, link=link, limit=limit) for name, job in jobs.items()
        }
        while _connections(link) < len(jobs):
            time.sleep(TICK)
        time.sleep(_BEFORE)
        link.cut()
        time.sleep(seconds)
        link.join()
        found = {name: future.result()[0] for name, future in running.items()}
    return [
        {"name": name, "cut": seconds, "silence": server["silence"]}
        for name, server in found.items()
    ]


def _connections(link: Link) -> int:
    table = link.read(link.near, "/proc/net/tcp").splitlines()[1:]
    return sum(line.split()[3] == _ESTABLISHED for line in table)


def show_cut(rows: list[dict[str, Any]]) -> list[str]:
    """Return the results as lines of text."""
    lines = []
    for row in rows:
        silence = row["silence"]
        found = f"{silence:6.1f} s" if silence is not None else " never: the connection was lost"
        lines.append(f"{row['name']:36}{found}")
    return lines
