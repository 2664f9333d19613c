"""What docs/ARCHITECTURE.md says is true: its files are there, its tables are the code's."""

from __future__ import annotations

import re

import pytest
from documents import ROOT, read
from test_architecture import BASE, LAYERS

from sealframe.core.closing import TABLE, CloseEvent, CloseState
from sealframe.core.events import Phase
from sealframe.core.rules import MESSAGE, RULES
from sealframe.core.stream_state import Sending
from sealframe.wire import Opcode

TEXT = read("docs/ARCHITECTURE.md")
LEADS_ON = re.compile(r"(\w+) → `(\w+)`")
FIN = "FIN"
"""The end of the stream, which is no frame and so in no row of the rules."""
PACKAGE = ROOT / "src" / "sealframe"


def rows(heading: str, header: str) -> list[list[str]]:
    """Return the cells of a table.

    :param heading: of the section
    :param header: how the first line of the table begins
    """
    section = re.split(r"^##+ ", TEXT.split(f"# {heading}\n")[1], flags=re.MULTILINE)[0]
    lines = section[section.index(f"\n{header}") + 1 :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def in_code(text: str) -> list[str]:
    """Return what stands between backticks, in the text and not in a block."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


@pytest.mark.parametrize("page", ["docs/ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_file_that_is_named_is_there(page: str) -> None:
    """Below the root or, for short, below the package."""
    files = re.findall(r"(?<![\w/.])\.?[a-z_/]+\.pyx?\b", " ".join(in_code(read(page))))
    assert len(files) > 15
    for name in files:
        assert (ROOT / name).is_file() or (PACKAGE / name).is_file(), name


def test_the_table_of_packages_is_that_of_the_layers() -> None:
    """Each package and module at the top, what it may import, and none that is not there."""
    table = {}
    for name, _, imports in rows("Packages", "| package"):
        [package] = in_code(name)
        allowed = set(in_code(imports)) | (BASE if "the base" in imports else set())
        table[package] = allowed
    there = [f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")]
    there += [path.name for path in PACKAGE.glob("[!_]*.py")]
    assert sorted(table) == sorted(there)
    assert {name.removesuffix(".py").strip("/"): set(may) for name, may in table.items()} == LAYERS


def test_the_table_of_the_close_is_that_of_the_code() -> None:
    """Each state and event, and where each event leads from each state."""
    codes = {code: CloseState[in_code(name)[0]] for code, name, _ in rows("The close", "| | state")}
    assert list(codes.values()) == list(CloseState)
    header = re.search(r"^\| event \|(.*)\|$", TEXT, re.MULTILINE)
    assert header
    states = [codes[code.strip()] for code in header[1].split("|")]
    assert {*states, CloseState.CLOSED} == set(CloseState)
    table: dict[CloseState, dict[CloseEvent, CloseState]] = {state: {} for state in CloseState}
    events = []
    for name, *cells in rows("The close", "| event"):
        event = CloseEvent[in_code(name)[0]]
        events.append(event)
        for state, code in zip(states, cells, strict=True):
            if code:
                table[state][event] = codes[code]
    assert events == list(CloseEvent)
    assert table == {
        state: {event: after for event, (after, _) in row.items()} for state, row in TABLE.items()
    }


def test_the_table_of_phases_is_that_of_the_rules() -> None:
    """Each phase, and each frame that leads from it to another one."""
    table = {
        in_code(name)[0]: {
            (frame, after) for frame, after in LEADS_ON.findall(leads) if frame != FIN
        }
        for name, _, leads in rows("The phases of the protocol", "| phase")
    }
    assert list(table) == [phase.name for phase in Phase]
    assert table == {
        phase.name: {
            ("MESSAGE" if kind == MESSAGE else Opcode(kind).name, rule.next.name)
            for kind, rule in row.items()
            if rule.next is not phase
        }
        for phase, row in RULES.items()
    }


def test_every_state_of_a_stream_is_named() -> None:
    assert [in_code(row[0]) for row in rows("A stream", "| `Sending`")] == [
        [state.name] for state in Sending
    ]


def test_the_glossary_is_sorted() -> None:
    names = [name.lower() for name, _ in rows("Glossary", "| name")]
    assert names == sorted(names)
