"""The dashboard over HTTP, on loopback: its headers, whom it answers, and its stream."""

from __future__ import annotations

import asyncio
import builtins
import json
import logging
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from aio.ends import PATIENCE, Mode, dial, start
from aio.scripted import until

import sealframe
from sealframe import (
    ConfigurationError,
    Connection,
    ListenError,
    MissingExtraError,
    Server,
    WrongLoopError,
    dashboard,
)
from sealframe.dashboard import Dashboard, serving
from sealframe.dashboard.access import Access
from sealframe.dashboard.hub import MAX_VIEWERS, POINT
from sealframe.dashboard.serving import show
from sealframe.dashboard.source import ServerSource, Source
from sealframe.dashboard.views import View

from .pages import ask, asking, events, head, port_of

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

PLAIN = Mode("packets")
TOKEN = "abcdefghijklmnopqrstuvwxyz"


async def echo(conn: Connection) -> None:
    async for message in conn:
        await conn.send(message)


@asynccontextmanager
async def shown(**options: Any) -> AsyncIterator[tuple[Server, Dashboard]]:
    async with start(echo, PLAIN) as server, dashboard.serve(server, port=0, **options) as page:
        yield server, page


@pytest.mark.parametrize(
    ("path", "kind", "part"),
    [
        ("/", "text/html", "<!doctype html>"),
        ("/dashboard.css", "text/css", "prefers-color-scheme"),
        ("/dashboard.js", "text/javascript", "EventSource"),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ],
)
async def test_a_page_and_its_parts_come_with_what_keeps_others_out(
    path: str, kind: str, part: str
) -> None:
    async with shown() as (_, page):
        answer = await ask(page, path)
    assert (answer.status, part in answer.body) == (200, True)
    assert answer.headers["Content-Type"].startswith(kind)
    policy = answer.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy)
    assert not re.search(r"unsafe|http|\*", answer.headers["Content-Security-Policy"])
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Server"] == "sealframe"
    assert answer.headers["X-Accel-Buffering"] == "no"
    # Nothing of a page names another place.
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", answer.body)


async def test_what_a_page_gets() -> None:
    async with shown() as (server, page), dial(server, PLAIN) as conn:
        await conn.send(b"hello")
        await conn.recv()
        [id] = server.clients
        async with asking(page, "/events?text=127&sort=id") as reader:
            answer = await head(reader)
            assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
            first, second = await events(reader, 2)
        assert first == ("history", [])
        assert second[0] == "look"
        assert second[1]["summary"]["totals"]["messages_received"] == 1
        assert [row["id"] for row in second[1]["table"]["rows"]] == [id]
        after = second[1]["summary"]["time"]
        for headers, query in (([f"Last-Event-ID: {after}"], ""), ([], f"?after={after}")):
            async with asking(page, f"/events{query}", *headers) as reader:
                await head(reader)
                assert (await events(reader, 1))[0] == ("history", [])
        async with asking(page, "/events") as reader:
            await head(reader)
            assert (await events(reader, 1))[0][1][0]["time"] == after


@pytest.mark.parametrize("query", ["sort=nothing", "limit=1000", "after=x", f"text={'x' * 101}"])
async def test_what_is_no_view_is_refused(query: str) -> None:
    async with shown() as (_, page):
        assert (await ask(page, f"/events?{query}")).status == 400


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize("path", ["/", "/events", "/enter"])
async def test_there_is_nothing_but_get(method: str, path: str) -> None:
    async with shown() as (_, page):
        answer = await ask(page, path, method=method)
        assert answer.status == 405
        assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("path", ["/", "/events", "/enter", "/nothing"])
async def test_a_name_that_is_not_known_gets_nothing(path: str) -> None:
    """A page elsewhere whose name leads to this machine would be read as its own."""
    async with shown() as (_, page):
        assert (await ask(page, path, host="evil.example")).status == 421
        assert (await ask(page, path, "Host: 127.0.0.1", host="evil.example")).status in (400, 421)
        assert (await ask(page, f"http://127.0.0.1{path}", host="evil.example")).status in (
            400,
            421,
        )
    async with shown(hosts=["status.example"]) as (_, page):
        assert (await ask(page, "/", host="status.example:8080")).status == 200
        # A proxy may name the dashboard's own address; whoever reaches it is not of this machine.
        for host in ("status.example", "127.0.0.1"):
            assert (await ask(page, "/events", host=host)).status == 401
            assert (await ask(page, "/enter", host=host)).status == 401


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_the_page_of_another_site_takes_nobodys_place(site: str) -> None:
    async with shown() as (_, page):
        for path in ("/events", "/enter"):
            assert (await ask(page, path, f"Sec-Fetch-Site: {site}")).status == 403
        assert (await ask(page, "/", f"Sec-Fetch-Site: {site}")).status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_the_token(host: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with shown(host=host, token=TOKEN) as (_, page):
        assert page.url.endswith(f"/#token={TOKEN}")
        assert TOKEN not in repr(page)
        # The page itself is for everybody, its figures are not.
        assert (await ask(page, "/")).status == 200
        assert (await ask(page, "/events")).status == 401
        for headers in ([], ["Authorization: Bearer wrong"], [f"Cookie: token={TOKEN}"]):
            refused = await ask(page, "/enter", *headers)
            assert (refused.status, "Set-Cookie" in refused.headers) == (401, False)
        # It is in no address, which would be logged, and kept by browsers.
        assert (await ask(page, f"/enter?token={TOKEN}")).status == 401
        entered = await ask(page, "/enter", f"Authorization: Bearer {TOKEN}")
        assert entered.status == 200
        cookie, *rest = entered.headers["Set-Cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(rest)
        assert TOKEN not in cookie
        assert str(port_of(page)) in cookie.partition("=")[0]
        again = await ask(page, "/enter", f"Cookie: {cookie}")
        assert (again.status, "Set-Cookie" in again.headers) == (200, False)
        async with asking(page, "/events", f"Cookie: {cookie}") as reader:
            assert (await head(reader)).status == 200
            assert (await events(reader, 2))[1][0] == "look"
        assert (await ask(page, "/events", f"Cookie: {cookie}0")).status == 401
    assert TOKEN not in caplog.text


async def test_other_addresses_than_loopback_have_a_token_in_any_case() -> None:
    async with shown(host="0.0.0.0") as (_, page):
        assert len(page.url.partition("#token=")[2]) >= 43
        # Nobody can open the address that stands for all.
        assert page.url.startswith(f"http://127.0.0.1:{port_of(page)}/")
        assert (await ask(page, "/events")).status == 401


async def test_as_many_pages_as_may_watch() -> None:
    async with shown() as (_, page), AsyncExitStack() as stack:
        for _ in range(MAX_VIEWERS):
            reader = await stack.enter_async_context(asking(page, "/events"))
            assert (await head(reader)).status == 200
        refused = await ask(page, "/events")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
        assert refused.body.startswith(f"{MAX_VIEWERS} pages watch already")
        # A page cannot read that of an EventSource, so it is told before.
        assert json.loads((await ask(page, "/enter")).body)["full"] is True
        await stack.aclose()
        async with asyncio.timeout(PATIENCE):
            while True:
                async with asking(page, "/events") as reader:
                    if (await head(reader)).status == 200:
                        break


async def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_MAX_CONNECTIONS", 3)
    async with shown() as (_, page):
        streams = [await asyncio.open_connection("127.0.0.1", port_of(page)) for _ in range(3)]
        try:
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await ask(page, "/")
        finally:
            for _, writer in streams:
                writer.close()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    assert (await ask(page, "/")).status == 200
                    break
                except (ConnectionError, asyncio.IncompleteReadError):
                    await asyncio.sleep(0)


class Flood(Source):
    """Has a lot to say, as often as it is asked."""

    title = "flood"
    rested = False

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        summary = dict.fromkeys(
            ("clients", "sessions_detached", "rates", "inbox_cost", "outbox_cost", "round_trip"), 0
        )
        summary |= {"time": 0, "refused": 0, "dropped": 0}
        return {"summary": summary, "tables": ["x" * 4_000_000 for _ in views]}

    def rest(self) -> None:
        self.rested = True


@asynccontextmanager
async def slowly_asking(page: Dashboard) -> AsyncIterator[socket.socket]:
    """Ask for events as one whose system keeps next to nothing, and which reads when it likes."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", port_of(page)))
        await loop.sock_sendall(sock, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield sock


async def test_a_page_that_does_not_read_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up in time, and until then nothing piles up for it."""
    monkeypatch.setattr("sealframe.dashboard.web._WRITE_TIMEOUT", 1.5)
    source = Flood()
    async with show(source, "127.0.0.1", 0, Access("127.0.0.1")) as page:
        async with slowly_asking(page) as silent:
            loop = asyncio.get_running_loop()
            async with asking(page, "/events") as reader:
                await head(reader)
                for _ in range(2):
                    part = b"-"
                    while part and b"\n\n" not in part:
                        part = await reader.read(1 << 20)
            # Both are gone: the other one has been given up.
            await until(lambda: source.rested)
            received = 0
            with suppress(ConnectionError):
                while chunk := await loop.sock_recv(silent, 1 << 20):
                    received += len(chunk)
            # A part of one event.
            assert received < 4_000_000


class Numbers(Source):
    """Has another 8 kB with each look."""

    title = "numbers"
    last = 0

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        self.last += 1
        summary = dict.fromkeys(POINT) | {"time": float(self.last), "text": "x" * 8192}
        return {"summary": summary, "tables": [None for _ in views]}

    def rest(self) -> None:
        pass


async def test_events_for_a_slow_page_do_not_get_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system would keep for it, up to megabytes, would be drawn long afterwards."""
    monkeypatch.setattr("sealframe.dashboard.hub._INTERVAL", 0.002)
    monkeypatch.setattr("sealframe.dashboard.hub._BETWEEN", 0.001)
    source = Numbers()
    async with show(source, "127.0.0.1", 0, Access("127.0.0.1")) as page:
        async with slowly_asking(page) as slow:
            loop = asyncio.get_running_loop()
            await until(lambda: source.last > 200)
            newest, waited = source.last, b""
            async with asyncio.timeout(PATIENCE):
                while not _later(waited.decode(), newest):
                    waited += await loop.sock_recv(slow, 1 << 16)
    # All before the newest one was old: 16 KiB, which the system may double, and both ends' rest.
    # aiohttp by itself lets 64 KiB wait.
    assert len(waited) < 56_000


def _later(text: str, newest: int) -> bool:
    return any(float(id) >= newest for id in re.findall(r"^id: (\S+)\n", text, re.MULTILINE))


async def test_the_end_closes_pages() -> None:
    async with AsyncExitStack() as stack:
        _, page = await stack.enter_async_context(shown())
        reader = await stack.enter_async_context(asking(page, "/events"))
        await head(reader)
        await events(reader, 2)
        begun = asyncio.get_running_loop().time()
        ending = asyncio.create_task(stack.pop_all().aclose())
        await reader.read()
        await ending
        assert asyncio.get_running_loop().time() - begun < PATIENCE
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "sealframe dashboard"]
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await ask(page, "/")


async def test_an_address_that_is_taken(port: int) -> None:
    async with shown() as (server, page):
        taken = port_of(page)
        with pytest.raises(ListenError, match=f"dashboard cannot listen on 127.0.0.1:{taken}: "):
            async with dashboard.serve(server, port=taken):
                pass
        with pytest.raises(ListenError, match=r"nothing\.invalid"):
            async with dashboard.serve(server, "nothing.invalid"):
                pass


async def test_what_cannot_be_shown() -> None:
    with pytest.raises(ConfigurationError, match="not object"):
        dashboard.serve(object())  # type: ignore[arg-type]

    async def elsewhere(server: Server) -> None:
        with pytest.raises(WrongLoopError, match="another event loop"):
            ServerSource(server)

    async with start(echo, PLAIN) as server:
        await asyncio.to_thread(asyncio.run, elsewhere(server))


def test_without_aiohttp_there_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "aiohttp":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r'pip install "sealframe\[dashboard\]"'):
        dashboard.serve(sealframe)  # type: ignore[arg-type]


async def test_a_server_that_is_closed_is_shown_without_clients() -> None:
    async with shown() as (server, page):
        async with dial(server, PLAIN):
            await until(lambda: len(server.clients) == 1)
        await server.close()
        async with asking(page, "/events") as reader:
            await head(reader)
            assert (await events(reader, 2))[1][1]["summary"]["clients"] == 0
