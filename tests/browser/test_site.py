"""The site as people see it: each kind of page, wide, narrow and dark, and what a search finds.

It is built by ``tox -e site``, or by ``tox -e docs`` before. Screenshots are in build/screenshots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from documents import ROOT

from .chromium import DESKTOP, MOBILE, visiting
from .serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SITE = ROOT / "build" / "docs"

KINDS = {
    "landing": "index.html",
    "tutorial": "quickstart.html",
    "guide": "guides/client.html",
    "guides": "guides/index.html",
    "topic": "guides/closing.html",
    "reference": "reference/streams.html",
    "production": "guides/deployment.html",
    "changelog": "changelog.html",
    "search": "search.html?q=reconnect",
}
LOOKS = {
    "desktop": (DESKTOP, False),
    "mobile": (MOBILE, False),
    "dark": (DESKTOP, True),
}
# What else may depend on width or colours; the rest is the same in each look, and axe takes long.
RULES = {
    "desktop": (),
    "mobile": ("scrollable-region-focusable", "target-size"),
    "dark": ("color-contrast",),
}


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    if not (SITE / "index.html").exists():
        pytest.skip("the site is not built: tox -e docs")
    with serving(SITE) as origin:
        yield origin


@pytest.mark.parametrize("look", LOOKS)
def test_pages_shut_nobody_out(chromium: Browser, origin: str, look: str) -> None:
    """axe finds nothing serious, nothing is wider than a telephone, nothing is asked of others."""
    size, dark = LOOKS[look]
    found = []
    with visiting(chromium, origin, size=size, dark=dark) as visit:
        for kind, path in KINDS.items():
            visit.open(path)
            if kind == "search":
                visit.page.wait_for_selector("#search-results li")
            visit.screenshot(f"site-{kind}-{look}")
            found += [f"{kind}: {line}" for line in visit.violations(rules=RULES[look])]
            found += [f"{kind}: {visit.overflow()} pixels too wide"] * (visit.overflow() > 0)
        found += visit.wrong
    assert found == []


def test_no_page_is_wider_than_a_telephone(chromium: Browser, origin: str) -> None:
    """Not even the ones with the widest tables and the longest names."""
    wide = []
    with visiting(chromium, origin, size=MOBILE) as visit:
        for path in sorted(SITE.rglob("*.html")):
            name = path.relative_to(SITE).as_posix()
            visit.open(name)
            wide += [f"{name}: {visit.overflow()} pixels"] * (visit.overflow() > 0)
        assert (wide, visit.wrong) == ([], [])


def test_all_is_there_without_javascript(chromium: Browser, origin: str) -> None:
    with visiting(chromium, origin, javascript=False) as visit:
        visit.open("index.html")
        for text in ("async def greet", "Three ways to talk", "Quick start", "How fast it is"):
            assert visit.page.get_by_text(text).first.is_visible()
        visit.screenshot("site-landing-without-javascript", whole=True)
        visit.page.get_by_role("link", name="Quick start").first.click()
        assert visit.page.url.endswith("/quickstart.html")
        assert visit.wrong == []


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("reconnect", "guides/client.html"),
        ("timeout", "guides/limits.html"),
        ("lost messages", "guides/sessions.html"),
        ("encryption", "guides/keys.html"),
        ("backpressure", "guides/messages.html"),
        ("systemd", "guides/deployment.html"),
        ("SessionLostError", "reference/errors.html"),
    ],
)
def test_a_search_puts_the_right_page_first(
    chromium: Browser, origin: str, words: str, first: str
) -> None:
    with visiting(chromium, origin) as visit:
        visit.open("index.html")
        visit.page.get_by_role("searchbox").or_(visit.page.get_by_placeholder("Search")).fill(words)
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_selector("#search-results li a")
        links = visit.page.eval_on_selector_all(
            "#search-results li > a", "them => them.map(a => a.href)"
        )
        assert links[0].split("?")[0].split("#")[0] == f"{origin}/{first}", links[:5]


def test_a_button_copies_the_program_and_no_output(chromium: Browser, origin: str) -> None:
    with visiting(chromium, origin) as visit:
        visit.page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
        visit.open("quickstart.html")
        visit.page.locator(".literal-block-wrapper", has_text="server.py").first.hover()
        visit.page.locator(".literal-block-wrapper button.copybtn").first.click()
        copied = visit.page.evaluate("navigator.clipboard.readText()")
        assert copied.startswith("import asyncio\n")
        assert copied.endswith("asyncio.run(main())")
        assert visit.page.locator(".highlight-text button.copybtn").count() == 0
        names = visit.page.locator(".code-block-caption .caption-text").all_inner_texts()
        assert names[:3] == ["server.py", "client.py", "client.py prints"]


def test_paper_has_the_text_alone(chromium: Browser, origin: str) -> None:
    with visiting(chromium, origin, dark=True) as visit:
        visit.open("guides/client.html")
        visit.page.emulate_media(media="print", color_scheme="light")
        visit.screenshot("site-guide-print")
        for what in (".sidebar-drawer", ".mobile-header", ".copybtn", ".theme-toggle"):
            assert not any(one.is_visible() for one in visit.page.locator(what).all()), what
        assert visit.page.locator("article h1").is_visible()
