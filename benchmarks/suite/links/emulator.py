"""A long or narrow link: two network namespaces, and packets that take their time between them.

``link.c`` moves the packets. It is compiled at use, and all of it needs root, ``ip`` of iproute2,
a C compiler and /dev/net/tun: :func:`missing` says what is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("link.c")
_TUN: Final = Path("/dev/net/tun")
_MTU: Final = 1500
_QUEUE: Final = 20_000
"""Packets that a device holds while ``link`` is busy: more than any window, so none is lost."""

NEAR: Final = "10.111.0.1"
FAR: Final = "10.111.0.2"
"""The addresses of the two ends."""


@dataclass(frozen=True)
class Link:
    """A link that is up; its two ends are the namespaces ``near`` and ``far``."""

    near: str
    far: str
    process: subprocess.Popen[str]

    def command(self, end: str, arguments: list[str]) -> list[str]:
        """Return the command that runs a program at one end."""
        return ["ip", "netns", "exec", end, *arguments]

    def cut(self) -> None:
        """Lose what is on its way, and what is sent from now on."""
        self._say("cut")

    def join(self) -> None:
        """Let through what is sent from now on."""
        self._say("join")

    def dropped(self) -> int:
        """Return how many packets the devices have dropped, which ``link`` did not take in time."""
        return sum(
            int(self.read(end, f"/sys/class/net/link0/statistics/{name}"))
            for end in (self.near, self.far)
            for name in ("tx_dropped", "rx_dropped")
        )

    def read(self, end: str, path: str) -> str:
        """Return what a file of the system says at one end."""
        return _run(*self.command(end, ["cat", path]))

    def _say(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


def missing() -> str:
    """Return why there can be no link here, empty if there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    for program in ("ip", "cc"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    if not _TUN.exists():
        return f"there is no {_TUN}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with _namespaces() as (near, far):
                _start(_compile(folder), near, far, 0, 0, 0).communicate("")
        except (OSError, subprocess.CalledProcessError, RuntimeError) as error:
            return f"the system does not permit it: {error}"
    return ""


@contextmanager
def open_link(*, round_trip: float, rate: float = 0, queue: int = 0) -> Iterator[Link]:
    """Give a link for as long as the context lasts.

    :param round_trip: seconds
    :param rate: bytes a second each way, 0 for no limit
    :param queue: bytes that wait at most where the rate is limited; more are dropped
    """
    with tempfile.TemporaryDirectory() as folder, _namespaces() as (near, far):
        process = _start(_compile(folder), near, far, round_trip / 2 * 1e6, rate, queue)
        try:
            for end, address in ((near, NEAR), (far, FAR)):
                ip = ["ip", "-n", end]
                # Nothing is sent of its own accord, which the other end would drop.
                _run(*ip, "link", "set", "link0", "addrgenmode", "none")
                _run(*ip, "address", "add", f"{address}/24", "dev", "link0")
                _run(*ip, "link", "set", "link0", "mtu", str(_MTU), "txqueuelen", str(_QUEUE), "up")
                _run(*ip, "link", "set", "lo", "up")
                # What one connection learned of the link must not help the next.
                setting = "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save"
                _run("ip", "netns", "exec", end, "sh", "-c", setting)
            yield Link(near, far, process)
        finally:
            process.kill()
            process.communicate()


@contextmanager
def _namespaces() -> Iterator[tuple[str, str]]:
    names = f"sealframe-{os.getpid()}-near", f"sealframe-{os.getpid()}-far"
    made: list[str] = []
    try:
        for name in names:
            _run("ip", "netns", "add", name)
            made.append(name)
        yield names
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def _compile(folder: str) -> Path:
    program = Path(folder) / "link"
    _run("cc", "-O2", "-o", str(program), str(_SOURCE))
    return program


def _start(
    program: Path, near: str, far: str, delay: float, rate: float, queue: int
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [str(program), near, far, str(int(delay)), str(int(rate)), str(queue)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        process.kill()
        raise RuntimeError(process.communicate()[1].strip())
    return process


def _run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout
