"""A directory that receives, and one beside it that nothing may get into; both event loops."""

from __future__ import annotations

from pathlib import Path

import pytest
from aio.ends import Mode, ModeName
from loops import pytest_asyncio_loop_factories

from sealframe.files import Inbox
from sealframe.files.store import Store

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "received"
    path.mkdir()
    return path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    return path


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, keep_free=0)


@pytest.fixture(autouse=True)
def patient_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no thread end by itself, so that one that nobody ends is noticed."""
    monkeypatch.setattr("sealframe.files.worker._IDLE", 1000.0)


@pytest.fixture(params=["extended", "sealed"])
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each way to talk that has streams."""
    name: ModeName = request.param
    if name == "sealed":
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    return Mode(name)


@pytest.fixture
def extended() -> Mode:
    """One of them, where it does not matter."""
    return Mode("extended")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Where the files are that are sent."""
    path = tmp_path / "sent"
    path.mkdir()
    return path


@pytest.fixture
def inbox(root: Path) -> Inbox:
    return Inbox(root, keep_free=0)
