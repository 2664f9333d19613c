"""The programs of docs/migrate: old and new ones talk to each other, in every pairing."""

from __future__ import annotations

import asyncio
import multiprocessing
import shutil
import subprocess
from multiprocessing.connection import Client
from pathlib import Path

import pytest

import authkey
import sealframe
from sealframe.framing.layouts import MULTIPROCESSING

from .programs import EXAMPLES, serving, started

MONO = shutil.which("mono")

OUTPUT = "b'ONE'\nb''\nb'THREE'\n"

PAIRS = [
    # Old and new, then new and old.
    *(("struct_server", "after_client"), ("after_server", "struct_client")),
    *(("pickled_server", "unpickled_client"), ("unpickled_server", "pickled_client")),
    *(("twisted_server", "untwisted_client"), ("untwisted_server", "twisted_client")),
]


@pytest.mark.parametrize(("server", "client"), PAIRS)
def test_old_and_new_talk(server: str, client: str) -> None:
    if server == "twisted_server" or client == "twisted_client":
        pytest.importorskip("twisted", reason="Twisted is not installed")
    with serving(f"migrate/{server}.py") as (_, port):
        with started(f"migrate/{client}.py", "127.0.0.1", port) as asking:
            assert asking.rest() == OUTPUT


async def test_who_has_another_authkey_is_refused() -> None:
    refused = asyncio.Event()

    async def handler(conn: sealframe.Connection) -> None:
        with pytest.raises(multiprocessing.AuthenticationError):
            await authkey.as_listener(conn, b"secret")
        refused.set()

    async with sealframe.serve(handler, "127.0.0.1", 0, framing=MULTIPROCESSING) as server:
        address = ("127.0.0.1", server.port)
        with pytest.raises(multiprocessing.AuthenticationError):
            await asyncio.to_thread(Client, address, authkey=b"another")
        await asyncio.wait_for(refused.wait(), 10)


@pytest.fixture(scope="module")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs in C#, compiled."""
    compiler = shutil.which("mcs")
    if compiler is None or MONO is None:
        pytest.skip("mcs and mono are not installed")
    folder = tmp_path_factory.mktemp("csharp")
    packet = EXAMPLES / "csharp" / "Packet.cs"
    for name, sources in (
        ("Client", [EXAMPLES / "csharp" / "Client.cs", packet]),
        ("Server", [EXAMPLES / "csharp" / "Server.cs", packet]),
        ("TextClient", [EXAMPLES / "migrate" / "TextClient.cs"]),
    ):
        output = folder / f"{name}.exe"
        subprocess.run([compiler, f"-out:{output}", *sources], check=True, timeout=60)
    return folder


def mono(folder: Path, name: str, *arguments: object) -> list[str]:
    return [str(MONO), str(folder / f"{name}.exe"), *map(str, arguments)]


def test_a_client_in_csharp_and_a_new_server(assemblies: Path) -> None:
    with serving("migrate/after_server.py") as (_, port):
        asked = mono(assemblies, "Client", "127.0.0.1", port, 2)
        done = subprocess.run(
            asked, input=b"one\nthree\n", stdout=subprocess.PIPE, check=True, timeout=30
        )
        assert done.stdout.split() == [b"ONE", b"THREE"]


def test_a_new_client_and_a_server_in_csharp(assemblies: Path) -> None:
    serve = mono(assemblies, "Server", "127.0.0.1", 0, 1)
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().rpartition(":")[2].strip()
        with started("migrate/after_client.py", "127.0.0.1", port) as asking:
            assert asking.rest() == "b'1: one'\nb'1: '\nb'1: three'\n"


def test_text_of_a_binary_writer(assemblies: Path) -> None:
    long = "ü" * 100
    with serving("migrate/text_server.py") as (_, port):
        asked = mono(assemblies, "TextClient", "127.0.0.1", port, "grüß", "", long)
        done = subprocess.run(asked, stdout=subprocess.PIPE, check=True, timeout=30)
        assert done.stdout.decode().splitlines() == ["GRÜSS", "", long.upper()]
