"""``sealframe explain``, and the lines that name it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from sealframe.cli.explain import explain, find, sections
from sealframe.core.faults import closed_early

from .commands import invoked
from .terminal import on_terminal

ROOT = Path(__file__).parents[2]


def run(*text: str) -> str:
    """Run the command without a process; return what it prints."""
    done = CliRunner().invoke(explain, text, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_page_of_the_package_is_that_of_the_site() -> None:
    name = "troubleshooting.md"
    site, package = ROOT / "docs" / name, ROOT / "src" / "sealframe" / "cli" / name
    assert package.read_bytes() == site.read_bytes(), f"cp docs/{name} src/sealframe/cli/"


@pytest.mark.parametrize("name", ["UnauthorizedError", "unauthorizederror", "unauthorized"])
def test_an_error_is_explained(name: str) -> None:
    text = run(name)
    assert text.startswith("UnauthorizedError\n    the server does not have this client's key")
    assert "sealframe public FILE" in text


def test_words_of_a_line_are_enough() -> None:
    assert run("swapped", "byte", "order").startswith("Swapped byte order\n")
    assert run("HTTP client?", "health").startswith("HTTP on the port\n")


@pytest.mark.parametrize(
    ("line", "title"),
    [
        (
            "length 542393671 is over it (length 542393671 is ASCII 'GET ': an HTTP client?)",
            "HTTP on the port",
        ),
        ("the peer has another key, or the context differs: check both at both ends", "Wrong key"),
        (
            "a client that is not sealed connected to a sealed server: give it the key",
            "Plain and sealed",
        ),
        (
            (
                "the context differs, or a handshake message was changed on its way: "
                "check the context at both ends"
            ),
            "Another context",
        ),
        (
            (
                "the peer refused the handshake: check the context at both ends; or a handshake "
                "message was changed on its way"
            ),
            "Another context",
        ),
        (
            (
                "the peer refused the handshake: the client does not accept this server's key (has "
                "it changed?), or the context differs, or a handshake message was changed on its "
                "way"
            ),
            "ServerKeyChangedError",
        ),
        ("a handshake message is malformed, or was changed on its way", "Another context"),
        (closed_early(silently=True), "Closed without a word"),
    ],
)
def test_a_whole_line_of_a_log_is_known(line: str, title: str) -> None:
    assert run(f"client 9b4993-2 at 127.0.0.1:38080: {line}").startswith(f"{title}\n")


def test_several_are_listed_and_so_are_all() -> None:
    how, *some = run("sealed", "key").splitlines()
    assert how.endswith(f"sealframe explain {shlex.quote(some[0])}")
    assert len(some) > 1
    assert set(some) < set(run().splitlines())
    assert len(run().splitlines()) == len(sections())


def test_nothing_of_markdown_is_left() -> None:
    for title, text in sections():
        assert title.strip() == title
        assert not any(mark in text for mark in ("```", "](", "<!--", "**")), title
        assert text or title


def test_where_to_read_on_is_a_page() -> None:
    """And not the bare name of one, behind a full stop."""
    assert run("SessionLostError").endswith(" More: docs/guides/sessions.md\n")
    pages = re.findall(r"More: (docs/[^\s#]+)", "\n".join(text for _, text in sections()))
    assert len(pages) > 10
    assert [page for page in pages if not (ROOT / page).exists()] == []


def test_every_name_finds_its_own() -> None:
    for section in sections():
        assert find(section.title) == [section]


def test_what_is_not_known_is_an_error() -> None:
    done = invoked("explain", "nonsense")
    assert (done.code, done.output) == (1, "")
    assert done.errors.startswith("sealframe: nothing is known of 'nonsense'")


async def test_a_person_is_told_how_to_go_on(tmp_path: Path) -> None:
    """And a program that reads the line is not."""
    command = ("public", tmp_path / "none.key")
    async with on_terminal(*command, columns=200) as terminal:
        await terminal.until("more: sealframe explain KeyFileError")
    assert "sealframe explain" not in invoked(*command).errors
