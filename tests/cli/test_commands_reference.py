"""docs/reference/commands.rst: all commands as click has them, and all variables."""

from __future__ import annotations

import re
from pathlib import Path

import click

from sealframe.cli.commands import sealframe_command

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "commands.rst").read_text(encoding="utf-8")


def everything(command: click.Command) -> list[click.Command | click.Parameter]:
    """Return a command, its parameters, and the same of all below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *command.params, *(each for one in below for each in everything(one))]


def test_the_page_is_made_from_all_commands() -> None:
    """With all below them; it shows none that is hidden, so none is."""
    directive = ".. click:: sealframe.cli.commands:sealframe_command\n"
    assert f"{directive}   :prog: sealframe\n   :nested: full\n" in PAGE
    assert [
        one.name for one in everything(sealframe_command) if getattr(one, "hidden", False)
    ] == []


def test_everything_has_a_text() -> None:
    for one in everything(sealframe_command):
        if not isinstance(one, click.Argument):
            assert one.help, one.name


def test_every_variable_of_the_environment_is_there() -> None:
    """Those that the package reads; completions set theirs by themselves."""
    read = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'"(SEALFRAME_[A-Z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert read >= {"SEALFRAME_KEYLOG", "SEALFRAME_PASSPHRASE"}
    listed = re.findall(r"^\.\. envvar:: (\w+)$", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(read)
