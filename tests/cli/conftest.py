"""What the tests of the command line share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from sealframe import SharedKey


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command that runs in this process sets up the log of a whole program."""
    loggers = [logging.getLogger(name) for name in ("sealframe", "sealframe.keylog")]
    before = [(logger, logger.handlers[:], logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with a new shared key."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    path = tmp_path / "key"
    SharedKey.generate().save(path)
    return path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds what commands remember, instead of the user's own."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    home = tmp_path / "home"
    for variable in ("HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.setenv(variable, str(home))
    return Path(click.get_app_dir("sealframe"))
