"""The man in the middle meets each handshake pattern, both families and both event loops."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aio.conftest import no_leaks, pytest_asyncio_loop_factories
from aio.ends import TCP, Family

from .credentials import Credentials, make
from .scene import Scene, scene

__all__ = ["no_leaks", "pytest_asyncio_loop_factories"]


@pytest.fixture(params=["NNpsk0", "XK", "XX", "NNhfs+psk0", "XKhfs", "XXhfs"])
def credentials(request: pytest.FixtureRequest, tmp_path: Path) -> Credentials:
    """The keys of both ends, for each handshake pattern."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    return make(request.param, tmp_path)


@pytest.fixture(params=["XK", "XX", "XKhfs", "XXhfs"])
def identities(request: pytest.FixtureRequest, tmp_path: Path) -> Credentials:
    """The same where each end has a key pair."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    return make(request.param, tmp_path)


@pytest.fixture(params=["tcp4", "unix"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """TCP, then Unix sockets."""
    return _family(request.param, tmp_path_factory)


def _family(name: str, tmp_path_factory: pytest.TempPathFactory) -> Family:
    if name == "tcp4":
        return TCP
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this platform has no Unix sockets")
    # Not tmp_path, whose name is long: the path of a Unix socket is about 100 bytes at most.
    return Family("unix", tmp_path_factory.mktemp("s") / "s")


@pytest.fixture(params=["NNhfs+psk0-tcp4", "XKhfs-unix", "XXhfs-tcp4"])
async def attacked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, no_leaks: None
) -> AsyncIterator[Scene]:
    """A server with a client that is left alone, and a man in the middle for another.

    Each hybrid pattern and each family, not all of both: neither knows of the other.
    """
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    name, family = request.param.split("-")
    keys = make(name, tmp_path_factory.mktemp("keys"))
    async with scene(keys, _family(family, tmp_path_factory)) as it:
        yield it


@pytest.fixture
async def attacked_tcp(credentials: Credentials, no_leaks: None) -> AsyncIterator[Scene]:
    """The same on TCP alone."""
    async with scene(credentials) as it:
        yield it
