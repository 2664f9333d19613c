"""Real servers and clients against a peer in Go, whose Noise is flynn/noise."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from interop.programs import running
from sealframe import HandshakeError, PrivateKey
from sealframe.wire import CloseCode

from .links import (
    CONTEXT,
    PATTERNS,
    SEGMENTS,
    Handler,
    Keys,
    Report,
    close,
    connect,
    exchange,
    new_psk,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sealframe import Connection

every_pattern = pytest.mark.parametrize("pattern", PATTERNS)


def options(keys: Keys, *, client: bool, context: str = CONTEXT) -> list[object]:
    """Return the options that give the program its end of the link."""
    given: list[object] = ["-pattern", keys.pattern, "-context", context]
    given += ["-segments", ",".join(map(str, SEGMENTS))]
    if keys.pattern == "NNpsk0":
        return [*given, "-psk", keys.psk.hex()]
    own = keys.client if client else keys.server
    given += ["-static", own.secret_bytes().hex()]
    if keys.pattern == "XK" and client:
        given += ["-remote", bytes(keys.server.public_key).hex()]
    return given


async def report_of(process: asyncio.subprocess.Process) -> Report:
    """Wait for the program's good end."""
    output, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")
    return Report(**json.loads(output))


async def complaint_of(process: asyncio.subprocess.Process) -> str:
    """Wait for its bad end."""
    output, errors = await process.communicate()
    assert (process.returncode, output) == (1, b"")
    return errors.decode()


@asynccontextmanager
async def listening(
    go_peer: Path, given: list[object]
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run the program as a server for one client; the number is its port."""
    async with running(go_peer, *given) as process:
        assert process.stdout is not None
        yield process, int(await process.stdout.readline())


@every_pattern
async def test_go_connects(go_peer: Path, pattern: str) -> None:
    keys = Keys(pattern)
    handler = Handler(exchange)
    async with (
        serve(keys, handler) as server,
        running(go_peer, "-connect", server.port, *options(keys, client=True)) as process,
    ):
        report = await report_of(process)
        report.check(await handler.done, keys, served=True)
    report.check_exchange()


@every_pattern
async def test_go_listens(go_peer: Path, pattern: str, tmp_path: Path) -> None:
    keys = Keys(pattern)
    async with listening(go_peer, options(keys, client=False)) as (process, port):
        async with connect(keys, port, tmp_path / "known") as conn:
            assert conn.id == "go-1"
            await exchange(conn)
        report = await report_of(process)
    report.check(conn, keys, served=False)
    report.check_exchange()


async def listen_to(conn: Connection) -> None:
    """Let the peer be the first to close."""
    for number in range(3):
        await conn.send(b"%d" % number)
    assert [message async for message in conn] == [b"0", b"1", b"2"]
    assert conn.close_code == CloseCode.NORMAL
    await close(conn)


@every_pattern
async def test_go_connects_and_closes_first(go_peer: Path, pattern: str) -> None:
    keys = Keys(pattern)
    handler = Handler(listen_to)
    async with serve(keys, handler) as server:
        given = ["-connect", server.port, "-close-after", 3, *options(keys, client=True)]
        async with running(go_peer, *given) as process:
            report = await report_of(process)
            report.check(await handler.done, keys, served=True)
    assert report.messages == 3


@every_pattern
async def test_go_listens_and_closes_first(go_peer: Path, pattern: str, tmp_path: Path) -> None:
    keys = Keys(pattern)
    given = ["-close-after", 3, *options(keys, client=False)]
    async with listening(go_peer, given) as (process, port):
        async with connect(keys, port, tmp_path / "known") as conn:
            await listen_to(conn)
        report = await report_of(process)
    report.check(conn, keys, served=False)
    assert report.messages == 3


# What does not match is refused alike, whichever end is ours


def other_secret(keys: Keys) -> Keys:
    """Return keys of someone who does not know what the client must know beforehand."""
    return replace(keys, psk=new_psk(), server=PrivateKey.generate())


async def never(conn: Connection) -> None:
    pytest.fail("a client was let in")


@pytest.mark.parametrize("pattern", ["NNpsk0", "XK"])
async def test_go_with_another_key_is_refused(go_peer: Path, pattern: str) -> None:
    keys = Keys(pattern)
    async with serve(keys, never) as server:
        given = options(other_secret(keys), client=True)
        async with running(go_peer, "-connect", server.port, *given) as process:
            assert await complaint_of(process) == f"plaintext CLOSE {CloseCode.REFUSED:d}\n"


@pytest.mark.parametrize("pattern", ["NNpsk0", "XK"])
async def test_go_refuses_us_with_another_key(go_peer: Path, pattern: str, tmp_path: Path) -> None:
    keys = Keys(pattern)
    async with listening(go_peer, options(keys, client=False)) as (process, port):
        with pytest.raises(HandshakeError) as caught:
            await connect(other_secret(keys), port, tmp_path / "known")
        assert caught.value.code == CloseCode.REFUSED
        assert "handshake message 0" in await complaint_of(process)


@every_pattern
async def test_go_with_another_context_is_refused(go_peer: Path, pattern: str) -> None:
    """Who notices first depends on the pattern; neither end goes on."""
    keys = Keys(pattern)
    async with serve(keys, never) as server:
        given = options(keys, client=True, context="another.example")
        async with running(go_peer, "-connect", server.port, *given) as process:
            complaint = await complaint_of(process)
    if pattern == "XX":
        # Its first message has nothing to be checked; the second is sealed.
        assert complaint.startswith("handshake message 1: ")
    else:
        assert complaint == f"plaintext CLOSE {CloseCode.REFUSED:d}\n"


@every_pattern
async def test_go_notices_our_other_context(go_peer: Path, pattern: str, tmp_path: Path) -> None:
    keys = Keys(pattern)
    async with listening(go_peer, options(keys, client=False)) as (process, port):
        with pytest.raises(HandshakeError) as caught:
            await connect(keys, port, tmp_path / "known", context="another.example")
        assert caught.value.code == CloseCode.REFUSED
        complaint = await complaint_of(process)
    if pattern == "XX":
        assert complaint == f"plaintext CLOSE {CloseCode.REFUSED:d}\n"
    else:
        assert complaint.startswith("handshake message 0: ")


@pytest.mark.parametrize("pattern", ["XK", "XX"])
async def test_go_that_is_not_on_the_list_is_told_inside_the_seal(
    go_peer: Path, pattern: str
) -> None:
    keys = Keys(pattern)
    stranger = replace(keys, client=PrivateKey.generate())
    async with serve(keys, never) as server:
        given = options(stranger, client=True)
        async with running(go_peer, "-connect", server.port, *given) as process:
            complaint = await complaint_of(process)
    assert complaint == f"CLOSE {CloseCode.UNAUTHORIZED:d} instead of WELCOME\n"


@pytest.mark.parametrize(("spoken", "accepted"), [("XX", "XK"), ("NNpsk0", "XX")])
async def test_go_with_another_pattern_is_refused(
    go_peer: Path, spoken: str, accepted: str
) -> None:
    keys = Keys(accepted)
    async with serve(keys, never) as server:
        given = options(replace(keys, pattern=spoken), client=True)
        async with running(go_peer, "-connect", server.port, *given) as process:
            assert await complaint_of(process) == f"plaintext CLOSE {CloseCode.VERSION:d}\n"
