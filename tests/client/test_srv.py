"""Servers that DNS names, by a DNS server on loopback."""

from __future__ import annotations

import asyncio
import functools
import itertools
import math
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aio.identities import ANNA, SERVER
from aio.scripted import until
from ports import reserved_port

pytest.importorskip("dns", reason="dnspython is not installed")
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

import sealframe
from sealframe import (
    ClientIdentity,
    ClientOptions,
    CloseCode,
    ConfigurationError,
    ConnectError,
    Connection,
    ConnectionClosed,
    KnownServers,
    Outbox,
    ServerIdentity,
    SessionLostError,
    Sessions,
)
from sealframe.aio.connection import protocol_of
from sealframe.aio.endpoint import Endpoint
from sealframe.srv import Service
from sealframe.wire import Opcode, control
from sealframe.wire.control import Close

NAME = "_chat._tcp.example.org"
OPTIONS = ClientOptions(backoff_initial=0.01, backoff_maximum=0.05)


class _Answers(asyncio.DatagramProtocol):
    """A DNS server that knows one name."""

    def __init__(self, records: list[str]) -> None:
        self.records = records

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        question = dns.message.from_wire(data)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        if self.records and question.question[0].name.to_text() == f"{NAME}.":
            answer.answer.append(dns.rrset.from_text(f"{NAME}.", 0, "IN", "SRV", *self.records))
        else:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        self.transport.sendto(answer.to_wire(), address)


@asynccontextmanager
async def service(records: Sequence[str], **arguments: Any) -> AsyncIterator[Service]:
    """A service that a DNS server on loopback knows; its records can be changed."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Answers(records),  # type: ignore[arg-type]
        ("127.0.0.1", 0),
    )
    try:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = transport.get_extra_info("sockname")[1]
        resolver.lifetime = 5
        yield Service(NAME, resolver=resolver, **arguments)
    finally:
        transport.close()


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


async def test_the_first_that_can_be_reached_and_another_when_it_is_gone() -> None:
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as one,
        sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as two,
    ):
        with reserved_port() as nobody:
            records = [
                f"20 0 {two.port} 127.0.0.1.",
                f"10 0 {one.port} 127.0.0.1.",
                f"0 0 {nobody} 127.0.0.1.",
            ]
            async with service(records) as chat:
                rounds = 0
                async for conn in sealframe.connect("example.org", 1234, sock=chat):
                    rounds += 1
                    await conn.send(b"hello")
                    assert await conn.recv() == b"hello"
                    if rounds == 1:
                        assert len(one.clients) == 1
                        await one.close()
                        continue
                    assert len(two.clients) == 1
                    break
                await conn.close()


@pytest.mark.parametrize("session", [False, True])
async def test_one_that_accepts_and_does_not_let_in_is_not_the_end(session: bool) -> None:
    def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refused.append(writer)
        writer.close()

    refused: list[asyncio.StreamWriter] = []
    refusing = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = refusing.sockets[0].getsockname()[1]
    records = [f"0 0 {port} 127.0.0.1.", f"1 0 {port} 127.0.0.1."]
    async with service(records) as chat:
        with pytest.raises(ConnectionClosed):
            await sealframe.connect(
                "example.org", 1234, sock=chat, extended=True, session=session, options=OPTIONS
            )
        assert len(refused) == 2
        async with sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as one:
            records.append(f"2 0 {one.port} 127.0.0.1.")
            async with sealframe.connect(
                "example.org", 1234, sock=chat, extended=True, session=session, options=OPTIONS
            ) as conn:
                await conn.send(b"hello")
                assert await conn.recv() == b"hello"
                assert len(refused) == 4
                if session:
                    transport = protocol_of(conn).transport
                    assert transport is not None
                    transport.abort()
                    await conn.send(b"again")
                    assert await conn.recv() == b"again"
                    # Each once: another round would have begun with the first again.
                    assert len(refused) == 6
    refusing.close()
    await refusing.wait_closed()


async def test_a_service_that_is_passed_over_is_offered_once_more() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with service([f"{number} 0 {port} 127.0.0.1." for number in range(3)]) as chat:
        turns = Endpoint.of("example.org", 1234, None, chat, None).in_turn(lambda *_: False)
        connect: Any = next(turns).sock
        (await connect()).close()
        assert len(list(itertools.islice(turns, 9))) == 1
    server.close()
    await server.wait_closed()


async def test_a_copy_of_an_outbox(tmp_path: Path) -> None:
    """Once one server has refused it, it is refused before another one is connected to."""
    outbox, copied = Outbox(tmp_path / "outbox"), Outbox(tmp_path / "copy")
    options = ClientOptions(backoff_initial=0.01, close_timeout=0.05)
    async with sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as server:
        records = [f"{number} 0 {server.port} 127.0.0.1." for number in range(3)]
        async with service(records) as chat, asyncio.timeout(3):
            for start in range(3):
                conn = await sealframe.connect(
                    "example.org", 1234, sock=chat, session=outbox, options=options
                )
                await conn.send(b"1")
                assert await conn.recv() == b"1"
                protocol_of(conn).closer.abort(sealframe.ConnectionClosedError("killed"))
                await conn.close()
                if not start:
                    shutil.copy(outbox.path, copied.path)
            with pytest.raises(SessionLostError, match="copy"):
                await sealframe.connect(
                    "example.org", 1234, sock=chat, session=copied, options=options
                )


async def test_one_that_is_busy_keeps_nobody_from_the_others() -> None:
    close = Close(CloseCode.GOING_AWAY, "restart", retry_after=60_000).encode()

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(control.frame(Opcode.CLOSE, close))
        await reader.read()
        writer.close()

    away = await asyncio.start_server(busy, "127.0.0.1", 0)
    async with sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as server:
        there = f"1 0 {server.port} 127.0.0.1."
        records = [there]
        async with service(records) as chat, asyncio.timeout(2):
            conn = await sealframe.connect(
                "example.org", 1234, sock=chat, session=True, options=OPTIONS
            )
            await conn.send(b"1")
            assert await conn.recv() == b"1"
            records[:] = [f"0 0 {away.sockets[0].getsockname()[1]} 127.0.0.1.", there]
            transport = protocol_of(conn).transport
            assert transport is not None
            transport.abort()
            await conn.send(b"2")
            assert await conn.recv() == b"2"
            await conn.close()
    away.close()
    await away.wait_closed()


async def test_the_others_are_asked_at_once_where_one_has_asked_for_time() -> None:
    one = await sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions())
    try:
        async with (
            sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions(position=_nothing)) as two,
            service([f"0 0 {one.port} 127.0.0.1.", f"1 0 {two.port} 127.0.0.1."]) as chat,
            asyncio.timeout(5),
        ):
            conn = await sealframe.connect(
                "example.org", 1234, sock=chat, session=True, options=OPTIONS
            )
            assert len(one.clients) == 1
            await one.close(retry_after=60)
            await conn.send(b"1")
            assert await conn.recv() == b"1"
            await conn.close()
    finally:
        await one.close()


async def test_one_that_has_asked_for_time_is_asked_later_and_the_others_again_and_again() -> None:
    asked = 0

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        close = Close(CloseCode.GOING_AWAY, "restart", retry_after=60_000).encode()
        writer.write(control.frame(Opcode.CLOSE, close))
        await reader.read()
        writer.close()

    away = await asyncio.start_server(busy, "127.0.0.1", 0)
    with reserved_port() as nobody:
        async with sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as server:
            there = f"1 0 {server.port} 127.0.0.1."
            late = f"0 0 {away.sockets[0].getsockname()[1]} 127.0.0.1."
            records = [there]
            async with service(records) as chat, asyncio.timeout(5):
                conn = await sealframe.connect(
                    "example.org", 1234, sock=chat, session=True, options=OPTIONS
                )
                await conn.send(b"1")
                assert await conn.recv() == b"1"
                records[:] = [late, f"1 0 {nobody} 127.0.0.1."]
                transport = protocol_of(conn).transport
                assert transport is not None
                transport.abort()
                await until(lambda: asked > 0)
                # The one that could not be reached may be there by now.
                records[:] = [late, there]
                await conn.send(b"2")
                assert await conn.recv() == b"2"
                assert asked == 1
                await conn.close()
    away.close()
    await away.wait_closed()


@pytest.mark.parametrize("lets_in", [False, True])
async def test_one_that_refuses_before_the_first_link(lets_in: bool, tmp_path: Path) -> None:
    more = Sessions() if lets_in else None
    with reserved_port() as nobody:
        records = [f"0 0 {nobody} 127.0.0.1."]
        async with (
            sealframe.serve(echo, "127.0.0.1", 0) as one,
            sealframe.serve(echo, "127.0.0.1", 0, sessions=more) as two,
            service(records) as chat,
            asyncio.timeout(2),
        ):
            conn = await sealframe.connect(
                "example.org", 1234, sock=chat, session=Outbox(tmp_path / "o"), options=OPTIONS
            )
            await conn.send(b"1")
            records[:] = [f"0 0 {one.port} 127.0.0.1.", f"1 0 {two.port} 127.0.0.1."]
            if lets_in:
                assert await conn.recv() == b"1"
            else:
                with pytest.raises(ConnectionClosed):
                    await conn.recv()
            await conn.close()


@pytest.mark.parametrize("way", ["paused", "sealed", "not there"])
async def test_what_another_server_says_does_not_end_the_session(
    way: str, port: int, tmp_path: Path
) -> None:
    """Each stores positions of its own, and the one that has the session is started again."""
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    if way == "sealed":
        known = KnownServers(tmp_path / "known")
        # All of them have it.
        known.add("example.org:1234", SERVER.public_key)
        ours["security"] = ServerIdentity(SERVER, {"anna": ANNA.public_key}, patterns=["XX"])
        theirs["security"] = ClientIdentity(ANNA, known_servers=known.path)
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions(), **ours) as two,
        service([f"0 0 {port} 127.0.0.1.", f"1 0 {two.port} 127.0.0.1."]) as chat,
        asyncio.timeout(5),
    ):
        one = await sealframe.serve(echo, "127.0.0.1", port, sessions=Sessions(), **ours)
        conn = await sealframe.connect(
            "example.org", 1234, sock=chat, session=True, options=OPTIONS, **theirs
        )
        await conn.send(b"1")
        assert await conn.recv() == b"1"
        await one.close(retry_after=0.001 if way == "not there" else 0.2)
        if way == "not there":
            await until(lambda: two.counters.accepted > 2)
        again = Sessions(position=_one)
        async with sealframe.serve(echo, "127.0.0.1", port, sessions=again, **ours):
            await conn.send(b"2")
            assert await conn.recv() == b"2"
            assert two.counters.accepted > 0
            await conn.close()


async def test_a_server_that_is_not_there_is_waited_for_while_it_can_keep_the_session(
    port: int,
) -> None:
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, sessions=Sessions()) as two,
        service([f"0 0 {port} 127.0.0.1.", f"1 0 {two.port} 127.0.0.1."]) as chat,
        asyncio.timeout(5),
    ):
        one = await sealframe.serve(echo, "127.0.0.1", port, sessions=Sessions(keep=0.1))
        conn = await sealframe.connect(
            "example.org", 1234, sock=chat, session=True, options=OPTIONS
        )
        await conn.send(b"1")
        assert await conn.recv() == b"1"
        await one.close()
        with pytest.raises(SessionLostError, match="SESSION_LOST"):
            await conn.recv()
        await conn.close()


async def _nothing(_: object) -> int:
    return 0


async def _one(_: object) -> int:
    return 1


async def test_weights() -> None:
    async with service(["0 3 1 a.example.", "0 1 2 b.example.", "9 9 3 c.example."]) as chat:
        orders = [await chat.look_up() for _ in range(100)]
    assert all(order[2] == ("c.example", 3) for order in orders)
    first = Counter(order[0] for order in orders)
    # 75 are expected, and 4.3 of deviation.
    assert 50 < first["a.example", 1] < 100
    assert first["a.example", 1] + first["b.example", 2] == 100


@pytest.mark.parametrize(
    ("records", "text"),
    [
        ([], f"cannot connect to example.org:1234: DNS has no SRV records of {NAME}"),
        (["0 0 0 ."], f"DNS says that there is no service {NAME}"),
        (["0 0 1 127.0.0.1."], f"no server of {NAME} can be reached: 127.0.0.1:1: Connection ref"),
    ],
)
async def test_nobody_there(records: list[str], text: str) -> None:
    async with service(records) as chat:
        with pytest.raises(ConnectError, match=text):
            await sealframe.connect("example.org", 1234, sock=chat)


async def test_dns_that_does_not_answer() -> None:
    async with service([]) as chat:
        resolver = chat._resolver
        assert resolver is not None
        with reserved_port() as nobody:
            resolver.port = nobody
            resolver.lifetime = 0.3
            with pytest.raises(ConnectError, match="DNS does not tell the SRV records"):
                await sealframe.connect("example.org", 1234, sock=chat)


async def test_a_system_without_dns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    empty = tmp_path / "resolv.conf"
    empty.touch()
    resolver = functools.partial(dns.asyncresolver.Resolver, filename=str(empty))
    monkeypatch.setattr(sealframe.srv, "Resolver", resolver)
    told = "DNS does not tell the SRV records"
    with pytest.raises(ConnectError, match=f"connect to example.org:1234: {told}"):
        await sealframe.connect("example.org", 1234, sock=Service(NAME))
    with pytest.raises(ConnectError, match=f"connect to {NAME}: {told}"):
        await sealframe.connect(sock=Service(NAME))


@pytest.mark.parametrize(
    "name",
    ["example.org", "_chat._udp.example.org", "_chat._tcp.example.org:1", "_chat._tcp.", "", 7],
)
def test_no_such_name(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"_service\._tcp"):
        Service(name)


@pytest.mark.parametrize("each", [0, math.inf, math.nan])
def test_no_such_time(each: float) -> None:
    with pytest.raises(ConfigurationError, match="above 0"):
        Service(NAME, each=each)


def test_without_the_package() -> None:
    program = (
        "import sys\nsys.modules['dns'] = None\n"
        "try:\n    import sealframe.srv\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith('run: pip install "sealframe[srv]"\n')
