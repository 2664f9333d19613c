"""Every async test of the transport runs under asyncio and under uvloop."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loops import pytest_asyncio_loop_factories

from .ends import PATIENCE, Api, Family, FamilyName, Mode, ModeName, count_sockets, has_ipv6
from .scripted import Role

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture(params=["packets", "extended", "sealed"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each of the three ways to talk."""
    name: ModeName = request.param
    if name == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode(name)


@pytest.fixture(params=["extended", "sealed"])
def control_mode(request: pytest.FixtureRequest) -> Mode:
    """Each way to talk that has control frames: PING, CLOSE and the like."""
    name: ModeName = request.param
    if name == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode(name)


@pytest.fixture
def sealed() -> Mode:
    """The way to talk that is encrypted."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode("sealed")


@pytest.fixture(params=["server", "client"])
def role(request: pytest.FixtureRequest) -> Role:
    """Which end sealframe has."""
    end: Role = request.param
    return end


@pytest.fixture(params=list(Api), ids=lambda api: str(api.value))
def api(request: pytest.FixtureRequest) -> Api:
    """Each way to get messages."""
    way: Api = request.param
    return way


@pytest.fixture(params=["tcp4", "tcp6", "unix"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Each way to reach a server: IPv4, IPv6, a Unix socket."""
    name: FamilyName = request.param
    if name == "tcp6" and not has_ipv6():
        pytest.skip("this machine has no ::1")
    if name != "unix":
        return Family(name)
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this platform has no Unix sockets")
    # Not tmp_path, whose name is long: the path of a Unix socket is about 100 bytes at most.
    return Family(name, tmp_path_factory.mktemp("s") / "s")


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()


@pytest.fixture
async def no_leaks() -> AsyncIterator[None]:
    """Check that the test left no task and no socket, and that no loop callback failed."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    before = count_sockets()
    # A test that hangs fails by itself; the time limit of pytest-timeout ends the whole run.
    guard = loop.call_later(3 * PATIENCE, _cancel_all, loop)
    yield
    guard.cancel()
    async with asyncio.timeout(PATIENCE):
        while len(asyncio.all_tasks()) > 1 or count_sockets() > before:
            gc.collect()
            await asyncio.sleep(0)
    assert complaints == []
