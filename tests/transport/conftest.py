"""Every async test of the transport runs under asyncio and under uvloop."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from .ends import PATIENCE, Family, FamilyName, Mode, ModeName, has_ipv6

_DESCRIPTORS = Path("/proc/self/fd")

try:
    import uvloop
except ImportError:
    uvloop = None  # type: ignore[assignment]


def _new_uvloop() -> asyncio.AbstractEventLoop:
    if uvloop is None:
        pytest.skip("uvloop is not installed")
    return uvloop.new_event_loop()


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Parametrise every async test here over the event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": _new_uvloop}


@pytest.fixture(params=["packets", "extended", "sealed"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each of the three ways to talk."""
    name: ModeName = request.param
    if name == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode(name)


@pytest.fixture(params=["tcp4", "tcp6", "unix"])
def family(request: pytest.FixtureRequest) -> Iterator[Family]:
    """Each way to reach a server: IPv4, IPv6, a Unix socket."""
    name: FamilyName = request.param
    if name == "tcp6" and not has_ipv6():
        pytest.skip("this machine has no ::1")
    if name != "unix":
        yield Family(name)
        return
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this platform has no Unix sockets")
    # Not in tmp_path: the path of a Unix socket is at most about 100 bytes.
    folder = Path(tempfile.mkdtemp(prefix="sf"))
    yield Family(name, folder / "s")
    shutil.rmtree(folder)


def _open_sockets() -> set[str]:
    """Return the sockets of this process, none where the platform does not list them."""
    found = set()
    if _DESCRIPTORS.is_dir():
        for entry in _DESCRIPTORS.iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            if target.startswith("socket:"):
                found.add(target)
    return found


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Check that the test left no task and no socket, and nothing that was only logged."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = _open_sockets()
    this = asyncio.current_task()
    yield
    async with asyncio.timeout(PATIENCE):
        while (asyncio.all_tasks() - {this, asyncio.current_task()}) or _open_sockets() - before:
            await asyncio.sleep(0.001)
    assert complaints == []
