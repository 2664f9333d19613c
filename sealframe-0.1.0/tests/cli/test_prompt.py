"""Typing and reading at once on a terminal."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sealframe
from sealframe import Connection
from sealframe.cli.prompt import LineEditor

from .terminal import on_terminal


@pytest.mark.parametrize(
    ("keys", "lines", "rest"),
    [
        (b"one\ntwo\rth", ["one", "two"], "th"),
        (b"ab\x7fc\x08d\n", ["ad"], ""),
        (b"one two\x17three\n", ["one three"], ""),
        (b"one two  \x17\x17\x17x", [], "x"),
        (b"one\x15two\n", ["two"], ""),
        (b"a\x1b[A\x1b[1;5Cb\x1bOPc\x1bxd\n", ["abcd"], ""),
        ("жаба\x7f🐞\n".encode(), ["жаб🐞"], ""),
        (b"tab\there\x00\x07\n", ["tab\there"], ""),
        (b"\n", [""], ""),
    ],
)
def test_keys(keys: bytes, lines: list[str], rest: str) -> None:
    for step in (len(keys), 1):
        editor = LineEditor()
        found = []
        for start in range(0, len(keys), step):
            found += editor.feed(keys[start : start + step])
        assert (found, editor.line, editor.ended) == (lines, rest, False)


@pytest.mark.parametrize(
    ("keys", "lines"), [([b"\x04"], []), ([b"last\x04"], ["last"]), ([b"last", b""], ["last"])]
)
def test_the_end(keys: list[bytes], lines: list[str]) -> None:
    editor = LineEditor()
    found = [line for data in keys for line in editor.feed(data)]
    assert (found, editor.ended) == (lines, True)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x04")).map(str.encode), st.data())
def test_the_split_does_not_matter(keys: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(min_value=0, max_value=len(keys)))
    whole, split = LineEditor(), LineEditor()
    lines = whole.feed(keys + b"\n")
    assert [*(split.feed(keys[:cut]) if cut else []), *split.feed(keys[cut:] + b"\n")] == lines
    assert whole.line == split.line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
async def test_a_message_comes_while_a_line_is_typed(tmp_path: Path) -> None:
    conns: asyncio.Queue[Connection] = asyncio.Queue()
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def handler(conn: Connection) -> None:
        conns.put_nowait(conn)
        async for message in conn:
            heard.put_nowait(message)

    async with (
        sealframe.serve(handler, path=tmp_path / "socket") as server,
        on_terminal("chat", server.addresses[0]) as shown,
    ):
        conn = await conns.get()
        await shown.until(r"connected to .*> $")
        shown.type(b"half a ")
        await shown.until(r"> half a $")
        await conn.send(b"x: \x1b[2J[red]\x07")
        # Above the prompt, which is then drawn again with what was typed.
        await shown.until(r"x:.* \\x1b\[2J\[red\]\\x07.*\n.*> half a $")
        shown.type(b"line\r")
        assert await heard.get() == b"half a line"
        await shown.until(r"you: half a line.*> $")
        shown.type(b"last\x04")
        assert await heard.get() == b"last"
        assert await shown.process.wait() == 0
    # Of a peer's bytes none that steers went through.
    assert "\x1b[2J" not in shown.text
    assert "\x07" not in shown.text
