"""Files between programs without asyncio."""

from __future__ import annotations

from pathlib import Path

import pytest
from aio.ends import PATIENCE, Mode

from sealframe import ConfigurationError, Inbox, sync

from .ends import dial, echo


def test_a_file_arrives(control_mode: Mode, tmp_path: Path) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(bytes(range(256)) * 1000)
    inbox = Inbox(tmp_path / "incoming")
    with sync.serve(None, "127.0.0.1", 0, **control_mode.server, files=inbox) as server:
        with dial(server, control_mode) as conn:
            conn.send_file(source, timeout=PATIENCE)
    assert (tmp_path / "incoming" / "data.bin").read_bytes() == source.read_bytes()


def test_no_function_decides() -> None:
    with pytest.raises(ConfigurationError, match="files is an Inbox"):
        sync.serve(echo, "127.0.0.1", 0, files=echo)  # type: ignore[arg-type]
