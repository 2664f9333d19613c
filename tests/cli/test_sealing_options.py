"""Options that seal: which go together, and ``--passphrase``."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import click
import pytest

import sealframe
from sealframe import Connection, PrivateKey, SharedKey
from sealframe.cli.commands import sealframe_command

from .commands import chatting, invoked, outcome, relay
from .terminal import on_terminal

pytestmark = pytest.mark.usefixtures("settings")

PASSPHRASE = "correct horse battery staple, and some more"

SERVE, SEND, CHAT = ["serve", "127.0.0.1:0"], ["send", "hi", "127.0.0.1:1"], ["chat", "127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([*SERVE, "--key", "a", "--passphrase"], "only one of --key"),
        ([*SERVE, "--key", "a", "--identity", "b", "--clients", "c"], "only one of --key"),
        ([*SERVE, "--identity", "b"], "--clients FILE too"),
        ([*SERVE, "--clients", "b"], "--identity FILE too"),
        ([*SERVE, "--invite", "laptop"], "--identity FILE too"),
        ([*SEND, "--passphrase", "--identity", "a"], "only one of --key"),
        ([*CHAT, "--invitation", "a"], "--invitation needs --identity FILE too"),
        ([*CHAT, "--server-key", "a"], "--server-key needs --identity FILE too"),
        ([*SEND, "--key", "a", "--known-servers", "b"], "--known-servers needs --identity"),
        ([*SEND, "--trust-first-use"], "--trust-first-use needs --identity"),
        ([*SEND, "--classic"], "--classic needs --key, --passphrase or --identity"),
        ([*SERVE, "--post-quantum-only"], "--post-quantum-only needs --key, --passphrase or"),
        ([*CHAT, "--identity", "a", "--server-key", "b", "--invitation", "c"], "work together"),
        ([*CHAT, "--identity", "a", "--server-key", "b", "--known-servers", "c"], "work together"),
        ([*CHAT, "--identity", "a", "--invitation", "b", "--trust-first-use"], "work together"),
    ],
)
def test_wrong_combinations(
    arguments: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError) as refusal:
        sealframe_command.main(arguments, standalone_mode=False)
    assert text in refusal.value.format_message()
    # Nothing was made before it was refused.
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["my laptop", "", "#laptop"])
def test_a_name_that_no_client_can_have(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ("--identity", "b", "--clients", "c", "--invite", "laptop", "--invite", name)
    done = invoked(*SERVE, *options)
    assert (done.code, done.output) == (2, "")
    assert done.error.startswith("--invite: ")
    assert repr(name) in done.error
    assert done.error.endswith("see sealframe serve --help")


async def test_a_passphrase_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALFRAME_PASSPHRASE", PASSPHRASE)
    async with relay("127.0.0.1:0", "--passphrase") as server, chatting(server) as (chat, _):
        host, _, port = server.address.rpartition(":")
        key = SharedKey.from_passphrase(PASSPHRASE)
        async with sealframe.connect(host, int(port), security=key) as conn:
            await conn.send(b"hello")
            assert (await chat.line()).endswith(": hello")


@pytest.mark.parametrize("option", [(), ("--classic",)])
async def test_post_quantum_unless_told_otherwise(option: tuple[str, ...], tmp_path: Path) -> None:
    heard: list[bool] = []

    async def handler(conn: Connection) -> None:
        await conn.recv()
        heard.append(conn.post_quantum)

    key = SharedKey.generate()
    key.save(tmp_path / "key")
    async with sealframe.serve(handler, "127.0.0.1", 0, security=key) as server:
        options = ("--key", tmp_path / "key", *option)
        done = await outcome("send", "hello", f":{server.port}", *options)
    assert (done.code, heard) == (0, [not option])


async def test_a_server_without_post_quantum_is_told_and_classic_is_the_way_out(
    tmp_path: Path,
) -> None:
    key = SharedKey.generate()
    key.save(tmp_path / "key")

    async def handler(conn: Connection) -> None:
        await conn.recv()

    with patch("sealframe.noise.handshake_driver.kem.is_available", return_value=False):
        async with sealframe.serve(handler, "127.0.0.1", 0, security=key) as server:
            done = await outcome("send", "hello", f":{server.port}", "--key", tmp_path / "key")
    assert done.code == 1
    assert "it has no post-quantum handshake: if its owner says so, give --classic" in done.error
    assert "post_quantum" not in done.error


@pytest.mark.parametrize("sealing", ["key", "identity"])
async def test_a_server_that_insists_on_post_quantum(sealing: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    own: tuple[str | Path, ...] = ("--key", key)
    server = own
    if sealing == "key":
        SharedKey.generate().save(key)
    else:
        server_key, client_key = PrivateKey.generate(), PrivateKey.generate()
        server_key.save(key)
        client_key.save(tmp_path / "laptop")
        clients = tmp_path / "clients"
        clients.write_text(f"{client_key.public_key} laptop\n")
        clients.chmod(0o600)
        server = ("--identity", key, "--clients", clients)
        own = ("--identity", tmp_path / "laptop", "--server-key", str(server_key.public_key))
    options = (*server, "--post-quantum-only")
    async with relay("127.0.0.1:0", *options) as program:
        refused = await outcome("send", "hello", program.address, *own, "--classic")
        assert refused.code == 1
        assert "it takes post-quantum handshakes alone: leave --classic away" in refused.error
        taken = await outcome("send", "hello", program.address, *own)
        assert taken.code == 0, taken.error


async def test_where_a_server_insists_on_post_quantum_classic_is_named_as_what_is_in_the_way(
    tmp_path: Path,
) -> None:
    key = SharedKey.generate(patterns=["NNhfs+psk0"])
    key.save(tmp_path / "key")

    async def handler(conn: Connection) -> None:
        await conn.recv()

    async with sealframe.serve(handler, "127.0.0.1", 0, security=key) as server:
        options = ("--key", tmp_path / "key", "--classic")
        done = await outcome("send", "hello", f":{server.port}", *options)
    assert done.code == 1
    assert "it takes post-quantum handshakes alone: leave --classic away" in done.error
    assert "post_quantum" not in done.error


def test_without_ml_kem_classic_is_named_as_the_way_out(tmp_path: Path) -> None:
    key = tmp_path / "key"
    SharedKey.generate().save(key)
    with patch("sealframe.noise.kem.primitives", return_value=None):
        done = invoked("send", "hello", "127.0.0.1:1", "--key", key)
    assert done.code == 1
    assert done.error.endswith("newer), or give --classic")


def test_a_weak_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEALFRAME_PASSPHRASE", "too short")
    done = invoked(*SEND, "--passphrase")
    assert done.code == 3
    assert "at least 20 characters" in done.error


async def test_a_passphrase_that_cannot_be_asked_for() -> None:
    done = await outcome(*SERVE, "--passphrase")
    assert done.code == 2
    assert "SEALFRAME_PASSPHRASE" in done.error


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
async def test_a_passphrase_is_asked_for_without_echo() -> None:
    heard: list[bytes] = []

    async def handler(conn: Connection) -> None:
        heard.append(await conn.recv())

    key = SharedKey.from_passphrase(PASSPHRASE)
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, security=key) as server,
        on_terminal("send", "hello", f":{server.port}", "--passphrase") as shown,
    ):
        await shown.until("Passphrase: ")
        shown.type(PASSPHRASE.encode() + b"\n")
        assert await shown.process.wait() == 0
        assert heard == [b"hello"]
    assert "horse" not in shown.text
