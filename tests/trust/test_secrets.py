"""No secret gets out: not by repr, logs, exceptions, warnings, pickles or asyncio's debugging.

Real sessions run on loopback and go right and wrong, while everything that is secret in
them is noted below the code that uses it; then all that was said is searched for it.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

import sealframe
from sealframe import (
    ClientIdentity,
    Connection,
    Invitation,
    PrivateKey,
    PublicKey,
    SealframeError,
    ServerIdentity,
    SharedKey,
)
from sealframe.buffers import BytesLike
from sealframe.noise import cipher, kem, symmetric
from sealframe.noise.cipher import CipherState
from sealframe.noise.credentials import Credentials
from sealframe.noise.handshake import Handshake
from sealframe.noise.records import RecordLayer

from .leaks import Said, SaidHandler, Secrets

pytest.importorskip("cryptography", reason="cryptography is not installed")

PATIENCE = 20.0


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """Note every secret that sealframe makes from now on, where it is made."""
    noted = Secrets()
    package = cipher.primitives

    def aesgcm(key: bytes) -> Any:
        noted.add(key)
        return package().aesgcm(key)

    def note(private: Any) -> Any:
        noted.add(private.private_bytes_raw())
        return private

    @cache
    def watched() -> Any:
        made = package()
        return replace(
            made,
            aesgcm=aesgcm,  # type: ignore[arg-type]
            generate=lambda: note(made.generate()),
            private_key=lambda raw: note(made.private_key(raw)),
        )

    monkeypatch.setattr(cipher, "primitives", watched)

    derive = symmetric.hkdf

    agree = cipher.KeyPair.agree

    def noted_agree(pair: cipher.KeyPair, public: BytesLike) -> bytes:
        agreed = agree(pair, public)
        noted.add(agreed)
        return agreed

    def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> tuple[bytes, ...]:
        derived = derive(chaining_key, material, outputs)
        noted.add(*derived)
        return derived

    monkeypatch.setattr(cipher.KeyPair, "agree", noted_agree)
    monkeypatch.setattr(symmetric, "hkdf", hkdf)
    watch_kem(noted, monkeypatch)
    return noted


def watch_kem(noted: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Note the seed of each key pair of ML-KEM-768, and what both ends agree on."""
    package = kem.require()

    def generate() -> Any:
        made = package.generate()
        noted.add(made.private_bytes_raw())
        return made

    monkeypatch.setattr(kem, "primitives", lambda: replace(package, generate=generate))
    encapsulate = kem.EncapsulationKey.encapsulate
    decapsulate = kem.DecapsulationKey.decapsulate

    def noted_encapsulate(key: kem.EncapsulationKey) -> tuple[bytes, bytes]:
        ciphertext, secret = encapsulate(key)
        noted.add(secret)
        noted.encapsulated += 1
        return ciphertext, secret

    def noted_decapsulate(pair: kem.DecapsulationKey, ciphertext: bytes) -> bytes:
        secret = decapsulate(pair, ciphertext)
        noted.add(secret)
        return secret

    monkeypatch.setattr(kem.EncapsulationKey, "encapsulate", noted_encapsulate)
    monkeypatch.setattr(kem.DecapsulationKey, "decapsulate", noted_decapsulate)


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Iterator[Said]:
    """Collect logs of every level, warnings and what is printed."""
    collected = Said()
    root, handler = logging.getLogger(), SaidHandler(collected)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield collected
    root.removeHandler(handler)
    root.setLevel(level)
    for warning in caught:
        collected.write(f"{warning.message!r} {warning}")
    collected.write("".join(capfd.readouterr()))


@pytest.fixture
async def debugging(said: Said) -> AsyncIterator[Said]:
    """Let the event loop say all it can: each callback, task and transport."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    yield said
    loop.set_debug(False)


def shared_key(secrets: Secrets, folder: Path) -> tuple[Any, Any, Any]:
    key, wrong = SharedKey.generate(), SharedKey.generate()
    for one in (key, wrong):
        secrets.add_key(one)
    return key, key, wrong


def private_keys(secrets: Secrets) -> tuple[PrivateKey, PrivateKey, PrivateKey]:
    keys = PrivateKey.generate(), PrivateKey.generate(), PrivateKey.generate()
    for key in keys:
        secrets.add_key(key)
    return keys


def pinned(secrets: Secrets, folder: Path) -> tuple[Any, Any, Any]:
    server, client, wrong = private_keys(secrets)
    return (
        ServerIdentity(server, {"client": client.public_key}),
        ClientIdentity(client, server=server.public_key),
        ClientIdentity(wrong, server=server.public_key),
    )


def first_use(secrets: Secrets, folder: Path) -> tuple[Any, Any, Any]:
    server, client, wrong = private_keys(secrets)
    return (
        ServerIdentity(server, {"client": client.public_key}, patterns=("XX",)),
        ClientIdentity(client, known_servers=folder / "known", trust_first_use=True),
        ClientIdentity(wrong, known_servers=folder / "none"),
    )


def invited(secrets: Secrets, folder: Path) -> tuple[Any, Any, Any]:
    server, client, wrong = private_keys(secrets)
    sealframe.AuthorizedClients.create(folder / "clients")
    identity = ServerIdentity(server, folder / "clients")
    invitation, guess = identity.invite("client"), Invitation.generate(server.public_key)
    for one in (invitation, guess):
        secrets.add_invitation(one)
    return (
        identity,
        ClientIdentity(client, invitation=invitation),
        ClientIdentity(wrong, invitation=guess),
    )


HOLDERS = {
    "CipherState",
    "Connecting",
    "Connection",
    "ConnectionProtocol",
    "ConnectionConfig",
    "ProtocolMachine",
    "RecordLayer",
}
"""What must have been looked at, or this test has lost sight of it."""


@pytest.mark.parametrize(
    ("make", "holders"),
    [
        (shared_key, {"SharedKey"}),
        (pinned, {"PrivateKey", "ServerIdentity", "ClientIdentity"}),
        (first_use, {"PrivateKey", "ServerIdentity", "ClientIdentity", "KnownServers"}),
        (invited, {"Invitation", "ServerIdentity", "ClientIdentity"}),
    ],
)
async def test_a_session_tells_nothing(
    make: Callable[[Secrets, Path], tuple[Any, Any, Any]],
    holders: set[str],
    secrets: Secrets,
    debugging: Said,
    tmp_path: Path,
) -> None:
    """Messages, PING, broadcast; a handler that fails; another key; a client cut off."""
    said = debugging
    server_side, client_side, wrong = make(secrets, tmp_path)

    async def handler(conn: Connection) -> None:
        async for message in conn:
            if message == b"fail":
                raise RuntimeError(f"on purpose, for {conn!r}")
            await conn.send(message)

    serving = sealframe.serve(handler, "127.0.0.1", 0, security=server_side)
    said.show(serving)
    async with asyncio.timeout(PATIENCE), serving as server:
        connecting = sealframe.connect("127.0.0.1", server.port, security=client_side)
        said.show(connecting)
        client = await connecting
        await client.send(b"hello")
        assert await client.recv() == b"hello"
        await client.ping()
        server.broadcast(b"to all")
        assert await client.recv() == b"to all"
        said.show_everything()
        assert said.kinds >= HOLDERS | holders | {"Server", "Serving"}

        with pytest.raises(SealframeError) as refusal:
            await sealframe.connect("127.0.0.1", server.port, security=wrong)
        said.show_error(refusal.value)
        with pytest.raises(SealframeError) as refusal:
            await sealframe.connect("127.0.0.1", server.port, extended=True)
        said.show_error(refusal.value)

        await client.send(b"fail")
        with pytest.raises(SealframeError) as failure:
            await client.recv()
        said.show_error(failure.value)
        await client.close()
        said.show_everything()
    text = said.text()
    assert "on purpose, for " in text
    assert "Executing <" in text, "asyncio's debugging is silent"
    said.check(secrets)


@pytest.mark.parametrize("pattern", ["NNpsk0", "XK", "XX", "NNhfs+psk0", "XKhfs", "XXhfs"])
def test_a_handshake_tells_nothing_at_any_step(pattern: str, secrets: Secrets, said: Said) -> None:
    server, client, _ = private_keys(secrets)
    psk = SharedKey.generate()
    secrets.add_key(psk)
    keys: dict[str, tuple[dict[str, bytes], dict[str, bytes]]] = {
        "NNpsk0": ({"psk": psk.secret_bytes()},) * 2,
        "XK": (
            {"static": client.secret_bytes(), "remote_static": bytes(server.public_key)},
            {"static": server.secret_bytes()},
        ),
        "XX": ({"static": client.secret_bytes()}, {"static": server.secret_bytes()}),
    }
    keys |= {"NNhfs+psk0": keys["NNpsk0"], "XKhfs": keys["XK"], "XXhfs": keys["XX"]}
    writer = Handshake(pattern, initiator=True, **keys[pattern][0])
    reader = Handshake(pattern, initiator=False, **keys[pattern][1])
    while not writer.finished:
        reader.read_message(writer.write_message())
        writer, reader = reader, writer
        said.show_everything()
    states = [*writer.split(), *reader.split()]
    with pytest.raises(SealframeError) as failure:
        states[1].open(bytes(40))
    said.show_error(failure.value)
    said.show_everything()
    assert said.kinds >= {"Handshake", "SymmetricState", "CipherState"}
    hybrid = "hfs" in pattern
    assert secrets.encapsulated == hybrid
    assert ("DecapsulationKey" in said.kinds) == hybrid
    # Below, it is all there: the search would find it.
    assert len(secrets.raw) >= 10
    said.check(secrets)


def spoiled(text: str) -> str:
    """Return a key's text with one letter changed."""
    return text[:-9] + ("Q" if text[-9] != "Q" else "P") + text[-8:]


def test_what_is_refused_is_not_quoted(secrets: Secrets, said: Said, tmp_path: Path) -> None:
    """Keys that are mistyped, of another kind or size, in the wrong place or file."""
    shared, private = SharedKey.generate(), PrivateKey.generate()
    secrets.add_key(shared)
    secrets.add_key(private)
    public = PrivateKey.generate().public_key
    invitation = Invitation.generate(public)
    secrets.add_invitation(invitation)
    passphrase = "tulip anchor seven maple"
    secrets.add_text(passphrase)
    raw, text = shared.secret_bytes(), shared.to_text()

    def in_a_file(content: str, mode: int = 0o600) -> Path:
        path = tmp_path / f"file-{len(list(tmp_path.iterdir()))}"
        path.write_text(content)
        path.chmod(mode)
        return path

    refused: list[Callable[[], object]] = [
        lambda: SharedKey(raw + b"x"),
        lambda: PrivateKey(raw[:31]),
        lambda: PublicKey(raw + raw),
        lambda: Invitation(public, raw),
        lambda: CipherState(raw[:31]),
        lambda: Handshake("NNpsk0", initiator=True, psk=raw[:31]),
        lambda: Handshake("NNpsk0", initiator=True, psk=raw, static=raw),
        lambda: SharedKey.from_passphrase(passphrase[:19]),
        lambda: SharedKey.from_passphrase(passphrase + "\n"),
        lambda: SharedKey.from_passphrase(passphrase, salt=b"short"),
        lambda: sealframe.connect("127.0.0.1", 1, security=raw),  # type: ignore[call-overload]
        lambda: sealframe.connect("127.0.0.1", 1, security=text),  # type: ignore[call-overload]
        lambda: sealframe.serve(print, "127.0.0.1", 1, security=private),  # type: ignore[call-overload]
        lambda: ServerIdentity(raw, {}),  # type: ignore[arg-type]
        lambda: ServerIdentity(private, {"a": raw}),  # type: ignore[dict-item]
        lambda: ServerIdentity(private, {"a": private.public_key}),
        lambda: ClientIdentity(private, server=private.public_key),
        lambda: ClientIdentity(private, server=text),  # type: ignore[arg-type]
        lambda: ClientIdentity(private, invitation=invitation.to_text()),  # type: ignore[arg-type]
        lambda: ServerIdentity(private, in_a_file(f"{private.to_text()} anna\n")),
        lambda: ServerIdentity(private, in_a_file(f"{public} anna\n{public} {text}\n", 0o666)),
    ]
    kinds = (SharedKey, PrivateKey, PublicKey, Invitation)
    for one in (text, private.to_text(), invitation.to_text(), passphrase):
        wrong = [one, spoiled(one), one[:-1], one.lower()[:-1] + "Q", one + one, f"{one} {one}"]
        refused += [partial(kind.from_text, it) for kind in kinds for it in wrong]
        refused += [
            partial(kind.load, in_a_file(it)) for kind in (SharedKey, PrivateKey) for it in wrong
        ]
    for content, mode in ((text, 0o644), (f"{text}\n{text}", 0o600), (text * 100, 0o600)):
        refused += [
            partial(kind.load, in_a_file(content, mode)) for kind in (SharedKey, PrivateKey)
        ]
    count = 0
    for attempt in refused:
        try:
            attempt()
        except (SealframeError, TypeError) as error:
            said.show_error(error)
            count += 1
    # One kind takes each text as it is, and two of these are read from a file too.
    assert count == len(refused) - 5
    for holder in (
        shared,
        private,
        invitation,
        Credentials(psk=raw),
        RecordLayer.__new__(RecordLayer),
    ):
        said.show(holder)
    said.check(secrets)


@pytest.mark.parametrize(
    "leak",
    [
        lambda raw, text: repr(raw),
        lambda raw, text: f"key={raw[5:12].hex().upper()}",
        lambda raw, text: raw.hex(" "),
        lambda raw, text: base64.b64encode(raw).decode(),
        lambda raw, text: f"<{list(raw)}>",
        lambda raw, text: text,
        lambda raw, text: text.lower()[30:50],
    ],
)
def test_the_search_finds_a_secret(leak: Callable[[bytes, str], str]) -> None:
    key = SharedKey.generate()
    secrets, said = Secrets(), Said()
    secrets.add_key(key)
    said.write("nothing")
    said.check(secrets)
    said.write(leak(key.secret_bytes(), key.to_text()))
    with pytest.raises(AssertionError):
        said.check(secrets)
