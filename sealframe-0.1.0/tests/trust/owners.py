"""Files of another user, without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a file another user's: only root can, so anybody else becomes another user."""
    if os.geteuid() == 0:
        os.chown(path, 1, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
