"""``sealframe invite`` and ``sealframe clients`` at a server that runs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest
from click.testing import CliRunner

import sealframe
from sealframe import AuthorizedClients, PrivateKey
from sealframe.cli.clients import clients
from sealframe.cli.control import Control
from sealframe.cli.invite import invite
from sealframe.cli.output import Output
from sealframe.cli.receive import receive
from sealframe.cli.serve import serve

from .commands import names_in, outcome, running

needs_unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets")


@pytest.fixture
def loose_umask() -> Iterator[None]:
    """Files that are made are everybody's, unless somebody sees to it."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@needs_unix
@pytest.mark.usefixtures("settings", "loose_umask")
async def test_a_running_server_invites_and_lists(tmp_path: Path) -> None:
    PrivateKey.generate().save(tmp_path / "server.key")
    AuthorizedClients.create(tmp_path / "clients.txt")
    sealing = ("--identity", "server.key", "--clients", "clients.txt")
    options = (*sealing, "--control", "./control")
    async with running("serve", "./relay", *options, folder=tmp_path) as server:
        assert "control socket control" in await server.lines_until("Ctrl-C ends it.")
        assert mode(tmp_path / "control") == 0o600
        # That of the relay itself is what the umask makes it.
        assert mode(tmp_path / "relay") == 0o777

        invited, misnamed, second = await asyncio.gather(
            outcome("invite", "laptop", "--control", "control", folder=tmp_path),
            outcome("invite", "lap top", "--control", "control", folder=tmp_path),
            outcome("serve", "127.0.0.1:0", "--control", "control", folder=tmp_path),
        )
        assert (misnamed.code, misnamed.output) == (2, "")
        assert "'lap top'; use one word" in misnamed.error
        assert (second.code, second.output) == (1, "")
        assert "cannot listen on control: " in second.error
        assert (invited.code, invited.errors) == (0, "")
        told, command, paste, pasted = invited.output.splitlines()
        assert told == "To let laptop in, run there, within 10 minutes:"
        assert paste.startswith("and paste this there when it asks for the invitation")
        words = shlex.split(command)
        assert words[:5] == ["sealframe", "chat", "./relay", "--identity", "laptop.key"]
        assert words[5:] == ["--invitation", "-"]
        assert await server.line() == "invited laptop"

        async with running(*words[1:], folder=tmp_path) as chat:
            await chat.type(f"{pasted.strip()}\n")
            assert "connected to ./relay, sealed" in await chat.error_line()
            await chat.type("hello\n")
            id = (await server.lines_until(": hello"))[-1].partition(": ")[0].partition("/")[2]
            listed, figures, number = await asyncio.gather(
                outcome("clients", "--control", "control", folder=tmp_path),
                outcome("clients", "--json", "--control", "control", folder=tmp_path),
                outcome("clients", "--count", "--control", "control", folder=tmp_path),
            )
            heads, row = map(str.split, listed.output.splitlines())
            assert heads[:4] == ["client", "name", "address", "for"]
            assert row[:2] == [id, "laptop"]
            assert row[-7] == "1", listed.output
            assert row[-4] == "0", listed.output
            assert (heads[-1], row[-1]) == ("seal", "hybrid"), listed.output
            assert json.loads(figures.output)[id]["messages_received"] == 1
            assert {listed.code, figures.code} == {0}
            assert (number.code, number.output, number.errors) == (0, "1\n", "")
        assert await names_in(tmp_path / "clients.txt", 1) == ["laptop"]
        assert (await server.end_by(signal.SIGTERM)).code == 0
    assert not (tmp_path / "control").exists()


@needs_unix
async def test_a_server_that_cannot_and_one_that_is_gone(tmp_path: Path) -> None:
    options = ("--control", "control")
    async with running("receive", "in", "./files", *options, folder=tmp_path) as server:
        await server.lines_until("Ctrl-C ends it.")
        nobody = await outcome("clients", *options, folder=tmp_path)
        # The last one is a client of the server for a moment.
        refused, other = await asyncio.gather(
            outcome("invite", "laptop", *options, folder=tmp_path),
            outcome("clients", "--control", "files", folder=tmp_path),
        )
        assert (nobody.code, len(nobody.output.splitlines())) == (0, 1)
        assert (refused.code, refused.output) == (3, "")
        assert "no identity" in refused.error
        assert "start it with --identity FILE --clients FILE" in refused.error
        assert (other.code, other.output) == (1, "")
        assert other.error.startswith("files is not a control socket; ")
        server.process.kill()
        await server.process.wait()
        gone = await outcome("clients", *options, folder=tmp_path)
        assert (gone.code, gone.output) == (1, "")
        assert gone.error.startswith("cannot connect to control: ")
        assert gone.error.endswith("Its command needs --control control")


async def test_to_count_the_clients_no_server_looks_at_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stats(_: object) -> NoReturn:
        raise AssertionError("with many clients this takes a while, in which it does nothing else")

    async def handler(conn: sealframe.Connection) -> None:
        await conn.recv()

    nobody: Any = None
    async with (
        sealframe.serve(handler, "127.0.0.1", 0) as server,
        sealframe.connect("127.0.0.1", server.port, extended=True) as client,
    ):
        await client.ping()
        monkeypatch.setattr(type(server), "stats", stats)
        control = Control(Output(), None, "")
        control.start(server)
        assert await control.answer(nobody, {"do": "count"}) == 1
        control.close()


@needs_unix
def test_a_count_is_no_json() -> None:
    done = CliRunner().invoke(clients, ["--count", "--json", "--control", "control"])
    assert done.exit_code == 2
    assert "give --json or --count" in done.output


@pytest.mark.parametrize(
    ("command", "arguments"),
    [(serve, []), (receive, ["in"]), (invite, ["laptop"]), (clients, [])],
)
def test_a_platform_without_unix_sockets(
    command: click.Command, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "AF_UNIX", raising=False)
    done = CliRunner().invoke(command, [*arguments, "--control", "control"])
    assert done.exit_code == 2
    assert "this platform has no Unix sockets" in done.output
    assert "Exit codes:" in CliRunner().invoke(command, ["--help"]).output
