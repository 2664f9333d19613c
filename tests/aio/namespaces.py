"""Two network namespaces with a link between them that can be cut: packets then vanish on the way,
and neither end is told. It needs Linux, root and ``ip`` of iproute2."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

NEAR: Final = "10.113.7.1"
FAR: Final = "10.113.7.2"
"""The addresses of the two ends."""

_ENDS: Final = ("near", "far")


class Link:
    """The link, while it is there."""

    def __init__(self, name: str) -> None:
        self._name = name

    def command(self, end: str, *arguments: str) -> list[str]:
        """Return the command that runs a Python program at one end, ``near`` or ``far``."""
        return ["ip", "netns", "exec", f"{self._name}-{end}", sys.executable, *arguments]

    def cut(self) -> None:
        """Drop whatever arrives at either end from now on."""
        for end in _ENDS:
            run("-n", f"{self._name}-{end}", *f"rule add pref 10 iif {end} blackhole".split())


def missing() -> str:
    """Return why there can be no link here, empty if there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "there is no ip of iproute2"
    try:
        with open_link():
            return ""
    except subprocess.CalledProcessError as error:
        return f"the system does not permit it: {error.stderr.decode(errors='replace').strip()}"


@contextlib.contextmanager
def open_link() -> Iterator[Link]:
    """Give a link for as long as the context lasts."""
    name = f"sealframe-test-{os.getpid()}"
    made: list[str] = []
    try:
        for end in _ENDS:
            run("netns", "add", f"{name}-{end}")
            made.append(f"{name}-{end}")
        run(*f"-n {made[0]} link add near type veth peer name far netns {made[1]}".split())
        for end, address, space in zip(_ENDS, (NEAR, FAR), made, strict=True):
            for arguments in (
                f"address add {address}/24 dev {end}",
                "link set lo up",
                f"link set {end} up",
                # What is for this machine comes after the rule that cuts.
                "rule add pref 100 table local",
                "rule delete pref 0",
            ):
                run("-n", space, *arguments.split())
        yield Link(name)
    finally:
        for space in made:
            with contextlib.suppress(subprocess.CalledProcessError):
                run("netns", "delete", space)


def run(*arguments: str) -> None:
    """Run ``ip``."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


PROGRAM: Final = Path(__file__).with_name("dead_link_program.py")
"""One end: ``server`` or ``client``, the host and the event loop are its arguments."""
