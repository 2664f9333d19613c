"""Every command line of README and of the site runs, or a comment before its block says why not.

``<!-- not run: REASON -->`` is that comment. Each line runs by itself, in a folder that has what
the pages speak of, with addresses of this machine in place of those that they give.
"""

from __future__ import annotations

import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import takewhile
from pathlib import Path
from typing import Final

import pytest
from documents import ROOT
from ports import reserved_port

from sealframe import PrivateKey, SharedKey

from .commands import COMMAND, Program
from .terminal import on_terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="they are for a POSIX shell")

BLOCK: Final = re.compile(
    r"^(?:<!-- ([^>]+) -->\n)?```(?:sh|console|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL
)
ELSEWHERE: Final = ("shell: ", "pair: ", "test command", "demo command")
"""Blocks that other tests run, or CI itself: as a whole, since their lines need one another."""

SERVERS: Final = ("serve", "receive", "dashboard")
DONE: Final = (0,)
DOCTOR: Final = (0, 1)
"""What it says of so little is a guess, and that is exit code 1."""


def lines() -> list[object]:
    """Return each line that is to run, with its page."""
    found: list[object] = []
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        page = path.relative_to(ROOT).as_posix()
        for name, block in BLOCK.findall(path.read_text(encoding="utf-8")):
            if not name.startswith(("not run: ", *ELSEWHERE)):
                found += [
                    pytest.param(line, id=f"{page}: {line}")
                    for line in block.replace("\\\n", " ").splitlines()
                    if line.strip() and not line.startswith("#")
                ]
    return found


@pytest.fixture
def folder(tmp_path: Path, settings: Path) -> Path:
    """A folder with the files that the pages speak of."""
    for name in ("cryptography", "filelock"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    SharedKey.generate().save(tmp_path / "shared.key")
    for name in ("server.key", "laptop.key"):
        PrivateKey.generate().save(tmp_path / name)
    clients = tmp_path / "clients.txt"
    clients.touch(0o600)
    (tmp_path / "photos").mkdir()
    for name in ("photo.jpg", "photos/one.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(b"anything")
    frames = b"".join(len(data).to_bytes(2, "big") + data for data in (b"one", b"three", b"seven"))
    (tmp_path / "bytes.bin").write_bytes(frames * 20)
    return tmp_path


def here(line: str, port: int, other: int) -> tuple[list[str], list[str], list[str]]:
    """Return a line's variables, options before the command, and words, with a test's ports."""
    line = re.sub(r"(?:\d+\.){3}\d+:1234", f"127.0.0.1:{port}", line)
    line = re.sub(r"127\.0\.0\.1:(8080|9100)", f"127.0.0.1:{other}", line)
    words = shlex.split(line, comments=True)
    start = words.index("sealframe")
    assert all("=" in word for word in words[:start]), line
    given = words[start + 1 :]
    options = list(takewhile(lambda word: word.startswith("-v"), given))
    del given[: len(options)]
    # The default address is the machine's, of which there is one for all tests.
    if given[0] in ("serve", "chat") and f"127.0.0.1:{port}" not in line:
        given.append(f"127.0.0.1:{port}")
    return words[:start], options, given


@asynccontextmanager
async def served(*words: str, folder: Path, variables: list[str]) -> AsyncIterator[Program]:
    """Run a server until the end of the block; it has to end in good order."""
    command = ("env", *variables, *COMMAND)
    program = await Program.start(*words, command=command, folder=folder)
    try:
        await program.lines_until("Ctrl-C ends it")
        yield program
        done = await program.end_by(signal.SIGTERM)
    finally:
        if program.process.returncode is None:
            program.process.kill()
            await program.process.wait()
    assert done.code in (0, 143), done.errors


def server_for(words: list[str], port: int) -> list[str]:
    """Return the command of the server that a client's command needs; none, if it needs none."""
    address = f"127.0.0.1:{port}"
    if "--control" in words and words[0] in ("invite", "clients", "dashboard"):
        identity = ["--identity", "server.key", "--clients", "clients.txt"]
        return ["serve", address, *identity, "--control", "./control"]
    if words[0] in ("chat", "send", "send-file"):
        server = ["receive", "incoming"] if words[0] == "send-file" else ["serve"]
        key = ["--key", "shared.key"] if "--key" in words else []
        sessions = ["--sessions", "120"] if "--session" in words else []
        return [*server, address, *key, *sessions]
    return []


@pytest.mark.parametrize("line", lines())
async def test_a_command_line_runs(line: str, folder: Path) -> None:
    if " dashboard " in f"{line} ":
        pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    with reserved_port() as port, reserved_port() as other:
        variables, options, words = here(line, port, other)
        if "--status" in words:
            # It shows a table, for which it wants a terminal.
            async with on_terminal(*words, columns=100) as terminal:
                await terminal.until("Ctrl-C ends it")
                terminal.process.send_signal(signal.SIGTERM)
            assert terminal.process.returncode == 0
            return
        async with AsyncExitStack() as stack:
            if server := server_for(words, port):
                await stack.enter_async_context(served(*server, folder=folder, variables=[]))
            if words[0] in SERVERS:
                await stack.enter_async_context(served(*words, folder=folder, variables=variables))
                return
            if words[0] == "keygen":
                # It overwrites nothing.
                (folder / words[-1]).unlink(missing_ok=True)
            command = ("env", *variables, *COMMAND)
            program = await Program.start(*options, *words, command=command, folder=folder)
            # A dump, for the one that wants something pasted.
            typed = b"00 03 6f 6e 65 00 05 74 68 72 65 65\n" if "-" in words else b""
            done = await program.end(typed)
            assert done.code in (DOCTOR if words[0] == "doctor" else DONE), done.errors


def test_what_is_not_run_says_why() -> None:
    """And no line is left out of everything."""
    assert len(lines()) > 30
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for name, _ in BLOCK.findall(path.read_text(encoding="utf-8")):
            assert name == "" or name.startswith(("not run: ", *ELSEWHERE)), (path, name)
            assert not name.startswith("not run: ") or len(name) > len("not run: ") + 10
