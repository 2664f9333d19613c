"""docs/guides/commands.md names every command and every option."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sealframe.cli.commands import sealframe_command

PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "commands.md").read_text()


@pytest.mark.parametrize("name", sealframe_command.commands)
def test_a_command_is_on_the_page_with_its_options(name: str) -> None:
    command = sealframe_command.commands[name]
    heading = re.search(rf"^## sealframe {name}( .*)?$", PAGE, re.MULTILINE)
    assert heading is not None
    options = [p for p in command.params if isinstance(p, click.Option)]
    named = set(re.findall(r"`(-[-a-z]+)", PAGE))
    assert {word for option in options for word in option.opts} <= named


def test_the_page_names_nothing_else() -> None:
    known = {
        word
        for command in sealframe_command.commands.values()
        for parameter in command.params
        for word in parameter.opts
    }
    assert set(re.findall(r"`(--[-a-z]+)", PAGE)) <= known
    headings = re.findall(r"^## sealframe ([-a-z]+)", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(sealframe_command.commands)
