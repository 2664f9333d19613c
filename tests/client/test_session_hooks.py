"""A session whose link is lost before the program has its connection."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from aio.ends import PATIENCE
from aio.identities import ANNA, SERVER
from aio.links import Road, cut
from aio.scripted import until

import sealframe
from sealframe import ClientIdentity, Connection, LinkChange, PublicKey, ServerIdentity, Sessions
from sealframe.trust.known_servers import ServerVerifier

pytest.importorskip("cryptography", reason="cryptography is not installed")

pytestmark = pytest.mark.usefixtures("no_leaks")


async def test_on_link_is_called_after_on_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, released = threading.Event(), threading.Event()
    record = ServerVerifier.record

    def slow(self: ServerVerifier, key: PublicKey) -> None:
        reached.set()
        assert released.wait(PATIENCE)
        record(self, key)

    monkeypatch.setattr(ServerVerifier, "record", slow)
    accepted: list[Connection] = []
    order: list[str] = []

    async def handler(conn: Connection) -> None:
        accepted.append(conn)
        await conn.wait_closed()

    def on_connect(conn: Connection) -> None:
        order.append(f"on_connect {conn.connected}")

    def on_link(conn: Connection, change: LinkChange) -> None:
        order.append(f"on_link {change.connected} {type(change.error).__name__}")

    security = ServerIdentity(SERVER, {"anna": ANNA.public_key}, patterns=("XX",))
    road = Road()
    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, security=security, sessions=Sessions()) as server,
    ):
        road.target = server.port
        connecting = sealframe.connect(
            "127.0.0.1",
            server.port,
            security=ClientIdentity(ANNA, known_servers=tmp_path / "known", trust_first_use=True),
            session=True,
            sock=road.connect,
            on_connect=on_connect,
            on_link=on_link,
        )
        dialling = asyncio.ensure_future(connecting)
        await until(lambda: reached.is_set() and bool(accepted))
        road.shut()
        cut(accepted[0])
        await until(lambda: road.asked == 2)
        assert not dialling.done()
        released.set()
        conn = await dialling
        assert order == ["on_connect False", "on_link False TruncatedError"]
        road.open()
        await conn.wait_connected()
        assert order[2:] == ["on_link True NoneType"]
        assert await conn.close()
