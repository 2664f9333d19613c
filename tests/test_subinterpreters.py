"""In a subinterpreter of its own GIL sealframe runs, in pure Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sealframe

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 14), reason="concurrent.interpreters is new in Python 3.14"
)

FROM = Path(sealframe.__file__).parents[1]


def told(code: str) -> str:
    """Return what code prints that runs in a subinterpreter of a process of its own."""
    begin = f"import sys; sys.path.insert(0, {str(FROM)!r})"
    lines = [
        "from concurrent import interpreters",
        "inner = interpreters.create()",
        f"inner.exec({begin + chr(10) + code!r})",
        "inner.close()",
    ]
    environment = {
        name: value for name, value in os.environ.items() if name != "SEALFRAME_EXTENSION"
    }
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout


def test_messages_go_through_in_pure_python() -> None:
    code = """
import asyncio, sealframe

async def main():
    async def echo(conn):
        await conn.send(await conn.recv())

    async with sealframe.serve(echo, "127.0.0.1", 0) as server:
        async with sealframe.connect(*server.addresses[0][:2]) as conn:
            await conn.send(b"hello")
            print(sealframe.IMPLEMENTATION, await conn.recv())

asyncio.run(main())
"""
    assert told(code) == "python b'hello'\n"


def test_what_cannot_be_imported_there_is_named_at_the_first_seal() -> None:
    pytest.importorskip("cryptography")
    code = """
import sealframe
from sealframe.noise import cipher

try:
    cipher.require()
except sealframe.MissingExtraError as error:
    print(error)
"""
    assert "which cannot be imported here: " in told(code)
