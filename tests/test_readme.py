"""What README.md shows is true: its programs run, its links lead somewhere, and it stays short."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from documents import COMMAND, ROOT, examples, read, run_pair

README = read("README.md")
EXAMPLES = examples(README)


def test_the_echo_programs_run(tmp_path: Path) -> None:
    """The server and the client, as they stand, on a port that is free."""
    assert run_pair(EXAMPLES["server.py"], EXAMPLES["client.py"], tmp_path) == "grüß dich\n"


def test_sealed_is_one_line_more(tmp_path: Path) -> None:
    """That line in both programs, and security=key, with the file that its comment makes."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    line = EXAMPLES["sealed"]
    words = line.rpartition("made once by: sealframe ")[2].split()
    subprocess.run([*COMMAND, *words], cwd=tmp_path, timeout=60, check=True)
    server, client = (
        re.sub(r"(1234)\)", r"\1, security=key)", program).replace(
            "import sealframe\n", f"import sealframe\n\n{line}"
        )
        for program in (EXAMPLES["server.py"], EXAMPLES["client.py"])
    )
    assert server.count("security=key") == client.count("security=key") == 1
    assert run_pair(server, client, tmp_path) == "grüß dich\n"


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", README)
    assert len(links) > 30
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_no_key_stands_in_it() -> None:
    """Whoever pastes a list of clients or an invitation lets its owner in."""
    for prefix in ("sealframe1", "SEALFRAME-[A-Z-]+-1"):
        assert re.findall(rf"{prefix}\w+", README) == []
