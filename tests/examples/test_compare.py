"""docs/compare.md says what the programs found, and sealframe's own still find it."""

from __future__ import annotations

import ast
import re
import tomllib

import pytest
from documents import ROOT

from compare.__main__ import measure
from compare.one import COMMON, lines_of, run
from compare.page import PAGE, ROWS, replaced
from compare.promises import FURTHER, PEERS, PROGRAMS, programs_of
from compare.results import Results, load

QUICK = [program for program in PROGRAMS if program not in ("cut", "scanner")]
MEASURED = {"held", "sent"}
"""What is another number each time."""


@pytest.fixture(scope="module")
def results() -> Results:
    return load()


def test_the_page_shows_what_was_found(results: Results) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, results) == page


def test_each_claim_has_a_program_of_each_peer(results: Results) -> None:
    assert {program for _, program, _ in ROWS} == set(PROGRAMS)
    for peer in PEERS:
        source = ROOT / "examples" / "compare" / f"with_{peer}.py"
        tree = ast.parse(source.read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.AsyncFunctionDef)}
        own = (set(PROGRAMS) - COMMON.keys()) | {"echo", "ask", "file", "python_object"}
        assert own | set(FURTHER.get(peer, ())) <= defined, peer
        assert list(results["facts"][peer]) == programs_of(peer), peer


def test_the_results_are_of_the_pinned_releases(results: Results) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = dict(pin.split("==") for pin in project["dependency-groups"]["compare"])
    assert results["versions"].items() >= pins.items()


def test_the_lines_are_those_of_the_programs(results: Results) -> None:
    for peer in PEERS:
        for program in ("requests", "file"):
            assert results["facts"][peer][program]["lines"] == lines_of(peer, program), peer


def test_whatever_is_tried_works(results: Results) -> None:
    """A promise that is kept by a program which does not do its work would be none."""
    for facts in results["facts"].values():
        assert facts["requests"]["own"] is facts["requests"]["timed_out"] is True
        assert facts["file"]["whole"] is True
        assert facts["private"]["works"] is facts["scanner"]["goes_on"] is True


def test_no_program_is_longer_than_it_need_be() -> None:
    """Nobody reads what a comparison hides in a long one."""
    for peer in PEERS:
        source = ROOT / "examples" / "compare" / f"with_{peer}.py"
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 60, f"{peer}.{node.name}"


@pytest.mark.parametrize("program", QUICK)
async def test_sealframe(program: str, results: Results) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    pytest.importorskip("filelock", reason="filelock is not installed")
    found = await run("sealframe", program)
    expected = results["facts"]["sealframe"][program]
    for key in expected.keys() - MEASURED:
        assert found[key] == expected[key], key


def test_what_sealframe_says_to_a_scanner(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    monkeypatch.chdir(ROOT / "examples")
    assert measure("sealframe", "scanner") == results["facts"]["sealframe"]["scanner"]


def test_the_page_names_what_sealframe_does_not_do() -> None:
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition("## What sealframe does not do\n")[2].partition("\n## ")[0]
    assert len(re.findall(r"^- \*\*", section, re.MULTILINE)) >= 5
