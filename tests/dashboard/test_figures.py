"""What the page makes of figures, without a browser: ``figures.test.mjs``, run by node."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")
HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "src" / "sealframe" / "dashboard" / "page"


@pytest.mark.skipif(NODE is None, reason="node is not installed")
def test_the_functions_of_the_page() -> None:
    assert NODE is not None
    command = [NODE, "--test", "--test-reporter=tap", str(HERE / "figures.test.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tests = re.findall(r"^test\(", (HERE / "figures.test.mjs").read_text("utf-8"), re.MULTILINE)
    assert len(re.findall(r"^ *ok \d+ - ", done.stdout, re.MULTILINE)) >= len(tests) > 5


def test_the_page_takes_them_from_there() -> None:
    """Whatever it imports is exported, and what is exported is imported or tested."""
    exported = re.findall(
        r"^export (?:const|function) (\w+)", (PAGE / "figures.mjs").read_text("utf-8"), re.MULTILINE
    )
    page = (PAGE / "dashboard.js").read_text("utf-8")
    imported = re.search(r"^import \{([^}]*)\} from", page, re.MULTILINE)
    assert imported is not None
    names = {name.strip() for name in imported[1].split(",")} - {""}
    assert names <= {*exported}
    assert {*exported} - names == {"WINDOW"}
    assert [name for name in names if len(re.findall(rf"\b{name}\b", page)) < 2] == []
