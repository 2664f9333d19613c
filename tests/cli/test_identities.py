"""Clients with a key of their own: a pinned server, known servers, and what is refused."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sealframe
from sealframe import ClientIdentity, Connection, KnownServers, PrivateKey, Server, ServerIdentity

from .commands import outcome, relay, running
from .terminal import on_terminal

pytestmark = pytest.mark.usefixtures("settings")

needs_terminal = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no pseudo-terminals"
)


@dataclass
class Place:
    """A server in this process, a client's key that it lets in, and what it heard."""

    identity: ServerIdentity
    client: PrivateKey
    client_file: Path
    known: Path
    heard: list[tuple[str, bytes]] = field(default_factory=list)
    server: Server = field(init=False)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    async def handle(self, conn: Connection) -> None:
        async for message in conn:
            assert conn.peer is not None
            self.heard.append((conn.peer.name, message))


@pytest.fixture
async def place(tmp_path: Path, port: int) -> AsyncIterator[Place]:
    client = PrivateKey.generate()
    client.save(tmp_path / "client.key")
    identity = ServerIdentity(
        PrivateKey.generate(), {"laptop": client.public_key}, patterns=("XK", "XX")
    )
    place = Place(identity, client, tmp_path / "client.key", tmp_path / "known.txt")
    serving = sealframe.serve(place.handle, "127.0.0.1", port, security=identity)
    async with serving as place.server:
        yield place


async def test_a_pinned_server(place: Place, settings: Path) -> None:
    options = ["--identity", place.client_file, "--server-key", place.identity.public_key]
    done = await outcome("send", "hello", place.address, *options)
    assert (done.code, done.output, done.errors) == (0, "", "")
    done = await outcome("chat", place.address, *options, typed=b"again\n")
    assert (done.code, done.output) == (0, "")
    assert done.error.startswith(f"connected to {place.address}, sealed, as ")
    assert done.error.endswith(f", server key {place.identity.public_key}")
    assert place.heard == [("laptop", b"hello"), ("laptop", b"again")]
    # Who gives the key needs no file of known servers.
    assert not settings.exists()


async def test_another_server_than_the_pinned_one(place: Place) -> None:
    other = PrivateKey.generate().public_key
    done = await outcome(
        *("send", "hello", place.address),
        *("--identity", place.client_file, "--server-key", other),
    )
    assert (done.code, done.output) == (3, "")
    assert f"is its public key {other}?" in done.error
    assert place.heard == []


@pytest.mark.parametrize("command", [["send", "hello"], ["chat"]])
async def test_an_unknown_server_is_refused_where_nobody_can_be_asked(
    command: list[str], place: Place, settings: Path
) -> None:
    done = await outcome(*command, place.address, "--identity", place.client_file)
    assert (done.code, done.output) == (3, "")
    line = f"{place.address} {place.identity.public_key}"
    assert done.error.endswith(f"add to {settings / 'known_servers'}: {line}")
    assert not settings.exists()
    # What it says to do is enough.
    settings.mkdir(parents=True)
    known = settings / "known_servers"
    known.touch(mode=0o600)
    known.write_text(f"{line}\n")
    done = await outcome(*command, place.address, "--identity", place.client_file)
    assert (done.code, done.output) == (0, "")


async def test_trust_first_use_records_the_server(place: Place) -> None:
    options = ["--identity", place.client_file, "--known-servers", place.known]
    done = await outcome("send", "one", place.address, *options, "--trust-first-use")
    assert (done.code, done.output, done.errors) == (0, "", "")
    assert KnownServers(place.known).lookup(place.address) == place.identity.public_key
    done = await outcome("send", "two", place.address, *options)
    assert (done.code, done.output, done.errors) == (0, "", "")
    assert place.heard == [("laptop", b"one"), ("laptop", b"two")]


@pytest.mark.parametrize("options", [[], ["--trust-first-use"]])
async def test_a_changed_key(options: list[str], place: Place) -> None:
    before = PrivateKey.generate().public_key
    KnownServers(place.known).add(place.address, before)
    text = place.known.read_text()
    for command in (["send", "hello", place.address], ["chat", place.address]):
        done = await outcome(
            *(*command, *options),
            *("--identity", place.client_file, "--known-servers", place.known),
        )
        assert (done.code, done.output) == (3, "")
        assert done.error.startswith(f"THE KEY OF {place.address} HAS CHANGED")
        assert str(before) in done.error
        assert str(place.identity.public_key) in done.error
    assert place.known.read_text() == text
    assert place.heard == []


async def test_a_key_that_changes_while_the_link_is_lost_ends_the_chat(
    place: Place, port: int
) -> None:
    KnownServers(place.known).add(place.address, place.identity.public_key)
    options = ("--identity", place.client_file, "--known-servers", place.known)
    async with running("chat", place.address, *options) as chat:
        assert "connected to" in await chat.error_line()
        await place.server.close()
        other = ServerIdentity(PrivateKey.generate(), {}, patterns=("XX",))
        async with sealframe.serve(place.handle, "127.0.0.1", port, security=other):
            assert "connecting again" in await chat.error_line()
            line = await chat.error_line()
            while "HAS CHANGED" not in line:
                line = await chat.error_line()
            done = await chat.end()
    assert done.code == 3


async def test_a_client_that_is_not_let_in_is_told_the_line_to_add(
    place: Place, tmp_path: Path
) -> None:
    stranger = PrivateKey.generate()
    stranger.save(tmp_path / "stranger.key")
    for way in (
        ["--server-key", place.identity.public_key],
        ["--known-servers", place.known, "--trust-first-use"],
    ):
        done = await outcome(
            "send", "hello", place.address, "--identity", tmp_path / "stranger.key", *way
        )
        assert (done.code, done.output) == (3, "")
        assert done.error.endswith(f": {stranger.public_key} NAME")
    assert place.heard == []
    # A server that refused us is not remembered.
    assert not place.known.exists()


async def test_a_shared_key_for_a_server_with_identities(place: Place, key_file: Path) -> None:
    done = await outcome("send", "hello", place.address, "--key", key_file)
    assert done.code == 1
    assert "a shared key or an identity" in done.error


async def test_a_server_that_does_not_show_its_key(place: Place) -> None:
    identity = ServerIdentity(PrivateKey.generate(), {"laptop": place.client.public_key})
    options = ("--identity", place.client_file, "--known-servers", place.known)
    async with sealframe.serve(place.handle, "127.0.0.1", 0, security=identity) as server:
        done = await outcome("send", "hi", f":{server.port}", *options, "--trust-first-use")
    assert done.code == 1
    assert "needs --server-key" in done.error


@pytest.mark.parametrize("text", ["sealframe1mistyped", ""])
async def test_a_mistyped_server_key(text: str, place: Place) -> None:
    done = await outcome(
        "send", "hello", place.address, "--identity", place.client_file, "--server-key", text
    )
    assert (done.code, done.output) == (3, "")


async def test_without_an_identity_file(place: Place, tmp_path: Path) -> None:
    """Only an invitation makes one: a new key that nobody knows helps nobody."""
    missing = tmp_path / "none.key"
    done = await outcome("send", "hello", place.address, "--identity", missing)
    assert done.code == 3
    assert f"make one with: sealframe keygen {missing}" in done.error
    assert not missing.exists()
    done = await outcome("serve", ":0", "--identity", missing, "--clients", tmp_path / "none.txt")
    assert done.code == 3
    assert "sealframe keygen" in done.error
    done = await outcome(
        "serve", ":0", "--identity", place.client_file, "--clients", tmp_path / "none.txt"
    )
    assert done.code == 3
    assert f"no file of clients {tmp_path / 'none.txt'}" in done.error
    assert "--invite NAME" in done.error
    assert not (tmp_path / "none.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
async def test_files_that_others_can_read_or_write(place: Place, tmp_path: Path) -> None:
    place.known.touch()
    place.known.chmod(0o666)
    clients = tmp_path / "clients.txt"
    clients.touch()
    clients.chmod(0o660)
    send = ["send", "hello", place.address, "--identity", place.client_file]
    done = await outcome(*send, "--known-servers", place.known)
    assert done.code == 3
    assert f"chmod go-w {place.known}" in done.error
    serve = ["serve", ":0", "--identity", place.client_file, "--clients", clients]
    done = await outcome(*serve)
    assert done.code == 3
    assert f"chmod go-w {clients}" in done.error
    place.client_file.chmod(0o604)
    for command in (serve, send):
        done = await outcome(*command)
        assert done.code == 3
        assert f"chmod 600 {place.client_file}" in done.error
    assert place.heard == []


async def test_the_relay_shows_names_beside_ids(tmp_path: Path) -> None:
    server, one, two = (PrivateKey.generate() for _ in range(3))
    server.save(tmp_path / "server.key")
    clients = tmp_path / "clients.txt"
    clients.touch(mode=0o600)
    clients.write_text(f"{one.public_key} laptop\n{two.public_key} phone  a comment\n")
    options = ("--identity", tmp_path / "server.key", "--clients", clients)
    async with running("serve", "127.0.0.1:0", *options) as program:
        lines = await program.lines_until("Ctrl-C ends it.")
        assert lines[1:3] == [f"server key {server.public_key}", f"clients in {clients}: 2"]
        port = int(lines[0].rpartition(":")[2])
        as_one, as_two = (ClientIdentity(key, server=server.public_key) for key in (one, two))
        async with (
            sealframe.connect("127.0.0.1", port, security=as_one) as laptop,
            sealframe.connect("127.0.0.1", port, security=as_two) as phone,
        ):
            joined = {(await program.line()).split(" from ")[0] for _ in range(2)}
            assert joined == {f"laptop/{laptop.id} joined", f"phone/{phone.id} joined"}
            await laptop.send(b"hello")
            assert await phone.recv() == f"laptop/{laptop.id}: hello".encode()
            assert await program.line() == f"laptop/{laptop.id}: hello"


async def test_the_relay_takes_clients_of_both_kinds(place: Place, tmp_path: Path) -> None:
    PrivateKey.generate().save(tmp_path / "server.key")
    clients = tmp_path / "clients.txt"
    clients.touch(mode=0o600)
    clients.write_text(f"{place.client.public_key} laptop\n")
    options = ("--identity", tmp_path / "server.key", "--clients", clients)
    server = PrivateKey.load(tmp_path / "server.key").public_key
    async with relay("127.0.0.1:0", *options) as running_relay:
        for way in (["--server-key", server], ["--known-servers", place.known]):
            done = await outcome(
                *("send", "hello", running_relay.address, "--identity", place.client_file),
                *(*way, *(["--trust-first-use"] if "--known-servers" in way else [])),
            )
            assert (done.code, done.output, done.errors) == (0, "", "")
            assert (await running_relay.program.lines_until(": hello"))[-1].startswith("laptop/")


@needs_terminal
async def test_an_unknown_server_is_asked_about_and_recorded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--identity", place.client_file, "--known-servers", place.known)
    logged = asyncio.Event()
    monkeypatch.setattr(logging.getLogger("sealframe.server"), "warning", lambda *_: logged.set())
    async with on_terminal("chat", place.address, *options) as shown:
        await shown.until(rf"The key of {place.address} is {place.identity.public_key}: is that")
        # The attempt is over while it asks, so that no deadline runs.
        await logged.wait()
        assert place.server.counters.failed_handshakes == 1
        assert not place.known.exists()
        shown.type(b"y\n")
        await shown.until(r"connected to .*> $")
        shown.type(b"hello\x04")
        assert await shown.process.wait() == 0
    assert place.heard == [("laptop", b"hello")]
    assert KnownServers(place.known).lookup(place.address) == place.identity.public_key
    async with on_terminal("send", "again", place.address, *options) as shown:
        assert await shown.process.wait() == 0
    assert "is that right" not in shown.text
    assert place.heard[1:] == [("laptop", b"again")]


@needs_terminal
async def test_a_server_that_does_not_show_its_key_to_somebody_who_could_be_asked(
    place: Place,
) -> None:
    identity = ServerIdentity(PrivateKey.generate(), {"laptop": place.client.public_key})
    options = ("--identity", place.client_file, "--known-servers", place.known)
    async with sealframe.serve(place.handle, "127.0.0.1", 0, security=identity) as server:
        async with on_terminal("chat", f":{server.port}", *options) as shown:
            assert await shown.process.wait() == 1
            await shown.until("needs --server-key")


@needs_terminal
@pytest.mark.parametrize(("answer", "code"), [(b"n\n", 3), (b"\n", 3), (b"\x04", 130)])
async def test_an_unknown_server_that_is_not_right(answer: bytes, code: int, place: Place) -> None:
    options = ("--identity", place.client_file, "--known-servers", place.known)
    async with on_terminal("send", "hello", place.address, *options) as shown:
        await shown.until(r"is that right\? \[y/N\]")
        shown.type(answer)
        assert await shown.process.wait() == code
    assert not place.known.exists()
    assert place.heard == []


@needs_terminal
async def test_a_changed_key_is_never_asked_about(place: Place) -> None:
    KnownServers(place.known).add(place.address, PrivateKey.generate().public_key)
    options = ("--identity", place.client_file, "--known-servers", place.known)
    async with on_terminal("chat", place.address, *options) as shown:
        assert await shown.process.wait() == 3
        await shown.until("HAS CHANGED")
    assert "is that right" not in shown.text
