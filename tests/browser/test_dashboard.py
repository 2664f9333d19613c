"""The dashboard in a browser, with a thousand clients, hostile ones, and a server that goes."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import sealframe
from sealframe import Connection, Server, dashboard
from sealframe.dashboard import Dashboard
from sealframe.dashboard.access import Access
from sealframe.dashboard.census import Row
from sealframe.dashboard.serving import show
from sealframe.dashboard.source import Source, SourceError
from sealframe.dashboard.views import View

from .chromium import MOBILE, Visit, visiting

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("aiohttp", reason="aiohttp is not installed")

CLIENTS = 1000
HOSTILE = "<img src=x onerror=document.title='taken'>"
TOKEN = "abcdefghijklmnopqrstuvwxyz"
EVERY_IMPACT = ("minor", "moderate", "serious", "critical")

_T = TypeVar("_T")


@contextmanager
def in_a_thread(make: Callable[[], AbstractAsyncContextManager[_T]]) -> Iterator[_T]:
    """Enter a block in an event loop of its own: the browser's driver has this thread's."""
    entered: list[_T] = []
    ready, over = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        try:
            async with make() as value:
                entered.append(value)
                ready.set()
                await over.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield entered[0]
    finally:
        loops[0].call_soon_threadsafe(over.set)
        thread.join()


async def echo(conn: Connection) -> None:
    conn.join("room")
    async for message in conn:
        await conn.send(message)


@asynccontextmanager
async def shown(port: int = 0) -> AsyncIterator[tuple[Server, Dashboard]]:
    options = sealframe.ServerOptions(connection_rate=None)
    async with (
        sealframe.serve(echo, "127.0.0.1", 0, options=options) as server,
        dashboard.serve(server, port=port) as page,
    ):
        yield server, page


@contextmanager
def crowd(server: Server) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        yield [stack.enter_context(socket.create_connection(address, 30)) for _ in range(CLIENTS)]


def origin(page: Dashboard) -> str:
    return page.url.partition("#")[0].rstrip("/")


def state(visit: Visit, wanted: str) -> str:
    """Wait until the page is in a state; return what it says."""
    visit.page.wait_for_selector(f"body[data-state={wanted}]")
    said: str = visit.page.inner_text(".status")
    return said.strip()


def text_of(visit: Visit, selector: str, wanted: str) -> None:
    """Wait until an element has a text in it."""
    visit.page.wait_for_function(
        "([selector, wanted]) => document.querySelector(selector).textContent.includes(wanted)",
        arg=[selector, wanted],
    )


def test_a_thousand_clients(chromium: Browser) -> None:
    with in_a_thread(shown) as (server, page), crowd(server) as sockets:
        with visiting(chromium, origin(page)) as visit:
            visit.open("")
            assert state(visit, "live") == "live"
            text_of(visit, "#chart-clients", "1,000")
            text_of(visit, "#shown", "the first 30 of 1,000")
            assert visit.page.locator("#rows tr").count() == 30
            for sock in sockets[:50]:
                sock.sendall(b"\x05\x00\x00\x00hello")
            text_of(visit, "#totals", "50")
            path = "document.querySelector('#chart-clients .plot .line-0').getAttribute('d')"
            visit.page.wait_for_function(f"() => {path}?.includes('L')")

            # With the keyboard alone.
            head = visit.page.locator("th[data-key=id]")
            assert head.get_attribute("aria-sort") is None
            head.locator("button").focus()
            visit.page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == "ascending"
            first = min(server.clients)
            text_of(visit, "#rows th", first)
            visit.page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == "descending"
            visit.page.locator("#text").fill(first)
            text_of(visit, "#shown", "that match, of 1,000")
            visit.page.locator("#text").fill("")
            text_of(visit, "#shown", "the first 30 of 1,000")

            assert visit.violations(*EVERY_IMPACT) == []
            visit.screenshot("dashboard", whole=True)
            assert (visit.overflow(), visit.wrong) == (0, [])
        with visiting(chromium, origin(page), size=MOBILE, dark=True) as visit:
            visit.open("")
            text_of(visit, "#chart-clients", "1,000")
            assert visit.violations(*EVERY_IMPACT) == []
            visit.screenshot("dashboard-mobile-dark", whole=True)
            assert (visit.overflow(), visit.wrong) == (0, [])


def test_a_server_that_goes_and_comes_back(chromium: Browser) -> None:
    with ExitStack() as stack:
        with in_a_thread(shown) as (_, page):
            port = int(origin(page).rpartition(":")[2])
            visit = stack.enter_context(visiting(chromium, origin(page)))
            visit.open("")
            state(visit, "live")
        said = state(visit, "lost")
        assert re.search(r"does not answer: last seen \d\d:\d\d:\d\d\. What is below is old", said)
        struck = "getComputedStyle(document.querySelector('td.number')).textDecorationLine"
        assert visit.page.evaluate(struck) == "line-through"
        assert re.fullmatch(r"\d\d:\d\d:\d\d", visit.page.locator(".end").first.inner_text())
        assert visit.violations(*EVERY_IMPACT) == []
        visit.screenshot("dashboard-lost")
        with in_a_thread(lambda: shown(port)):
            assert state(visit, "live") == "live"
            visit.page.locator("#pause").click()
            assert state(visit, "paused").startswith("paused: last seen ")
            assert visit.violations(*EVERY_IMPACT) == []
            visit.page.locator("#pause").click()
            state(visit, "live")


class Hostile(Source):
    """All that others choose is HTML."""

    title = HOSTILE
    gone = False
    late = 0.0
    too_fast = 0

    async def look(self, views: Sequence[View]) -> dict[str, Any]:
        if self.gone:
            raise SourceError(HOSTILE)
        row = Row(*(HOSTILE,) * 4, True, *(1.0,) * 5, 1, 1, 0.1, 0, HOSTILE)
        figures = dict.fromkeys(
            ("clients", "sessions_detached", "inbox_cost", "outbox_cost", "refused", "dropped"), 1
        )
        server = {"label": HOSTILE, "started": 0, "clients": 1, "state": HOSTILE}
        cluster = {"connected": True, "server_id": "", "clients": 1, "servers": {HOSTILE: server}}
        summary = {
            **figures,
            "time": asyncio.get_running_loop().time() - self.late,
            "version": HOSTILE,
            "rates": {},
            "round_trip": None,
            "refusals": {"too_fast": self.too_fast},
            "totals": {},
            "cluster": cluster,
        }
        view = {"text": ""}
        table = {"view": view, "matching": 1, "rows": [row._asdict()]}
        return {"summary": summary, "tables": [table for _ in views]}

    def rest(self) -> None:
        pass


def test_what_others_choose_is_text(chromium: Browser) -> None:
    source = Hostile()
    with in_a_thread(lambda: show(source, "127.0.0.1", 0, Access("127.0.0.1"))) as page:
        with visiting(chromium, origin(page)) as visit:
            visit.open("")
            state(visit, "live")
            for selector in ("#title", "#rows", "#servers", "#version"):
                text_of(visit, selector, HOSTILE)
            source.gone = True
            assert HOSTILE in state(visit, "lost")
            assert visit.page.title() == HOSTILE
            assert visit.page.locator("img").count() == 0
            assert visit.wrong == []


def test_what_comes_late_is_not_live_and_what_began_again_is_counted_from_0(
    chromium: Browser,
) -> None:
    source = Hostile()
    source.too_fast = 100
    with in_a_thread(lambda: show(source, "127.0.0.1", 0, Access("127.0.0.1"))) as page:
        with visiting(chromium, origin(page)) as visit:
            visit.open("")
            state(visit, "live")
            text_of(visit, "#refusals tr td:nth-child(3)", "100")
            text_of(visit, "#refusals tr td:nth-child(2)", "0")
            source.too_fast = 60
            text_of(visit, "#refusals tr td:nth-child(2)", "60")
            source.late = 5.0
            assert state(visit, "lost").startswith("figures come late: last seen ")
            source.late = 0.0
            state(visit, "live")


def test_an_error_of_a_proxy_is_not_for_ever(chromium: Browser) -> None:
    def open_page() -> Dashboard:
        return show(Hostile(), "127.0.0.1", 0, Access("127.0.0.1"))

    with in_a_thread(open_page) as page, visiting(chromium, origin(page)) as visit:
        visit.page.route("**/enter", lambda route: route.fulfill(status=502, body="bad gateway"))
        visit.open("")
        assert "HTTP 502" in state(visit, "lost")
        visit.page.unroute("**/enter")
        state(visit, "live")


def test_a_token_lets_in_and_is_gone_from_the_address(chromium: Browser) -> None:
    def open_page() -> Dashboard:
        return show(Hostile(), "127.0.0.1", 0, Access("127.0.0.1", TOKEN))

    with in_a_thread(open_page) as page, visiting(chromium, origin(page)) as visit:
        visit.open("")
        said = state(visit, "refused")
        assert "Open the address that the dashboard has printed" in said
        assert visit.violations(*EVERY_IMPACT) == []
        visit.page.goto("about:blank")
        visit.open(f"#token={TOKEN}")
        state(visit, "live")
        assert visit.page.url == f"{origin(page)}/"
        assert visit.page.evaluate("document.cookie") == ""
        # The cookie stands for it from now on.
        visit.page.reload()
        state(visit, "live")
