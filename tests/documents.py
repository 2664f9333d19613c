"""The programs and commands that stand in a document, and how to run them.

A comment of HTML before a block names it: ``<!-- example: server.py -->``.
"""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ports import reserved_port

ROOT = Path(__file__).parents[1]

COMMAND = [sys.executable, "-m", "sealframe"]

NAMED = re.compile(r"^<!-- ([^>]+) -->\n```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)

# Such comments say where a block is held to be true; several blocks may say the same.
TESTED_ELSEWHERE = ("not run: ", "run by: ", "seen: ")

PYTHON = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def read(path: str) -> str:
    """Return the text of a document, by its path from the root."""
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> dict[str, str]:
    """Return the blocks of one language that have names: programs, and what they print."""
    found = [
        (name, block)
        for name, word, block in NAMED.findall(text)
        if word == language and not name.startswith(TESTED_ELSEWHERE)
    ]
    assert len(dict(found)) == len(found), "two blocks have one name"
    return dict(found)


def program_with(text: str, part: str) -> str:
    """Return the one program without a name in which a text stands: it does not run as it is."""
    (found,) = (block for block in PYTHON.findall(text) if part in block)
    return str(found)


def examples(text: str) -> dict[str, str]:
    """Return the programs by their names."""
    named = blocks(text, "python").items()
    return {name.removeprefix("example: "): block for name, block in named}


def run_shell(script: str, folder: Path, *, umask: int = -1) -> None:
    """Run commands as they stand, ``sealframe`` among them, in a POSIX shell."""
    function = f'sealframe() {{ {shlex.join(COMMAND)} "$@"; }}\n'
    command = ["sh", "-e", "-c", function + script]
    subprocess.run(command, cwd=folder, umask=umask, timeout=60, check=True)


def run_program(path: Path, *, stderr: int | None = None) -> str:
    """Run a program in its own folder; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "utf8", path.name],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=60,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


def run_pair(server: str, client: str, folder: Path) -> str:
    """Run a server and a client; return all that the client prints.

    :param server: the program, for port 1234
    :param client: the same
    """
    with reserved_port() as port:
        for name, program in (("server.py", server), ("client.py", client)):
            assert "1234" in program
            (folder / name).write_text(program.replace("1234", str(port)), encoding="utf-8")
        with running([sys.executable, "server.py"], folder) as process:
            wait_until_listening(port, process)
            return run_program(folder / "client.py", stderr=subprocess.STDOUT)


def wait_until_listening(port: int, server: subprocess.Popen[Any]) -> None:
    """Return once the server accepts a connection."""
    deadline = time.monotonic() + 30
    while True:
        assert server.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a server in a folder, until the end of the block."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8") as server:
        try:
            yield server
        finally:
            server.terminate()
            server.communicate(timeout=30)
