"""The balancers of the guide, as its configurations set them up, before our servers."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import documents
import pytest
from aio.ends import PATIENCE, Mode, ModeName, shared_key
from aio.scripted import until

import sealframe
from sealframe import ClientOptions, Connection, ConnectionClosed, Server

ANY_LOOP = True

PAGE = documents.read("docs/guides/deployment.md")
MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
"""Where Debian has the module, which is compiled in elsewhere."""

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="balancers of POSIX systems"),
]


@asynccontextmanager
async def balancer(
    name: str,
    server: Server,
    folder: Path,
    port: int,
    *,
    idle: str = "1m",
    without: str = "",
    header: str = "",
) -> AsyncIterator[None]:
    """Run one, with the guide's configuration, before a server.

    :param port: where it listens
    :param idle: after which it cuts a silent connection
    :param without: a line that is left out
    :param header: what the guide says is to be added, so that it tells of its clients
    """
    program = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    if name == "haproxy":
        text = documents.blocks(PAGE, "none")["haproxy.cfg"]
    else:
        text = documents.blocks(PAGE, "nginx")["nginx.conf"]
    assert without in text
    assert header in PAGE
    for old, new in {
        "0.0.0.0:1234": f"127.0.0.1:{port}",
        "127.0.0.1:2001": f"127.0.0.1:{server.port}",
        "127.0.0.1:2002": f"127.0.0.1:{server.port}",
        # Its own checks reset a connection before the server can accept it.
        "leastconn\n": "leastconn\n option tcp-check\n tcp-check connect linger\n",
        "inter 2s": f"inter 50ms {header}",
        "proxy_pass": f"{header} proxy_pass",
        " 1m": f" {idle}",
        without or "\0": "",
    }.items():
        text = text.replace(old, new)
    config = folder / "balancer.conf"
    # -dR: it would share a port with another (SO_REUSEPORT), and get half of its clients.
    command = [program, "-db", "-dR", "-f", str(config)]
    if name == "nginx":
        loaded = f"load_module {MODULE};\n" if MODULE.exists() else ""
        text = f"{loaded}pid {folder}/pid;\nevents {{}}\n{text}"
        command = [program, "-p", str(folder), "-c", str(config), "-g", "daemon off;"]
        command += ["-e", str(folder / "errors")]
    config.write_text(text, encoding="utf-8")
    with documents.running(command, folder) as process:
        documents.wait_until_listening(port, process)
        yield


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


@pytest.mark.parametrize("name", ["haproxy", "nginx"])
async def test_only_frames_keep_a_silent_connection_open(
    name: str, tmp_path: Path, port: int
) -> None:
    options = ClientOptions(keepalive_interval=0.2, keepalive_timeout=PATIENCE)
    async with (
        sealframe.serve(echo, "127.0.0.1", 0) as server,
        balancer(name, server, tmp_path, port, idle="1s"),
        sealframe.connect("127.0.0.1", port, options=options) as plain,
        sealframe.connect("127.0.0.1", port, options=options, extended=True) as extended,
    ):
        await plain.send(b"hello")
        assert await plain.recv() == b"hello"
        with pytest.raises(ConnectionClosed):
            await plain.recv()
        # It had been silent for as long, but for its PINGs.
        await extended.send(b"hello")
        assert await extended.recv() == b"hello"


@pytest.mark.parametrize("name", ["haproxy", "nginx", "nginx without half-close"])
@pytest.mark.parametrize("mode", [Mode("packets"), Mode("extended")], ids=lambda mode: mode.name)
async def test_the_last_answer(name: str, mode: Mode, tmp_path: Path, port: int) -> None:
    async def count(conn: Connection) -> None:
        messages = [message async for message in conn]
        await conn.send(b"%d" % len(messages))

    name, _, without = name.partition(" ")
    line = "proxy_half_close on;" if without else ""
    async with (
        sealframe.serve(count, "127.0.0.1", 0) as server,
        balancer(name, server, tmp_path, port, without=line),
        sealframe.connect("127.0.0.1", port, **mode.client) as conn,
    ):
        await conn.send(b"hello")
        await conn.close()
        eaten = without and mode.name == "packets"
        assert [message async for message in conn] == ([] if eaten else [b"1"])


HEADERS = {
    "haproxy 1": "send-proxy",
    "haproxy 2": "send-proxy-v2",
    "nginx 1": "proxy_protocol on;",
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("mode", ["packets", "extended", "sealed"])
async def test_the_address_of_the_client(
    name: str, mode: ModeName, tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def say_who(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message + repr(conn.remote_address).encode())

    way, program = Mode(mode), name.split()[0]
    if way.sealed:
        pytest.importorskip("cryptography", reason="cryptography is not installed")
    async with (
        sealframe.serve(say_who, "127.0.0.1", 0, proxy_protocol=True, **way.server) as server,
        balancer(program, server, tmp_path, port, header=HEADERS[name]),
        sealframe.connect("127.0.0.1", port, **way.client) as conn,
    ):
        for message in (b"hello", bytes(100_000)):
            await conn.send(message)
            assert await conn.recv() == message + repr(conn.local_address).encode()
        if program == "haproxy" and way.sealed:
            # Its checks have a header of their own, that names nobody.
            await until(lambda: server.counters.probes >= 4)
        assert server.counters.proxy_refused == server.counters.failed_handshakes == 0
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


async def test_health_checks_of_a_sealed_server(
    tmp_path: Path, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    key = shared_key()
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, security=key) as server,
        balancer("haproxy", server, tmp_path, port),
        sealframe.connect("127.0.0.1", port, security=key) as conn,
    ):
        await until(lambda: server.counters.probes >= 4)
        await conn.send(b"hello")
        assert await conn.recv() == b"hello"
        assert server.counters.failed_handshakes == 0
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []
