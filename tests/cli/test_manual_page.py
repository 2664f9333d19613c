"""The manual page says what the commands say, and man can show it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from .manual_page import PAGE, page


def test_the_page_is_that_of_the_commands() -> None:
    assert PAGE.read_text("utf-8") == page(), "run: python tests/cli/manual_page.py"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["groff", "-ww", "-man", "-Tutf8"], id="groff"),
        pytest.param(["mandoc", "-T", "lint", "-W", "warning"], id="mandoc"),
    ],
)
def test_it_is_shown_without_a_warning(command: list[str]) -> None:
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not here")
    done = subprocess.run(
        [*command, str(PAGE)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    if command[0] == "mandoc":
        assert done.stdout == ""
    else:
        assert "completion" in done.stdout
