"""``sealframe keygen``."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from sealframe import SharedKey

from .commands import outcome


async def test_makes_a_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    done = await outcome("keygen", path)
    assert (done.code, done.errors) == (0, "")
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert str(path) in done.output
    assert SharedKey.load(path).to_text() not in done.output
    assert "SEALFRAME-SHARED-KEY" not in done.output.upper()


async def test_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    done = await outcome("keygen", path)
    assert (done.code, done.output) == (3, "")
    assert "not overwritten" in done.error
    assert path.read_text() == "mine"


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    done = await outcome("keygen", tmp_path / "none" / "key")
    assert done.code == 3
    assert "cannot write the key file" in done.error


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize("command", ["serve", "chat", "send"])
async def test_a_key_file_that_others_can_read(command: str, key_file: Path) -> None:
    await asyncio.to_thread(key_file.chmod, 0o640)
    message = ["hello"] if command == "send" else []
    done = await outcome(command, "127.0.0.1:1", *message, "--key", key_file)
    assert done.code == 3
    assert f"chmod 600 {key_file}" in done.error


async def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    done = await outcome("serve", "127.0.0.1:0", "--key", tmp_path / "none")
    assert done.code == 3
    assert "make one with: sealframe keygen" in done.error


async def test_a_key_file_with_something_else_in_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hello\n")
    path.chmod(0o600)
    done = await outcome("send", "127.0.0.1:1", "hello", "--key", path)
    assert done.code == 3
    assert str(path) in done.error
