"""Fewer examples are tried where the environment says so, and never none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = "from example_counts import examples; print(*map(examples, (1, 5, 8, 60, 200)))"


def shown(share: str) -> subprocess.CompletedProcess[str]:
    """Return what a run with this share prints."""
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=Path(__file__).parent,
        env={**os.environ, "SEALFRAME_EXAMPLES": share},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("share", "counts"),
    [("", "1 5 8 60 200"), ("100", "1 5 8 60 200"), ("20", "1 5 5 12 40"), ("1", "1 5 5 5 5")],
)
def test_a_share_of_the_examples_is_tried(share: str, counts: str) -> None:
    assert shown(share).stdout.strip() == counts


@pytest.mark.parametrize("share", ["0", "101", "-1"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    assert "SEALFRAME_EXAMPLES is a share in percent, from 1 to 100" in shown(share).stderr
