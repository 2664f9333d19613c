"""Identities as they are made: what goes together, and who is who."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import sealframe
from sealframe import ClientIdentity, ServerIdentity
from sealframe.errors import (
    ConfigurationError,
    HandshakeError,
    KeyFileError,
    KeyFormatError,
    MissingExtraError,
)
from sealframe.trust.identity import credentials_of, identifier_of, token_of, verifier_of
from sealframe.trust.keys import Invitation, PrivateKey, PublicKey, SharedKey
from sealframe.trust.peer import Peer
from sealframe.wire import CloseCode, Pattern

from .secrecy import assert_not_copied, assert_not_shown

SERVER = PrivateKey(bytes(range(33, 65)))
CLIENT = PrivateKey(bytes(range(65, 97)))
OTHER = PrivateKey(bytes(range(97, 129)))
TABLE = {"anna": CLIENT.public_key}

# All points of low order, in canonical form or not, with and without the bit that is ignored.
LOW_ORDER = [
    PublicKey(bytes.fromhex(text))
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
    )
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with Anna in it."""
    path = tmp_path / "clients"
    path.write_text(f"{CLIENT.public_key} anna\n")
    path.chmod(0o600)
    return path


class Clock:
    """Stands in for the time that invitations are measured by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.date = 5000.0
        clocks = SimpleNamespace(monotonic=lambda: self.now, time=lambda: self.date)
        monkeypatch.setattr("sealframe.trust.identity.time", clocks)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def handler(conn: sealframe.Connection) -> None: ...


# What goes together


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"key": SharedKey(bytes(32))}, "key is a SharedKey; use a PrivateKey"),
        ({"key": SERVER.public_key}, "key is a PublicKey; use a PrivateKey"),
        ({"key": None}, "key is a NoneType"),
        ({"clients": None}, r"path of a file, or \{name: PublicKey\}"),
        ({"clients": [CLIENT.public_key]}, r"path of a file, or \{name: PublicKey\}"),
        ({"clients": {"anna": str(CLIENT.public_key)}}, r"\{name: PublicKey\}"),
        ({"clients": {"me": SERVER.public_key}}, "own key is among its clients"),
        ({"patterns": ()}, "patterns is "),
        ({"patterns": "XK"}, "patterns is 'XK'; use "),
        ({"patterns": ("NNpsk0",)}, "patterns is "),
        ({"patterns": ("XK", "KK")}, "patterns is "),
    ],
)
def test_a_server_that_cannot_work(arguments: dict[str, Any], reason: str) -> None:
    whole: dict[str, Any] = {"key": SERVER, "clients": TABLE, **arguments}
    with pytest.raises(ConfigurationError, match=reason):
        ServerIdentity(**whole)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give one of server=, known_servers= and invitation="),
        ({"server": SERVER.public_key, "known_servers": "known"}, "give one of"),
        (
            {"server": SERVER.public_key, "invitation": Invitation.generate(SERVER.public_key)},
            "give one of",
        ),
        ({"server": str(SERVER.public_key)}, "server is a PublicKey"),
        ({"server": SERVER}, "server is a PublicKey"),
        ({"invitation": "SEALFRAME-INVITE-1"}, "invitation is an Invitation"),
        ({"server": SERVER.public_key, "trust_first_use": True}, "belongs to known_servers="),
        ({"server": CLIENT.public_key}, "the server's key is this client's own"),
        ({"invitation": Invitation.generate(CLIENT.public_key)}, "is this client's own"),
        ({"key": SharedKey(bytes(32)), "server": SERVER.public_key}, "key is a SharedKey"),
        ({"key": "key", "server": SERVER.public_key}, "key is a str"),
    ],
)
def test_a_client_that_cannot_work(arguments: dict[str, Any], reason: str) -> None:
    whole: dict[str, Any] = {"key": CLIENT, **arguments}
    with pytest.raises(ConfigurationError, match=reason):
        ClientIdentity(**whole)


@pytest.mark.parametrize("key", LOW_ORDER, ids=str)
def test_a_server_key_of_low_order_is_refused(key: PublicKey) -> None:
    ways: list[dict[str, Any]] = [{"server": key}, {"invitation": Invitation.generate(key)}]
    for way in ways:
        with pytest.raises(ConfigurationError, match="low order"):
            ClientIdentity(CLIENT, **way)


def test_a_bad_file_of_clients_is_refused_when_made(path: Path) -> None:
    with pytest.raises(KeyFileError):
        ServerIdentity(SERVER, path.with_name("missing"))
    path.write_text("nonsense")
    with pytest.raises(KeyFormatError, match="line 1"):
        ServerIdentity(SERVER, str(path))
    path.write_text(f"{SERVER.public_key} me\n")
    with pytest.raises(ConfigurationError, match="own key is among its clients"):
        ServerIdentity(SERVER, path)


def test_each_end_takes_its_own_kind() -> None:
    server = ServerIdentity(SERVER, TABLE)
    client = ClientIdentity(CLIENT, server=SERVER.public_key)
    with pytest.raises(ConfigurationError, match=r"is a ClientIdentity; .* a ServerIdentity"):
        sealframe.serve(handler, "127.0.0.1", 0, security=client)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"is a ServerIdentity; .* a ClientIdentity"):
        sealframe.connect("127.0.0.1", 1, security=server)  # type: ignore[call-overload]
    for wrong in (SERVER, SERVER.public_key, str(SERVER.public_key)):
        with pytest.raises(ConfigurationError, match=f"is a {type(wrong).__name__}; "):
            sealframe.serve(handler, "127.0.0.1", 0, security=wrong)  # type: ignore[call-overload]
        with pytest.raises(ConfigurationError, match=f"is a {type(wrong).__name__}; "):
            sealframe.connect("127.0.0.1", 1, security=wrong)  # type: ignore[call-overload]


def test_an_identity_does_without_a_foreign_framing() -> None:
    framing = sealframe.Framing()
    client = ClientIdentity(CLIENT, server=SERVER.public_key)
    with pytest.raises(ConfigurationError, match="no security"):
        sealframe.connect("127.0.0.1", 1, security=client, framing=framing)
    server = ServerIdentity(SERVER, TABLE)
    with pytest.raises(ConfigurationError, match="no security"):
        sealframe.serve(handler, "127.0.0.1", 0, security=server, framing=framing)


def test_what_each_shows_of_itself(path: Path) -> None:
    server = ServerIdentity(SERVER, path)
    client = ClientIdentity(CLIENT, invitation=(invitation := server.invite("bert")))
    assert server.public_key == SERVER.public_key
    assert client.public_key == CLIENT.public_key
    secrets = SERVER.secret_bytes() + CLIENT.secret_bytes() + invitation.token
    for holder in (server, client, credentials_of(server), credentials_of(client)):
        assert_not_copied(holder)
        assert_not_shown(secrets, holder)


def test_patterns() -> None:
    xk, xx = (Pattern.XK, Pattern.XKHFS), (Pattern.XX, Pattern.XXHFS)
    assert credentials_of(ServerIdentity(SERVER, TABLE)).patterns == xk
    both = credentials_of(ServerIdentity(SERVER, TABLE, patterns=["XX", "XK", "XX"]))
    assert both.patterns == xx + xk
    hybrid = credentials_of(ServerIdentity(SERVER, TABLE, patterns=["XKhfs", "XXhfs"]))
    assert hybrid.patterns == (Pattern.XKHFS, Pattern.XXHFS)
    pinned = ClientIdentity(CLIENT, server=SERVER.public_key)
    invited = ClientIdentity(CLIENT, invitation=Invitation.generate(SERVER.public_key))
    knowing = ClientIdentity(CLIENT, known_servers="known")
    assert credentials_of(pinned).patterns == credentials_of(invited).patterns == (Pattern.XKHFS,)
    assert credentials_of(knowing).patterns == (Pattern.XXHFS,)
    pinned_classic = ClientIdentity(CLIENT, server=SERVER.public_key, post_quantum=False)
    knowing_classic = ClientIdentity(CLIENT, known_servers="known", post_quantum=False)
    assert credentials_of(pinned_classic).patterns == (Pattern.XK,)
    assert credentials_of(knowing_classic).patterns == (Pattern.XX,)
    assert (token_of(pinned), token_of(knowing), len(token_of(invited))) == (b"", b"", 8)
    assert verifier_of(pinned, "a:1") is verifier_of(invited, "a:1") is None


# Who is who


def raw(key: PrivateKey) -> bytes:
    return bytes(key.public_key)


def identify(server: ServerIdentity, key: bytes, token: bytes) -> Peer | HandshakeError:
    return identifier_of(server)(key, token)


def refused(found: Peer | HandshakeError) -> bool:
    return isinstance(found, HandshakeError) and found.code == CloseCode.UNAUTHORIZED


def test_only_the_clients_are_let_in() -> None:
    server = ServerIdentity(SERVER, TABLE)
    assert identify(server, raw(CLIENT), b"") == Peer("anna", CLIENT.public_key)
    assert refused(identify(server, raw(OTHER), b""))
    assert refused(identify(server, raw(OTHER), bytes(8)))


def test_another_writing_of_an_authorised_key_is_not_let_in() -> None:
    """X25519 ignores the top bit: the same secret belongs to it."""
    server = ServerIdentity(SERVER, TABLE)
    other_encoding = raw(CLIENT)[:31] + bytes((raw(CLIENT)[31] ^ 0x80,))
    assert refused(identify(server, other_encoding, b""))


def test_the_servers_own_key_is_no_client(path: Path) -> None:
    """Not even once it is in the file, or shows an invitation."""
    server = ServerIdentity(SERVER, path)
    path.write_text(f"{SERVER.public_key} me\n")
    seen = server.clients.refresh()
    server.clients.refresh(seen)
    assert server.clients.lookup(raw(SERVER)) is not None
    assert refused(identify(server, raw(SERVER), b""))
    assert refused(identify(server, raw(SERVER), server.invite("bert").token))


# Invitations


def test_an_invitation_lets_one_client_in_once(path: Path) -> None:
    server = ServerIdentity(SERVER, path)
    invitation = server.invite("bert")
    assert invitation.server == SERVER.public_key
    assert identify(server, raw(OTHER), invitation.token) == Peer("bert", OTHER.public_key)
    server.clients.refresh()
    assert path.read_text().splitlines()[-1] == f"{OTHER.public_key} bert"
    third = PrivateKey.generate()
    assert refused(identify(server, raw(third), invitation.token))
    assert identify(server, raw(OTHER), b"") == Peer("bert", OTHER.public_key)
    # After a restart too.
    assert not refused(identify(ServerIdentity(SERVER, path), raw(OTHER), b""))


@pytest.mark.parametrize("change", [lambda t: b"", lambda t: t[:7], lambda t: t + b"\0"])
def test_a_part_of_a_token_is_none(path: Path, change: Callable[[bytes], bytes]) -> None:
    server = ServerIdentity(SERVER, path)
    token = server.invite("bert").token
    assert refused(identify(server, raw(OTHER), change(token)))
    for place in range(8):
        wrong = bytearray(token)
        wrong[place] ^= 1
        assert refused(identify(server, raw(OTHER), bytes(wrong)))
    assert not refused(identify(server, raw(OTHER), token))


def test_who_is_authorised_already_does_not_use_the_invitation_up(path: Path) -> None:
    server = ServerIdentity(SERVER, path)
    token = server.invite("bert").token
    assert identify(server, raw(CLIENT), token) == Peer("anna", CLIENT.public_key)
    assert identify(server, raw(OTHER), token) == Peer("bert", OTHER.public_key)


def test_an_invitation_expires(path: Path, clock: Clock) -> None:
    server = ServerIdentity(SERVER, path)
    first, second = server.invite("bert", valid_for=10), server.invite("carl", valid_for=20)
    clock.now += 10
    assert refused(identify(server, raw(OTHER), first.token))
    clock.now += 9.9
    assert identify(server, raw(OTHER), second.token) == Peer("carl", OTHER.public_key)


def test_invitations_last_ten_minutes(path: Path, clock: Clock) -> None:
    server = ServerIdentity(SERVER, path)
    token = server.invite("bert").token
    clock.now += 599.9
    assert not refused(identify(server, raw(OTHER), token))
    token = server.invite("carl").token
    clock.now += 600
    assert refused(identify(server, raw(PrivateKey.generate()), token))
    # One clock stands still while the machine sleeps.
    token = server.invite("dora").token
    clock.date += 600
    assert refused(identify(server, raw(PrivateKey.generate()), token))


def test_an_invitation_can_be_taken_back(path: Path) -> None:
    server = ServerIdentity(SERVER, path)
    invitation, other = server.invite("bert"), server.invite("carl")
    assert server.revoke(invitation)
    assert not server.revoke(invitation)
    assert refused(identify(server, raw(OTHER), invitation.token))
    assert not refused(identify(server, raw(OTHER), other.token))
    assert not server.revoke(other)


def test_a_restart_forgets_invitations(path: Path) -> None:
    token = ServerIdentity(SERVER, path).invite("bert").token
    assert refused(identify(ServerIdentity(SERVER, path), raw(OTHER), token))


def test_a_thousand_invitations_are_open_at_most(path: Path, clock: Clock) -> None:
    server = ServerIdentity(SERVER, path)
    for number in range(1000):
        server.invite(f"bert-{number}")
    with pytest.raises(ConfigurationError, match="1000 invitations are open already"):
        server.invite("one-more")
    clock.now += 600
    server.invite("one-more")


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "600"])
def test_an_invitation_lasts_some_time(path: Path, seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match="valid_for is"):
        ServerIdentity(SERVER, path).invite("bert", valid_for=seconds)


def test_invitations_need_a_file_and_a_name(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="need a file of clients"):
        ServerIdentity(SERVER, TABLE).invite("bert")
    for name in ("", "two words", "a\nb"):
        with pytest.raises(ValueError, match="use one word"):
            ServerIdentity(SERVER, path).invite(name)


def test_who_cannot_be_written_down_is_not_let_in(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It was let in while nobody knew; the next look ends that."""
    server = ServerIdentity(SERVER, path)
    token = server.invite("bert").token
    away = path.with_name("away")
    path.rename(away)
    generation = server.clients.generation
    assert identify(server, raw(OTHER), token) == Peer("bert", OTHER.public_key)
    server.clients.refresh()
    assert server.clients.generation > generation
    assert refused(identify(server, raw(OTHER), b""))
    assert identify(server, raw(CLIENT), b"") == Peer("anna", CLIENT.public_key)
    texts = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert sum("bert is not let in: invite it again" in text for text in texts) == 1
    away.rename(path)
    assert refused(identify(server, raw(OTHER), token))


def test_a_missing_package_is_told_before_it_is_needed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not when the invited client comes, or a server has welcomed us."""
    monkeypatch.setitem(sys.modules, "filelock", None)
    server = ServerIdentity(SERVER, path)
    with pytest.raises(MissingExtraError, match="filelock"):
        server.invite("bert")
    ClientIdentity(CLIENT, known_servers=path)
    with pytest.raises(MissingExtraError, match="filelock"):
        ClientIdentity(CLIENT, known_servers=path, trust_first_use=True)


def test_known_servers_is_a_path() -> None:
    with pytest.raises(ConfigurationError, match="use the path of a file"):
        ClientIdentity(CLIENT, known_servers=3)  # type: ignore[arg-type]
