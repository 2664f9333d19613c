"""What docs/SECURITY.md says is true: its tests are there, its figures are the code's."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from sealframe import ServerOptions, wire

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "SECURITY.md").read_text(encoding="utf-8")
PROMISES: Final = TEXT.split("## What is promised")[1].split("\n## ")[0]
NAME = re.compile(r"`(tests/[^`]*)`")
NAMED = sorted(set(NAME.findall(TEXT)))
PRIVATE_ADDRESS = re.compile(r"\S+@\S+\.\w+")

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(body: list[ast.stmt]) -> dict[str, Definition]:
    """Return the functions and classes in the body of a module or class by their names."""
    return {node.name: node for node in body if isinstance(node, Definition)}


def find(name: str) -> list[Definition]:
    """Return what ``file::class::function`` names, from the outside in."""
    file, *path = name.split("::")
    assert Path(file).name.startswith("test_"), "pytest collects no other file"
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    found = []
    for part in path:
        assert part in definitions(body), f"{part} is not in {file}"
        found.append(definitions(body)[part])
        body = found[-1].body
    return found


def is_test(node: Definition) -> bool:
    """Whether pytest runs it: it is a test, or a class that has one."""
    if isinstance(node, ast.ClassDef):
        inner = definitions(node.body).values()
        return node.name.startswith("Test") and any(map(is_test, inner))
    return node.name.startswith("test_")


@pytest.mark.parametrize("name", NAMED)
def test_every_test_that_is_named_is_there(name: str) -> None:
    """It exists, pytest runs it, and nobody has switched it off."""
    found = find(name)
    assert found
    assert is_test(found[-1])
    for node in found:
        for decorator in node.decorator_list:
            assert not re.search(r"\.(skip|xfail)\b", ast.unparse(decorator))


def test_every_promise_names_a_test() -> None:
    """No row of the tables of promises goes without."""
    rows = re.findall(r"^\| (?!promise|---)([^|]+) \| ([^|]+) \|$", PROMISES, re.MULTILINE)
    lines = [line for line in PROMISES.splitlines() if line.startswith("|")]
    assert len(rows) == len(lines) - 2 * PROMISES.count("| promise |")
    assert len(rows) > 20
    for promise, held_by in rows:
        assert NAME.findall(held_by), promise
        assert not NAME.sub("", held_by).strip(", "), promise


def test_the_limits_are_those_of_the_options() -> None:
    """Each option in the table has the default that it says."""
    section = TEXT.split("### Limits before")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| [^|]+ \| `(\w+)` \| ([^|]+?) \|$", section, re.MULTILINE))
    defaults = {field.name: str(field.default) for field in dataclasses.fields(ServerOptions)}
    assert "handshake_timeout" in table
    assert {name for name in defaults if name.startswith(("connection_", "max_pend"))} < set(table)
    assert table == {name: defaults[name] for name in table}
    assert f"{wire.MAX_UNAUTHENTICATED:,}\nbytes are held" in section


def test_the_lifetime_of_keys_is_that_of_the_code() -> None:
    """Records and bytes under one key."""
    records, size = wire.REKEY_INTERVAL, wire.MAX_RECORD_PLAINTEXT
    assert f"{records:,} records, at most {records * size:,} bytes of plaintext" in TEXT
    assert records * -(-wire.MAX_RECORD // 16) == 2**24


def test_no_person_is_named() -> None:
    """Flaws are reported through the host of the repository, to no address that may go stale."""
    assert not PRIVATE_ADDRESS.search(TEXT)
