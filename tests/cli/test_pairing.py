"""Two commands pair two machines: ``serve --invite`` and ``chat --invitation``."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import pytest

import sealframe
from sealframe import Connection, Invitation, KnownServers, PrivateKey, ServerIdentity

from .commands import Program, names_in, outcome, running
from .terminal import on_terminal

pytestmark = pytest.mark.usefixtures("settings")


async def invitation_command(server: Program) -> tuple[list[str], bytes]:
    """Return the arguments that the server prints for the other machine, and what to paste."""
    words = shlex.split((await server.lines_until("--invitation"))[-1])
    assert words[0] == "sealframe"
    pasted = (await server.lines_until("SEALFRAME-INVITE-"))[-1].strip()
    return words[1:], f"{pasted}\n".encode()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals to send")
async def test_from_nothing_to_a_link_and_its_withdrawal(tmp_path: Path, settings: Path) -> None:
    here, there = tmp_path / "server", tmp_path / "laptop"
    here.mkdir()
    there.mkdir()
    serve = ["--identity", "server.key", "--clients", "clients.txt"]
    async with running("serve", ":0", *serve, "--invite", "laptop", folder=here) as server:
        command, pasted = await invitation_command(server)
        await server.lines_until("Ctrl-C ends it.")
        address = command[1]
        # Nothing of it is in the list of processes, nor in the history of the shell.
        assert command == ["chat", address, "--identity", "laptop.key", "--invitation", "-"]
        done = await outcome(*command, typed=pasted + b"hello\n", folder=there)
        key = PrivateKey.load(here / "server.key").public_key
        assert (done.code, done.output) == (0, "")
        assert done.error.startswith(f"connected to {address}, sealed, as ")
        assert done.error.endswith(f", server key {key}")
        assert (await server.line()).startswith("laptop/")
        assert (await server.line()).endswith(": hello")
        laptop = PrivateKey.load(there / "laptop.key").public_key
        assert await names_in(here / "clients.txt", 1) == ["laptop"]
        assert f"{laptop} laptop\n" in (here / "clients.txt").read_text()
        assert KnownServers(settings / "known_servers").lookup(address) == key
        assert (await server.end_by(signal.SIGTERM)).code == 0

    # The next day, without invitations.
    async with running("serve", address, *serve, folder=here) as server:
        assert "clients in clients.txt: 1" in await server.lines_until("Ctrl-C ends it.")
        async with running("chat", address, "--identity", "laptop.key", folder=there) as chat:
            await chat.type("it is me\n")
            assert "connected to" in await chat.error_line()
            assert (await server.lines_until(": it is me"))[-1].startswith("laptop/")
            (here / "clients.txt").write_text("# nobody\n")
            assert "the key was withdrawn" in await chat.error_line()
            # Not by the end of its input: that is still open.
            assert await chat.process.wait() == 3
        assert "laptop was withdrawn" in await server.error_line()
        done = await outcome("chat", address, "--identity", "laptop.key", folder=there)
        assert done.code == 3
        assert done.error.endswith(f": {laptop} NAME")


async def test_an_invitation_works_once_and_for_its_holder_again(tmp_path: Path) -> None:
    options = ["--identity", tmp_path / "s.key", "--clients", tmp_path / "clients.txt"]
    invited = ["--invite", "one", "--invite", "../two"]
    async with running("serve", "127.0.0.1:0", *options, *invited) as server:
        first, for_first = await invitation_command(server)
        second, for_second = await invitation_command(server)
        # A name that is no good as the name of a file is not used as one.
        assert second[2:4] == ["--identity", "client.key"]
        assert for_first != for_second
        known = ["--known-servers", tmp_path / "known.txt"]
        for _ in range(2):
            done = await outcome(*first, *known, typed=for_first, folder=tmp_path)
            assert (done.code, done.output) == (0, "")
        other_one = [*first[:3], "other.key", *first[4:], *known]
        done = await outcome(*other_one, typed=for_first, folder=tmp_path)
        assert (done.code, done.output) == (3, "")
        other = PrivateKey.load(tmp_path / "other.key").public_key
        assert "the invitation was used" in done.error
        assert done.error.endswith(f": {other} NAME")
        assert "not among the authorised" in await server.error_line()
        done = await outcome(*second, *known, typed=for_second, folder=tmp_path)
        assert (done.code, done.output) == (0, "")
        assert await names_in(tmp_path / "clients.txt", 2) == ["one", "../two"]


async def ignore(conn: Connection) -> None:
    async for _ in conn:
        pass


def server_identity(folder: Path) -> ServerIdentity:
    sealframe.AuthorizedClients.create(folder / "clients.txt")
    return ServerIdentity(PrivateKey.generate(), folder / "clients.txt")


async def test_an_expired_a_wrong_and_a_mistyped_invitation(tmp_path: Path) -> None:
    identity = server_identity(tmp_path)
    expired = identity.invite("laptop", valid_for=1e-9)
    made_up = Invitation.generate(identity.public_key)
    foreign = Invitation.generate(PrivateKey.generate().public_key)
    async with sealframe.serve(ignore, "127.0.0.1", 0, security=identity) as server:
        for invitation, told in (
            (expired.to_text(), "over ten minutes old"),
            (made_up.to_text(), "over ten minutes old"),
            (foreign.to_text(), f"is its public key {foreign.server}?"),
            (expired.to_text()[:-1] + "Q", ""),
            (str(identity.public_key), "an invitation is needed"),
        ):
            done = await outcome(
                *("send", "hi", f":{server.port}", "--identity", "laptop.key"),
                *("--invitation", invitation),
                folder=tmp_path,
            )
            assert (done.code, done.output) == (3, "")
            assert told in done.error
            assert invitation not in done.error or invitation == str(identity.public_key)
    assert len(identity.clients) == 0
    assert not (tmp_path / "home").exists()


async def test_an_invitation_from_stdin_leaves_the_rest_for_the_server(tmp_path: Path) -> None:
    identity = server_identity(tmp_path)
    invitation = identity.invite("laptop").to_text()
    heard: list[bytes] = []

    async def listen(conn: Connection) -> None:
        heard.extend([message async for message in conn])

    async with sealframe.serve(listen, "127.0.0.1", 0, security=identity) as server:
        done = await outcome(
            *("send", f":{server.port}", "--lines", "--identity", "laptop.key"),
            *("--invitation", "-"),
            typed=f"{invitation}\r\none\ntwo\n".encode(),
            folder=tmp_path,
        )
        assert (done.code, done.output, done.errors) == (0, "", "")
        assert heard == [b"one", b"two"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
async def test_an_invitation_is_asked_for_on_a_terminal(tmp_path: Path) -> None:
    identity = server_identity(tmp_path)
    options = ("--identity", tmp_path / "laptop.key", "--invitation", "-")
    async with (
        sealframe.serve(ignore, "127.0.0.1", 0, security=identity) as server,
        on_terminal("send", "hello", f":{server.port}", *options) as shown,
    ):
        await shown.until("Paste the invitation: ")
        shown.type(identity.invite("laptop").to_text().encode() + b"\n")
        assert await shown.process.wait() == 0
    assert len(identity.clients) == 1


async def test_an_invitation_of_another_server_than_the_known_is_not_used_up(
    tmp_path: Path,
) -> None:
    identity = server_identity(tmp_path)
    invitation = identity.invite("laptop").to_text()
    known = KnownServers(tmp_path / "known.txt")
    async with sealframe.serve(ignore, "127.0.0.1", 0, security=identity) as server:
        known.add(f"127.0.0.1:{server.port}", PrivateKey.generate().public_key)
        command = [
            *("send", "hi", f":{server.port}", "--identity", "laptop.key"),
            *("--invitation", invitation, "--known-servers", "known.txt"),
        ]
        done = await outcome(*command, folder=tmp_path)
        assert (done.code, done.output) == (3, "")
        assert "HAS CHANGED" in done.error
        assert server.counters.accepted == 0
        (tmp_path / "known.txt").unlink()
        done = await outcome(*command, folder=tmp_path)
        assert (done.code, done.output, done.errors) == (0, "", "")


@pytest.mark.parametrize("command", [["send", "hi"], ["chat"]])
async def test_a_server_that_cannot_be_remembered_has_let_the_client_in(
    command: list[str], tmp_path: Path
) -> None:
    identity = server_identity(tmp_path)
    invitation = identity.invite("laptop").to_text()
    in_the_way = tmp_path / "known.txt.lock"
    in_the_way.mkdir()
    async with sealframe.serve(ignore, "127.0.0.1", 0, security=identity) as server:
        arguments = [
            *(*command, f":{server.port}", "--identity", "laptop.key"),
            *("--invitation", invitation, "--known-servers", "known.txt"),
        ]
        done = await outcome(*arguments, folder=tmp_path)
        assert (done.code, done.output) == (3, "")
        assert done.error.startswith("cannot write known.txt")
        assert "has let this client in" in done.error
        assert await names_in(tmp_path / "clients.txt", 1) == ["laptop"]
        # What it says to do is enough.
        in_the_way.rmdir()
        done = await outcome(*arguments, folder=tmp_path)
        assert (done.code, done.output) == (0, "")
        known = KnownServers(tmp_path / "known.txt")
        assert known.lookup(f"127.0.0.1:{server.port}") == identity.public_key
