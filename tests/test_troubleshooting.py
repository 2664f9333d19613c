"""docs/troubleshooting.md: every error is there, and what it quotes is what a program says."""

from __future__ import annotations

import ast
import asyncio
import copy
import errno
import inspect
import logging
import os
import pickle
import re
import traceback
from pathlib import Path

import pytest
from documents import NAMED, ROOT, read
from troubles import TROUBLES

import sealframe
from sealframe import errors

PAGE = read("docs/troubleshooting.md")
TITLES = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
QUOTES = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
SEEN = [(name.removeprefix("seen: "), text.rstrip("\n")) for name, _, text in NAMED.findall(PAGE)]
ERRORS = [
    name
    for name, kind in vars(errors).items()
    if inspect.isclass(kind)
    and issubclass(kind, errors.SealframeError)
    and not name.startswith("_")
]


def test_every_error_has_its_anchor() -> None:
    """A heading is an anchor: its text, in small letters."""
    assert set(ERRORS) <= set(TITLES)
    assert len(TITLES) == len(set(TITLES))
    assert [title for title in TITLES if title.endswith("Error") and title not in ERRORS] == []


def templates() -> list[re.Pattern[str]]:
    """Return what the texts of the source look like, with anything where a value is put in."""
    found: set[str] = {re.escape(os.strerror(errno.EMFILE))}
    for path in (ROOT / "src" / "sealframe").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    re.escape(part.value)
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    else ".*"
                    for part in node.values
                ]
                found.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"%[a-z.\d]*[sdrg]", ".*", re.escape(node.value)))
    return [re.compile(one, re.DOTALL) for one in found if len(one.replace(".*", "")) > 12]


def test_what_is_quoted_stands_in_the_source() -> None:
    known = templates()
    seen = {text for _, text in SEEN}
    strange = [
        quote
        for quote in QUOTES
        if quote not in seen and not any(one.search(quote.strip()) for one in known)
    ]
    assert strange == []


def steady(text: str) -> str:
    """Replace what differs from run to run."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1234", text)
    text = re.sub(r"\[Errno \d+\] ", "", text)
    return re.sub(r"sealframe1\w+", "sealframe1...", text)


def test_every_trouble_is_on_the_page() -> None:
    assert {name for name, _ in SEEN} == TROUBLES.keys()


@pytest.mark.parametrize(("name", "quote"), sorted(set(SEEN)))
def test_what_is_quoted_is_seen(
    name: str,
    quote: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The failing program runs, and its error or its log has the text."""
    needs = ("key", "seal", "list", "known", "ciphertext")
    if any(word in name for word in needs):
        pytest.importorskip("cryptography", reason="cryptography is not installed")
        pytest.importorskip("filelock", reason="filelock is not installed")
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="sealframe")
    failed = ""
    try:
        asyncio.run(TROUBLES[name]())
    except (sealframe.SealframeError, errors.FramingError) as error:
        failed = str(error)
    assert steady(quote) in steady(f"{failed}\n{caplog.text}")


def test_a_traceback_says_how_to_go_on() -> None:
    """And the text itself stays as it is; what a program notes is kept."""
    error = errors.UnauthorizedError("no")
    assert str(error) == "no"
    assert vars(error).keys() == {"code", "reason"}, "a note is made when somebody looks at it"
    error.add_note("of a program")
    shown = traceback.format_exception_only(error)
    assert shown[1:] == ["What to do: sealframe explain UnauthorizedError\n", "of a program\n"]


def test_an_error_of_a_program_is_explained_as_what_it_stands_on() -> None:
    class OwnError(errors.FileChangedError):
        pass

    assert OwnError("x").__notes__ == ["What to do: sealframe explain FileChangedError"]


@pytest.mark.parametrize("name", ["ConnectError", "DecodeError", "HandshakeError", "StreamError"])
def test_an_error_is_copied_with_its_note(name: str) -> None:
    error = getattr(errors, name)("text")
    expected = [f"What to do: sealframe explain {name}"]
    for looked_at in (False, True):
        if looked_at:
            assert error.__notes__ == expected
        for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert (str(other), other.__notes__) == ("text", expected)
