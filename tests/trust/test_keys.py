from __future__ import annotations

import asyncio
import os
import shlex
import stat
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from sealframe.errors import KeyFileError, KeyFormatError
from sealframe.noise import cipher
from sealframe.trust import bech32
from sealframe.trust.keys import SharedKey

from .owners import give_away
from .secrecy import assert_not_copied

if TYPE_CHECKING:
    from pathlib import Path

RAW = bytes(range(32))
TEXT = "SEALFRAME-SHARED-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0STGQ2DK"
PASSPHRASE = "correct horse battery staple"

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="files here have access lists instead of a mode"
)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    path.chmod(0o600)
    return path


# The key itself


def test_generated_keys_differ() -> None:
    keys = [SharedKey.generate().secret_bytes() for _ in range(5)]
    assert {len(key) for key in keys} == {32}
    assert len(set(keys)) == 5


@pytest.mark.parametrize("raw", [RAW, bytearray(RAW), memoryview(RAW)])
def test_raw_bytes_come_back(raw: bytes) -> None:
    assert SharedKey(raw).secret_bytes() == RAW


def test_later_change_of_the_given_buffer_does_not_reach_the_key() -> None:
    raw = bytearray(RAW)
    key = SharedKey(raw)
    raw[:] = bytes(32)
    assert key == SharedKey(RAW)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_raw_bytes_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(KeyFormatError, match=f"32 bytes, not {length}"):
        SharedKey(bytes(length))


@pytest.mark.parametrize("wrong", [32, "k" * 32, None])
def test_raw_of_another_type_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError):
        SharedKey(wrong)  # type: ignore[arg-type]


def test_equality_is_of_the_secret_and_there_is_no_hash() -> None:
    assert SharedKey(RAW) == SharedKey(RAW)
    assert SharedKey(RAW) != SharedKey(bytes(32))
    assert SharedKey(RAW) != RAW
    with pytest.raises(TypeError, match="unhashable"):
        hash(SharedKey(RAW))


def test_nothing_of_the_key_is_shown_or_copied() -> None:
    key = SharedKey(RAW)
    assert repr(key) == str(key) == "<SharedKey>"
    assert_not_copied(key)


# As text


def test_text_is_frozen() -> None:
    assert SharedKey(RAW).to_text() == TEXT
    for text in (TEXT, TEXT.lower(), f" {TEXT}\r\n"):
        assert SharedKey.from_text(text) == SharedKey(RAW)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TEXT[:-1] + "L", "mistyped"),
        (TEXT[:40] + TEXT[41:], "mistyped"),
        (TEXT[:40] + "B" + TEXT[41:], "character 41 "),
        (TEXT[:-1] + TEXT[-1].lower(), "mixed"),
        (TEXT[:21], "part in front"),
        ("", "part in front"),
        (RAW.hex(), "too short"),
        (bech32.encode("sealframe-shared-key-", RAW[:31]), "32 bytes, not 31"),
    ],
)
def test_bad_text_is_refused_and_not_quoted(text: str, reason: str) -> None:
    with pytest.raises(KeyFormatError, match=reason) as refusal:
        SharedKey.from_text(text)
    assert "QQQSYQ" not in str(refusal.value).upper()


@pytest.mark.parametrize("prefix", ["sealframe-server-key-", "age-secret-key-", "bc"])
def test_key_of_another_kind_is_named(prefix: str) -> None:
    with pytest.raises(KeyFormatError) as refusal:
        SharedKey.from_text(bech32.encode(prefix, RAW))
    assert f"{prefix.upper()}1..." in str(refusal.value)
    assert "SEALFRAME-SHARED-KEY-1..." in str(refusal.value)
    assert "QQQSYQ" not in str(refusal.value)


# From a passphrase


def test_passphrase_key_is_frozen() -> None:
    key = SharedKey.from_passphrase(PASSPHRASE)
    assert key.secret_bytes().hex() == (
        "1bed573339b5e7ac899e47546f6859c95449bc59252d146ea95d49e030727825"
    )


def test_passphrase_key_is_argon2id_of_the_rfcs_second_choice() -> None:
    """64 MiB, 3 passes, 4 lanes, reckoned here without the library's own function."""
    argon2 = pytest.importorskip("cryptography.hazmat.primitives.kdf.argon2")
    salt = b"sealframe shared key 1"
    function = argon2.Argon2id(salt=salt, length=32, iterations=3, lanes=4, memory_cost=65_536)
    key = SharedKey.from_passphrase(PASSPHRASE)
    assert key.secret_bytes() == function.derive(PASSPHRASE.encode())


@pytest.mark.skipif(
    int(version("cryptography").partition(".")[0]) < 50, reason="it holds the GIL before version 50"
)
async def test_event_loop_runs_on_while_a_thread_makes_the_key() -> None:
    # Its imports come first: they would let the loop run too.
    cipher.require()
    making = asyncio.ensure_future(asyncio.to_thread(SharedKey.from_passphrase, PASSPHRASE))
    ticks = 0
    while not making.done():
        ticks += 1
        await asyncio.sleep(0.001)
    # Held up, the loop would find it done after a turn or two.
    assert ticks > 10
    assert await making == SharedKey.from_passphrase(PASSPHRASE)


def test_salt_makes_another_key() -> None:
    salted = SharedKey.from_passphrase(PASSPHRASE, salt=b"of our own")
    assert salted == SharedKey.from_passphrase(PASSPHRASE, salt=b"of our own")
    assert salted != SharedKey.from_passphrase(PASSPHRASE)


def test_ways_to_type_the_same_passphrase_make_the_same_key() -> None:
    composed = "se zl\u00fdm psem na \u0159et\u011bzu"
    decomposed = "se zly\u0301m psem na r\u030cete\u030czu"
    assert composed != decomposed
    assert SharedKey.from_passphrase(composed) == SharedKey.from_passphrase(decomposed)


@pytest.mark.parametrize(
    "weak",
    ["", "short", "nineteen characters", "a" * 1000, "abcdefg" * 10, "e\u0301" * 10 + "abcdefg"],
)
def test_weak_passphrase_is_refused(weak: str) -> None:
    with pytest.raises(KeyFormatError, match="sealframe keygen") as refusal:
        SharedKey.from_passphrase(weak)
    if weak:
        assert weak not in str(refusal.value)


def test_weakest_passphrase_that_is_taken() -> None:
    least = "abcdefgh" + "a" * 12
    assert len(SharedKey.from_passphrase(least).secret_bytes()) == 32
    with pytest.raises(KeyFormatError, match="at least 20 characters, 8 different ones"):
        SharedKey.from_passphrase(least[:-1])


@pytest.mark.parametrize("stray", ["\n", "\0", "\x1b", "\udc80", "\u200b"])
def test_character_that_is_there_by_accident_is_refused(stray: str) -> None:
    with pytest.raises(KeyFormatError, match="invisible") as refusal:
        SharedKey.from_passphrase(PASSPHRASE + stray)
    assert "horse" not in repr(refusal.value)
    assert refusal.value.__context__ is None


def test_short_salt_is_refused() -> None:
    with pytest.raises(KeyFormatError, match="salt must be at least 8 bytes"):
        SharedKey.from_passphrase(PASSPHRASE, salt=b"7 bytes")


# As a file


def test_saved_key_is_loaded(tmp_path: Path) -> None:
    key = SharedKey.generate()
    path = tmp_path / "link.key"
    key.save(path)
    assert SharedKey.load(path) == SharedKey.load(str(path)) == key
    lines = path.read_text("ascii").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:] == [key.to_text()]


@posix_only
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_saved_key_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "link.key"
    old = os.umask(mask)
    try:
        SharedKey.generate().save(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_save_never_overwrites(tmp_path: Path) -> None:
    path = write(tmp_path / "link.key", b"something else")
    with pytest.raises(KeyFileError, match="choose another name") as refusal:
        SharedKey.generate().save(path)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == b"something else"


@posix_only
def test_save_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "link.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="there already"):
        SharedKey.generate().save(tmp_path / "link.key")
    assert not (tmp_path / "elsewhere").exists()


def test_save_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot write the key file .*: "):
        SharedKey.generate().save(tmp_path / "missing" / "link.key")


@posix_only
def test_save_that_fails_leaves_no_file(tmp_path: Path) -> None:
    # A limit on the size of files stands in for a full disk.
    path = tmp_path / "link.key"
    script = (
        "import resource, sys\n"
        "from sealframe.errors import KeyFileError\n"
        "from sealframe.trust.keys import SharedKey\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try:\n"
        "    SharedKey.generate().save(sys.argv[1])\n"
        "except KeyFileError as error:\n"
        "    sys.exit(f'refused: {error}')\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr.startswith(f"refused: cannot write the key file {path}: "), result
    assert not path.exists()


def test_comments_blank_lines_and_line_ends_do_not_matter(tmp_path: Path) -> None:
    content = f"# one\r\n\r\n  # tw\u00f3\r\n  {TEXT}  \r\n# three".encode()
    assert SharedKey.load(write(tmp_path / "link.key", content)) == SharedKey(RAW)


def test_mark_of_utf_8_in_front_does_not_matter(tmp_path: Path) -> None:
    for text in (TEXT, f"# one\r\n{TEXT}\r\n"):
        path = write(tmp_path / "link.key", text.encode("utf-8-sig"))
        assert SharedKey.load(path) == SharedKey(RAW)


@posix_only
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="makes files of root")
def test_a_credential_of_systemd_is_for_the_user_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    SharedKey(RAW).save(path)
    path.chmod(0o440)
    with pytest.raises(KeyFileError, match="readable by others"):
        SharedKey.load(path)
    monkeypatch.setattr(os, "geteuid", lambda: 61234)
    assert SharedKey.load(path) == SharedKey(RAW)
    for mode in (0o444, 0o460):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match="readable by others"):
            SharedKey.load(path)
    path.chmod(0o440)
    os.chown(path, 0, 1)
    with pytest.raises(KeyFileError, match="readable by others"):
        SharedKey.load(path)


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o601, 0o660, 0o777])
def test_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "of us all.key"
    SharedKey(RAW).save(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError) as refusal:
        SharedKey.load(path)
    command = str(refusal.value).partition("; run: ")[2]
    assert "readable by others" in str(refusal.value)
    subprocess.run(shlex.split(command), check=True, timeout=60)
    assert SharedKey.load(path) == SharedKey(RAW)


@posix_only
def test_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "link.key", TEXT.encode())
    give_away(path, monkeypatch)
    with pytest.raises(
        KeyFileError, match=r"link\.key belongs to another user; run this .*uid \d+"
    ):
        SharedKey.load(path)


@posix_only
def test_read_only_file_is_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "link.key", TEXT.encode())
    path.chmod(0o400)
    assert SharedKey.load(path) == SharedKey(RAW)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "link.key"
    with pytest.raises(KeyFileError, match=r"there is no key file .*sealframe keygen") as refusal:
        SharedKey.load(path)
    assert str(path) in str(refusal.value)


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"cannot read the key file .*: "):
        SharedKey.load(tmp_path)


@posix_only
@pytest.mark.timeout(30)
def test_pipe_in_place_of_a_file_does_not_hold_us_up(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    with pytest.raises(KeyFileError, match="not a file"):
        SharedKey.load(path)


def test_large_file_is_refused(tmp_path: Path) -> None:
    for size, accepted in [(4096, True), (4097, False), (1_000_000, False)]:
        path = write(tmp_path / f"{size}.key", f"{TEXT}\n".encode().ljust(size, b"#"))
        if accepted:
            assert SharedKey.load(path) == SharedKey(RAW)
        else:
            with pytest.raises(KeyFileError, match="too large"):
                SharedKey.load(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "one line with a key, not 0"),
        (b"# only a comment\n", "one line with a key, not 0"),
        (f"{TEXT}\n{TEXT}\n".encode(), "one line with a key, not 2"),
        (f"{TEXT[:-1]}L\n".encode(), "checksum does not match"),
        (f"key = {TEXT}\n".encode(), "mixed"),
        (bech32.encode("sealframe-server-key-", RAW).encode(), "SEALFRAME-SERVER-KEY-1"),
        (RAW, "one line with a key, not "),
        (TEXT.encode("utf-16"), "longer than 90"),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "part in front"),
    ],
)
def test_file_with_something_else_is_refused_by_name(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = write(tmp_path / "link.key", content)
    with pytest.raises(KeyFormatError, match=reason) as refusal:
        SharedKey.load(path)
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    assert "QQQSYQ" not in str(refusal.value)
    assert refusal.value.__cause__ is None
