"""A directory that receives, and one beside it that nothing may get into."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealframe.files import Store


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
