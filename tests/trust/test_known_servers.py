"""The file of known servers, and how a server's key is verified by it."""

from __future__ import annotations

import os
import pickle
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sealframe.errors import (
    HandshakeError,
    KeyFileError,
    KeyFormatError,
    ServerKeyChangedError,
    UnknownServerError,
)
from sealframe.trust import keylist
from sealframe.trust.keys import PublicKey
from sealframe.trust.known_servers import KnownServers, ServerVerifier, canonical_name

KEYS = [PublicKey(bytes([number]) * 32) for number in range(1, 11)]
ONE, TWO = KEYS[:2]
HERE = "127.0.0.1:1234"

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="files here have access lists instead of a mode"
)


def put(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return path


# The file


def test_a_file_that_is_not_there_knows_no_one(tmp_path: Path) -> None:
    assert KnownServers(tmp_path / "known").lookup(HERE) is None
    assert KnownServers(tmp_path / "missing" / "known").lookup(HERE) is None
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_found_by_its_address(tmp_path: Path) -> None:
    text = f"# ours\n\n{HERE} {ONE} the old one\r\n\t127.0.0.1:12345 {TWO}\n[::1]:1234 {TWO}"
    known = KnownServers(put(tmp_path / "known", text))
    assert known.lookup(HERE) == ONE
    assert known.lookup("[::1]:1234") == TWO
    assert known.lookup("127.0.0.1:123") is None
    assert known.lookup("#") is None


def test_a_server_that_is_added_is_found(tmp_path: Path) -> None:
    path = tmp_path / "of its own" / "known"
    KnownServers(path).add(HERE, ONE)
    KnownServers(path).add("example.org:1", TWO)
    assert KnownServers(path).lookup(HERE) == ONE
    comment, *lines = path.read_text().splitlines()
    assert comment.startswith("# ")
    assert lines == [f"{HERE} {ONE}", f"example.org:1 {TWO}"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_server_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    before = keylist.version(str(path))
    KnownServers(path).add(HERE, ONE)
    assert keylist.version(str(path)) == before


def test_a_key_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    with pytest.raises(ServerKeyChangedError) as refusal:
        KnownServers(path).add(HERE, TWO)
    assert (refusal.value.name, refusal.value.known, refusal.value.offered) == (HERE, ONE, TWO)
    assert path.read_text() == f"{HERE} {ONE}\n"


@pytest.mark.parametrize(
    "name",
    [
        "[2001:db8::1]:65535",
        "[fe80::1%eth0]:1",
        "příklad.example:1",
        "/run/user/1000/my socket",
        "/tmp/a\nb 127.0.0.1:1234",
        "/tmp/#1",
        "#1",
        "/tmp/100%",
        "/tmp/%41",
        "/tmp/\u2028\x85\x0b\x1c",
        os.fsdecode(b"/tmp/\xff\xfe"),
        "relative",
        "a:b",
        "\N{COMBINING ACUTE ACCENT}",
    ],
)
def test_any_address_comes_back_as_one_word(tmp_path: Path, name: str) -> None:
    path = tmp_path / "known"
    known = KnownServers(path)
    known.add("before:1", TWO)
    known.add(name, ONE)
    known.add("after:1", TWO)
    assert known.lookup(name) == ONE
    assert known.lookup("before:1") == known.lookup("after:1") == TWO
    assert known.lookup(HERE) is None
    (_, _, line, _) = path.read_text("ascii").splitlines()
    assert line.split()[1:] == [str(ONE)]


@posix_only
def test_addresses_that_look_alike_are_different(tmp_path: Path) -> None:
    names = ["/tmp/A", "/tmp/%41", "/tmp/a", "/tmp/A ", "/tmp/%2541", "/tmp/\udcff", "/tmp/?"]
    names += ["/tmp/A:1", "/tmp/a:1", "/tmp/a:01"]
    known = KnownServers(tmp_path / "known")
    for name, key in zip(names, KEYS, strict=False):
        assert known.lookup(name) is None
        known.add(name, key)
    assert [known.lookup(name) for name in names] == KEYS[: len(names)]


SPELLINGS = [
    ("relay.example.org:1234", ["Relay.EXAMPLE.org:1234", "relay.example.org.:1234"]),
    ("relay.example.org:80", ["relay.example.org:0080"]),
    ("[2001:db8::7]:1", ["[2001:DB8:0:0::7]:1", "[2001:0db8:0000::0007]:1"]),
    ("[fe80::1%eth0]:1", ["[FE80:0::1%eth0]:1"]),
    ("_chat._tcp.example.org", ["_Chat._TCP.Example.org", "_chat._tcp.example.org."]),
    ("192.0.2.7:1", ["[192.0.2.7]:1", "[::ffff:192.0.2.7]:1", "[::FFFF:c000:0207]:1"]),
]


@pytest.mark.parametrize(("name", "others"), SPELLINGS)
def test_an_address_has_one_name_however_it_is_spelt(
    tmp_path: Path, name: str, others: list[str]
) -> None:
    """Both where it is asked for and in the file, which people write too."""
    assert canonical_name(name) == name
    for other in others:
        assert canonical_name(other) == name
        path = tmp_path / "known"
        put(path, f"{name} {ONE}\n")
        assert KnownServers(path).lookup(other) == ONE
        with pytest.raises(ServerKeyChangedError) as refusal:
            KnownServers(path).add(other, TWO)
        assert refusal.value.name == name
        put(path, f"{other} {ONE}\n")
        assert KnownServers(path).lookup(name) == ONE
        put(path, f"{name} {ONE}\n{other} {ONE}\n")
        with pytest.raises(KeyFormatError, match=r"line 2: .* is in line 1 already"):
            KnownServers(path).lookup(name)
        path.unlink()
        KnownServers(path).add(other, ONE)
        assert path.read_text().splitlines()[1:] == [f"{name.replace('%', '%25')} {ONE}"]


@posix_only
def test_a_socket_is_the_same_from_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = KnownServers(tmp_path / "known")
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    made = ServerVerifier(known, "./relay.sock", trust_first_use=True)
    made.look_up()
    monkeypatch.chdir(tmp_path)
    assert made.verify_server_key(bytes(ONE)) is None
    made.record(ONE)
    here = f"{tmp_path.absolute()}/a/relay.sock"
    for name in (here, "a/relay.sock", "./b/../a/relay.sock"):
        assert canonical_name(name) == here
        assert known.lookup(name) == ONE
    assert known.lookup("./relay.sock") is None
    assert known.lookup("relay.sock") is None


@pytest.mark.parametrize("word", ["127.0.0.1", "relay.example.org", ":1", "./relay.sock", "%ff:1"])
def test_a_line_that_no_address_could_find_is_refused(tmp_path: Path, word: str) -> None:
    """A key that was pinned with a slip would be as good as none."""
    path = put(tmp_path / "known", f"{word} {ONE}\n")
    with pytest.raises(KeyFormatError, match=f"line 1: {re.escape(word)} is no address: write "):
        KnownServers(path).lookup(HERE)


def test_a_key_is_checked(tmp_path: Path) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    assert KnownServers(path).check(HERE, ONE) is True
    assert KnownServers(path).check("other:1", TWO) is False
    for name in (HERE, "[::ffff:127.0.0.1]:1234"):
        with pytest.raises(ServerKeyChangedError) as refusal:
            KnownServers(path).check(name, TWO)
        assert (refusal.value.name, refusal.value.known, refusal.value.offered) == (HERE, ONE, TWO)
    assert path.read_text() == f"{HERE} {ONE}\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("127.0.0.1:1", "the server's key is missing after its address"),
        (f"127.0.0.1:1 {str(TWO)[:-1]}q", "the checksum does not match"),
        (f"{TWO} 127.0.0.1:1", "the text is too short"),
        (f"{HERE} {ONE}", f"{HERE} is in line 2 already"),
    ],
)
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, line: str, reason: str) -> None:
    text = f"# first\n{HERE} {ONE}\n\n{line}\n"
    path = put(tmp_path / "known", text)
    known = KnownServers(path)
    uses: list[Callable[[], object]] = [
        lambda: known.lookup(HERE),
        lambda: known.add("other:1", TWO),
    ]
    for use in uses:
        with pytest.raises(KeyFormatError) as refusal:
            use()
        assert str(refusal.value).startswith(f"{path}, line 4: ")
        assert reason in str(refusal.value)
    assert path.read_text() == text


@posix_only
def test_a_file_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    path.chmod(0o660)
    with pytest.raises(KeyFileError, match="can be written by others; run: chmod go-w "):
        KnownServers(path).lookup(HERE)
    with pytest.raises(KeyFileError, match="can be written by others"):
        KnownServers(path).add("other:1", TWO)


@pytest.mark.parametrize("name", ["x" * 5000, "folder"])
def test_a_file_that_cannot_be_reached_does_not_count_as_empty(tmp_path: Path, name: str) -> None:
    """Else whatever server answers would be trusted."""
    (tmp_path / "folder").mkdir()
    with pytest.raises(KeyFileError, match="cannot read "):
        KnownServers(tmp_path / name).lookup(HERE)


@posix_only
def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "known")
    known = KnownServers(tmp_path / "link")
    assert known.lookup(HERE) is None
    known.add(HERE, ONE)
    assert (tmp_path / "link").is_symlink()
    assert KnownServers(tmp_path / "known").lookup(HERE) == ONE


def test_several_threads_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    known = KnownServers(tmp_path / "known")
    names = [f"host-{number}:1" for number in range(24)]

    def work(part: list[str]) -> None:
        for name in part:
            known.add(name, ONE)

    threads = [threading.Thread(target=work, args=(names[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [known.lookup(name) for name in names] == [ONE] * len(names)


# Verifying a server's key


def verifier(path: Path, *, trust: bool = False) -> ServerVerifier:
    made = ServerVerifier(KnownServers(path), HERE, trust_first_use=trust)
    made.look_up()
    return made


def test_a_known_key_is_taken_and_not_recorded_again(tmp_path: Path) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    for trust in (False, True):
        made = verifier(path, trust=trust)
        assert made.verify_server_key(bytes(ONE)) is None
        # Not even if it was taken out meanwhile.
        put(path, "")
        made.record(ONE)
        assert path.read_text() == ""
        put(path, f"{HERE} {ONE}\n")


def test_an_unknown_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "known"
    error = verifier(path).verify_server_key(bytes(ONE))
    assert isinstance(error, UnknownServerError)
    assert (error.name, error.key) == (HERE, ONE)
    line = str(error).rpartition(f"add to {path}: ")[2]
    assert not path.exists()
    put(path, f"{line}\n")
    assert verifier(path).verify_server_key(bytes(ONE)) is None


def test_an_unknown_key_is_trusted_on_demand_and_recorded_when_told(tmp_path: Path) -> None:
    path = tmp_path / "known"
    made = verifier(path, trust=True)
    assert made.verify_server_key(bytes(ONE)) is None
    assert not path.exists()
    made.record(ONE)
    assert KnownServers(path).lookup(HERE) == ONE


@pytest.mark.parametrize("trust", [False, True])
def test_a_changed_key_is_refused(tmp_path: Path, trust: bool) -> None:
    path = put(tmp_path / "known", f"{HERE} {ONE}\n")
    error = verifier(path, trust=trust).verify_server_key(bytes(TWO))
    assert isinstance(error, ServerKeyChangedError)
    assert (error.name, error.known, error.offered) == (HERE, ONE, TWO)
    for text in (HERE, str(ONE), str(TWO), str(path), "HAS CHANGED"):
        assert text in str(error)
    assert path.read_text() == f"{HERE} {ONE}\n"


def test_two_that_trust_at_once_agree_or_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known"
    first, second, third = (verifier(path, trust=True) for _ in range(3))
    first.record(ONE)
    second.record(ONE)
    with pytest.raises(ServerKeyChangedError):
        third.record(TWO)
    assert KnownServers(path).lookup(HERE) == ONE


class OurUnknownServerError(UnknownServerError):
    """What a program may make of it."""


class OurServerKeyChangedError(ServerKeyChangedError):
    """What a program may make of it."""


def test_the_errors_keep_what_they_hold() -> None:
    unknown = [
        kind("text", name=HERE, key=ONE) for kind in (UnknownServerError, OurUnknownServerError)
    ]
    changed = [
        kind("text", name=HERE, known=ONE, offered=TWO)
        for kind in (ServerKeyChangedError, OurServerKeyChangedError)
    ]
    for error in (*unknown, *changed):
        for again in (pickle.loads(pickle.dumps(error)), error.fresh()):
            assert type(again) is type(error)
            assert isinstance(again, HandshakeError)
            assert (vars(again), str(again)) == (vars(error), "text")
