"""``sealframe keygen`` and ``sealframe public``."""

from __future__ import annotations

import os
import re
import stat
import sys
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from sealframe import PrivateKey, PublicKey, SharedKey
from sealframe.cli.commands import sealframe_command

from .commands import invoked, outcome
from .terminal import on_terminal

pytestmark = pytest.mark.usefixtures("settings")


def test_makes_an_identity_and_prints_its_public_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = invoked("keygen", path)
    key = PrivateKey.load(path)
    assert (done.code, done.output, done.errors) == (0, f"{key.public_key}\n", "")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert invoked("public", path) == done


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
async def test_on_a_terminal_it_says_what_it_did(tmp_path: Path) -> None:
    path = tmp_path / "key"
    async with on_terminal("keygen", path) as shown:
        await shown.until("only you can read that file.*sealframe1[a-z0-9]{58}")
        assert await shown.process.wait() == 0
    found = re.findall("sealframe1[a-z0-9]{58}", shown.text)
    assert [PublicKey.from_text(text) for text in found] == [PrivateKey.load(path).public_key]
    assert "SEALFRAME-PRIVATE-KEY" not in shown.text.upper()


def test_makes_a_shared_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = invoked("keygen", "--shared", path)
    assert (done.code, done.errors) == (0, "")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in done.output
    assert ("only you can read that file" in done.output) == (os.name == "posix")
    assert SharedKey.load(path).to_text() not in done.output
    assert "SEALFRAME-SHARED-KEY" not in done.output.upper()


@pytest.mark.skipif(find_spec("xkcdpass") is None, reason="xkcdpass is not installed")
def test_words() -> None:
    first, second = invoked("keygen", "--words"), invoked("keygen", "--words")
    for done in (first, second):
        assert done.code == 0
        # Nothing but the words is on stdout; 7776 of them make 12.9 bits each.
        assert re.fullmatch(r"[a-z-]+( [a-z-]+){7}\n", done.output)
        assert "103 bits" in done.error
        SharedKey.from_passphrase(done.output.rstrip("\n"))
    assert first.output != second.output


async def test_words_without_the_package() -> None:
    program = "import sys; sys.modules['xkcdpass'] = None; import sealframe.cli as c; c.main()"
    command = (sys.executable, "-W", "error", "-c", program)
    done = await outcome("keygen", "--words", command=command)
    assert (done.code, done.output) == (1, "")
    assert "sealframe[cli]" in done.error


@pytest.mark.parametrize(
    "arguments", [[], ["--shared"], ["--words", "file"], ["--words", "--shared"]]
)
def test_wrong_arguments(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError, match="FILE"):
        sealframe_command.main(["keygen", *arguments], standalone_mode=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [[], ["--shared"]])
def test_never_overwrites(options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    done = invoked("keygen", path, *options)
    assert (done.code, done.output) == (3, "")
    assert "not overwritten" in done.error
    assert path.read_text() == "mine"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = invoked("keygen", tmp_path / "none" / "key")
    assert done.code == 3
    assert "cannot write the key file" in done.error


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("command", ["serve", "chat", "send"])
def test_a_key_file_that_others_can_read(command: str, key_file: Path) -> None:
    key_file.chmod(0o640)
    message = ["hello"] if command == "send" else []
    done = invoked(command, *message, "127.0.0.1:1", "--key", key_file)
    assert done.code == 3
    assert f"chmod 600 {key_file}" in done.error


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    done = invoked("serve", "127.0.0.1:0", "--key", tmp_path / "none")
    assert done.code == 3
    assert f"make one with: sealframe keygen --shared {tmp_path / 'none'}" in done.error
    done = invoked("public", tmp_path / "none")
    assert done.code == 3
    assert f"make one with: sealframe keygen {tmp_path / 'none'}" in done.error


def test_a_key_file_with_something_else_in_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hello\n")
    path.chmod(0o600)
    done = invoked("send", "hello", "127.0.0.1:1", "--key", path)
    assert done.code == 3
    assert str(path) in done.error


def test_a_key_of_another_kind_is_named(key_file: Path) -> None:
    done = invoked("public", key_file)
    assert done.code == 3
    assert "this is a shared key, and a private key is needed" in done.error
