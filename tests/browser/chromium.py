"""Headless Chromium, for tests of pages that people look at.

The browser is the system's, driven by playwright; none is downloaded. A page is opened at an
origin, and notes what it should not do: requests to anywhere else, which are not let out, what the
console calls an error, answers of 400 and more. axe-core, which comes with axe-playwright-python,
looks for what shuts people out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response, Route

SHOTS = Path(__file__).parents[2] / "build" / "screenshots"
"""Where screenshots are kept, to be looked at. They are not compared."""

DESKTOP = (1280, 900)
MOBILE = (360, 740)
PATIENCE_MS = 10_000
"""How long a page may take for anything, in milliseconds: the machine may be busy."""

SERIOUS = ("serious", "critical")


def missing() -> str | None:
    """Return why no browser can be had here, or None."""
    try:
        import axe_playwright_python.sync_playwright  # noqa: F401
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright and axe are not installed: tox -e site"
    return None if executable() else "there is no chromium: apt-get install chromium"


def executable() -> str | None:
    """Return the system's Chromium, or what the variable SEALFRAME_CHROMIUM names."""
    named = os.environ.get("SEALFRAME_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """Run a browser until the end of the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Root, as which CI runs, has no sandbox in Chromium; and it looks at our own pages alone.
        browser = playwright.chromium.launch(
            executable_path=executable(),
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass(slots=True)
class Visit:
    """One page in a window of its own, and what it did wrong so far.

    :param page: playwright's page
    :param origin: such as ``"http://127.0.0.1:1234"``; all else is outside
    :param wrong: what it did that it should not, a line each
    """

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a path of the origin, and wait until all that it names is loaded."""
        self.page.goto(f"{self.origin}/{path}", wait_until="load")

    def screenshot(self, name: str, *, whole: bool = False) -> Path:
        """Keep what is seen, or the whole page, as build/screenshots/NAME.png."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole, animations="disabled")
        return path

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        width: int = self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def violations(self, *impacts: str, rules: Sequence[str] = ()) -> list[str]:
        """Return what axe finds of these impacts, a line for each element.

        :param impacts: serious and critical where none is named
        :param rules: the rules of axe to try; all of them where none is named
        """
        from axe_playwright_python.sync_playwright import Axe

        options = {"runOnly": list(rules)} if rules else {}
        found: list[dict[str, Any]] = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{rule['impact']} {rule['id']}: {' '.join(map(str, node['target']))}: "
            f"{node['failureSummary']}"
            for rule in found
            if rule["impact"] in (impacts or SERIOUS)
            for node in rule["nodes"]
        ]


@contextmanager
def visiting(
    browser: Browser,
    origin: str,
    *,
    size: tuple[int, int] = DESKTOP,
    dark: bool = False,
    javascript: bool = True,
) -> Iterator[Visit]:
    """Open an empty window until the end of the block.

    :param size: width and height of the window, in pixels of CSS
    :param dark: whether the person prefers dark pages
    :param javascript: whether scripts of pages run; axe needs them
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if dark else "light",
        java_script_enabled=javascript,
        # Not what moves, but where it ends: animations are off where one asks for that.
        reduced_motion="reduce",
        service_workers="block",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    visit = Visit(page, origin)

    def stay(route: Route) -> None:
        url = route.request.url
        if url.startswith((f"{origin}/", "data:", "blob:")):
            route.continue_()
        else:
            visit.wrong.append(f"a request to {url}")
            route.abort()

    def answered(response: Response) -> None:
        if response.status >= 400:
            visit.wrong.append(f"{response.status} {response.url}")

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            visit.wrong.append(f"console: {message.text}")

    context.route("**/*", stay)
    page.on("response", answered)
    page.on("console", said)
    page.on("pageerror", lambda error: visit.wrong.append(f"error in a script: {error}"))
    try:
        yield visit
    finally:
        context.close()
