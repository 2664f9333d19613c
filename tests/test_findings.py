"""The list of findings names each script that is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FINDINGS = Path(__file__).parents[1] / "findings"


def test_each_script_has_its_line() -> None:
    if not FINDINGS.is_dir():
        pytest.skip("not in a clone: the sdist has no findings")
    listed = re.findall(
        r"^\| `(.+\.sh)` \|", (FINDINGS / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert listed == sorted(path.name for path in FINDINGS.glob("*.sh"))
