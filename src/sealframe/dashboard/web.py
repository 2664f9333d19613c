"""The dashboard over HTTP: one page, its parts, and a stream of events. Only GET."""

from __future__ import annotations

import asyncio
import socket
from importlib.resources import files
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from .access import Access
from .hub import MAX_VIEWERS, Hub, TooManyViewersError
from .views import View, ViewError

_PAGE: Final = {
    "/": ("index.html", "text/html"),
    "/dashboard.css": ("dashboard.css", "text/css"),
    "/dashboard.js": ("dashboard.js", "text/javascript"),
    "/figures.mjs": ("figures.mjs", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}

_HEADERS: Final = {
    # All of it comes from here, nothing runs that is not a file of this package, and text is
    # never taken for HTML.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
    # nginx would keep events until it has a buffer full of them.
    "X-Accel-Buffering": "no",
    "Server": "sealframe",
}

_SEND_BUFFER: Final = 16 * 1024
"""Bytes of events that the system may keep for a page: what waits there gets old. It grows them by
itself otherwise, to some megabytes. Linux keeps twice as much."""

_WRITE_TIMEOUT: Final = 30.0
"""Seconds that a page may take for one event before it is taken for dead."""


def application(hub: Hub, access: Access) -> web.Application:
    """Return the application."""
    return _Pages(hub, access).application


class _Pages:
    def __init__(self, hub: Hub, access: Access) -> None:
        self._hub = hub
        self._access = access
        folder = files(__package__) / "page"
        self._files = {
            path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _PAGE.items()
        }
        self.application = web.Application(middlewares=[self._guard])
        self.application.on_response_prepare.append(_set_headers)
        for path in _PAGE:
            self.application.router.add_get(path, self._file, allow_head=False)
        self.application.router.add_get("/enter", self._enter, allow_head=False)
        self.application.router.add_get("/events", self._events, allow_head=False)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "GET":
            raise web.HTTPMethodNotAllowed(request.method, ["GET"])
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._access.knows_host(hosts[0]):
            raise web.HTTPMisdirectedRequest(
                text="This dashboard is not known by that name: use its address, or give the name "
                "where it is started: hosts= in a program, --host-name of sealframe dashboard.\n"
            )
        return await handler(request)

    async def _file(self, request: web.Request) -> web.Response:
        body, kind = self._files[request.path]
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def _enter(self, request: web.Request) -> web.Response:
        """Give whoever shows the token a cookie; one without a token needs none."""
        _check_same_site(request)
        answer = web.json_response({"title": self._hub.title, "full": self._hub.full})
        if self._may_look(request):
            return answer
        if not self._access.lets_in(request.headers.get("Authorization")):
            raise web.HTTPUnauthorized(
                text="Open the address that the dashboard has printed, with its token.\n",
                headers={"WWW-Authenticate": "Bearer"},
            )
        answer.set_cookie(
            self._cookie_name(request), self._access.cookie, httponly=True, samesite="Strict"
        )
        return answer

    async def _events(self, request: web.Request) -> web.StreamResponse:
        _check_same_site(request)
        if not self._may_look(request):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": "Bearer"})
        try:
            view = View.parse(request.query)
            after = float(request.headers.get("Last-Event-ID") or request.query.get("after", "0"))
        except (ViewError, ValueError) as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        try:
            with self._hub.viewing(view) as viewer:
                response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
                writer = await response.prepare(request)
                transport = request.transport
                if transport is None or writer is None:
                    raise ConnectionResetError
                # aiohttp lets 64 KiB wait here, unless it is paused as long as anything does.
                transport.set_write_buffer_limits(0)
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                event: bytes | None = self._hub.history(after)
                while event is not None:
                    # While this waits, newer events take each other's place.
                    async with asyncio.timeout(_WRITE_TIMEOUT):
                        await response.write(event)
                        await writer.drain()
                    event = await viewer.next()
        except TooManyViewersError:
            raise web.HTTPServiceUnavailable(
                text=f"{MAX_VIEWERS} pages watch already, and no more may: close one of them.\n",
                headers={"Retry-After": "10"},
            ) from None
        except ConnectionError:
            pass  # It is gone.
        except TimeoutError:
            # It does not read, and would not read that this is the end.
            if request.transport is not None:
                request.transport.abort()
        return response

    def _may_look(self, request: web.Request) -> bool:
        return self._access.may_look(request.cookies.get(self._cookie_name(request)))

    def _cookie_name(self, request: web.Request) -> str:
        """Cookies are the same for all ports of a host: each dashboard has a name of its own."""
        assert request.transport is not None
        return f"sealframe_dashboard_{request.transport.get_extra_info('sockname')[1]}"


def _check_same_site(request: web.Request) -> None:
    """Refuse what the page of another site asks for: it could not read the answer, but it could
    take the place of one that may."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise web.HTTPForbidden(text="This is for the dashboard's own page.\n")


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
