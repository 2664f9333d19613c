"""What README.md shows is true: its programs run, its table names every default."""

from __future__ import annotations

import dataclasses
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

import pytest

from sealframe import ClientOptions, PrivateKey, ServerOptions

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")

COMMAND = [sys.executable, "-m", "sealframe"]


def example(name: str) -> str:
    """Return the program of that name."""
    start = re.escape(f"<!-- example: {name} -->\n```python\n")
    found = re.search(rf"^{start}(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_echo_programs_run(tmp_path: Path) -> None:
    """The server and the client of the README, as they stand, on a port that is free."""
    port = free_port()
    for name in ("server.py", "client.py"):
        program = example(name)
        assert "1234" in program
        (tmp_path / name).write_text(program.replace("1234", str(port)), encoding="utf-8")
    server = subprocess.Popen([sys.executable, "server.py"], cwd=tmp_path)
    try:
        wait_until_listening(port, server)
        done = subprocess.run(
            [sys.executable, "-X", "utf8", "client.py"],
            cwd=tmp_path,
            capture_output=True,
            timeout=30,
            check=True,
            encoding="utf-8",
        )
    finally:
        server.terminate()
        server.wait(timeout=30)
    assert done.stdout == "grüß dich\n"


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


def test_the_table_of_limits_names_every_default() -> None:
    """Each option stands in the table once, with its default."""
    section = README.split("## Limits and defaults")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))
    defaults = {
        field.name: str(field.default)
        for options in (ServerOptions, ClientOptions)
        for field in dataclasses.fields(options)
    }
    assert table == defaults


def shell(name: str) -> str:
    """Return the commands of that name."""
    start = re.escape(f"<!-- {name} -->\n```sh\n")
    found = re.search(rf"^{start}(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found.group(1)


def pairing(step: str, port: int) -> list[str]:
    """Return the command of one step, for two folders on one machine as the README says."""
    text = re.sub(r"\d+\.\d+\.\d+\.\d+:1234", f"127.0.0.1:{port}", shell(f"pair: {step}"))
    # One machine's alone: what is pasted after a server's never runs.
    [line] = text.splitlines()
    name, *words = shlex.split(line)
    assert name == "sealframe"
    return [*COMMAND, *words]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that could be handled")
def test_two_commands_pair_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From nothing, and once more without an invitation, in the README's own words."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    port = free_port()
    here, there = tmp_path / "server", tmp_path / "laptop"
    here.mkdir()
    there.mkdir()
    serve, join = pairing("serve", port), pairing("join", port)
    with running(serve, here) as server:
        printed = shlex.split(line_with(server, "--invitation"))
        # What is copied is what the README shows, but for the invitation itself.
        assert printed[0] == "sealframe"
        assert printed[1:-1] == join[len(COMMAND) : -1]
        done = talk([*COMMAND, *printed[1:]], there)
        assert f"connected to 127.0.0.1:{port}, sealed" in done
        assert line_with(server, ": hello").startswith("laptop/")
    serve, chat = pairing("serve again", port), pairing("join again", port)
    with running(serve, here) as server:
        line_with(server, "Ctrl-C ends it.")
        assert "sealed" in talk(chat, there)
        assert line_with(server, ": hello").startswith("laptop/")


@pytest.mark.skipif(sys.platform == "win32", reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_the_programs_with_identities_run(tmp_path: Path, umask: int) -> None:
    """With the files that the README's commands make, whatever others may do by default."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    port = free_port()
    function = f'sealframe() {{ {shlex.join(COMMAND)} "$@"; }}\n'
    script = ["sh", "-e", "-c", function + shell("identity: files")]
    subprocess.run(script, cwd=tmp_path, umask=umask, timeout=60, check=True)
    server_key = PrivateKey.load(tmp_path / "server.key")
    for name in ("identity_server.py", "identity_client.py"):
        program = example(name).replace("1234", str(port))
        program = program.replace('"sealframe1..."', f'"{server_key.public_key}"')
        (tmp_path / name).write_text(program, encoding="utf-8")
    with running([sys.executable, "identity_server.py"], tmp_path) as server:
        wait_until_listening(port, server)
        assert talk([sys.executable, "identity_client.py"], tmp_path) == "laptop said: hello\n"


def test_no_key_stands_in_it() -> None:
    """Whoever pastes a list of clients or an invitation lets its owner in."""
    for prefix in ("sealframe1", "SEALFRAME-[A-Z-]+-1"):
        assert re.findall(rf"{prefix}\w+", README) == []


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a server in a folder, until the end of the block."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, encoding="utf-8") as server:
        try:
            yield server
        finally:
            server.terminate()
            server.communicate(timeout=30)


def line_with(server: subprocess.Popen[str], text: str) -> str:
    """Return the next line of output that holds a text."""
    assert server.stdout is not None
    for line in server.stdout:
        if text in line:
            return line
    raise AssertionError(f"the server ended without {text!r}")


def talk(command: list[str], folder: Path) -> str:
    """Run a client that says hello; return all that it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        input="hello\n",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=True,
        encoding="utf-8",
    )
    return done.stdout


def free_port() -> int:
    """Return a TCP port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
