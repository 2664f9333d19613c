"""What the tests of the command line share."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sealframe import SharedKey


@pytest.fixture(autouse=True)
def _children_heed_ctrl_c() -> Iterator[None]:
    """A process that ignores SIGINT, as in a shell's background, hands that down."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a new shared key."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    path = tmp_path / "key"
    SharedKey.generate().save(path)
    return path
