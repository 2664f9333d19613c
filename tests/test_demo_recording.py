"""docs/demo.svg shows what the demo shows: the script that made it runs, and comes to the same."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import pytest
from documents import ROOT

SVG = "{http://www.w3.org/2000/svg}"


def last_screen(path: Path) -> list[str]:
    """Return its lines without what differs from run to run, in an order of their own."""
    tree = ElementTree.parse(path)
    style = tree.findtext(f"{SVG}style") or ""
    [shown] = re.findall(r"\.screens \{ transform: translateY\(-([\d.]+)px\)", style)
    texts = [
        (float(text.attrib["y"]), float(text.attrib["x"]), text.text or "")
        for text in tree.iter(f"{SVG}text")
    ]
    seen = sorted(text for text in texts if text[0] > float(shown))
    lines = [
        " ".join("".join(text for *_, text in line).split())
        for _, line in groupby(seen, key=lambda text: text[0])
    ]
    return sorted(map(steady, lines))


def steady(line: str) -> str:
    """Leave out figures, ids, which backend it is, and where a line was cut."""
    line = re.sub(r"[0-9a-f]{6}-\d", "ID", line)
    line = re.sub(r"(codec:? )(c|python)\b", r"\1any", line)
    line = re.sub(r"uvloop|asyncio", "loop", line)
    line = re.sub(r"\d[\d.,]*", "N", line)
    return line[:60]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminals")
def test_the_recording_is_of_what_the_demo_shows(tmp_path: Path) -> None:
    for name in ("cryptography", "pyte"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    made = tmp_path / "demo.svg"
    command = [sys.executable, str(ROOT / "docs" / "record_demo.py"), str(made)]
    subprocess.run(command, timeout=100, check=True)
    committed = last_screen(ROOT / "docs" / "demo.svg")
    assert "All is well." in committed
    assert last_screen(made) == committed, (
        "the demo shows something else now: python docs/record_demo.py docs/demo.svg"
    )
