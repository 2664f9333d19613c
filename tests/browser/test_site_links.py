"""No link of the built site leads to a page or an anchor that is not there.

``SEALFRAME_SITE`` is the folder of the site, which ``tox -e docs`` builds before.
"""

from __future__ import annotations

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(os.environ.get("SEALFRAME_SITE", ""))

pytestmark = pytest.mark.skipif(
    "SEALFRAME_SITE" not in os.environ, reason="the site is not built: tox -e docs"
)


class Links(HTMLParser):
    """The anchors of a page, and where it leads: links, pictures, scripts, styles."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.targets: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value and tag != "use":
                self.targets.add(value)


def test_no_link_leads_nowhere() -> None:
    pages = {page.resolve(): Links(page) for page in SITE.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            path = (page.parent / unquote(url.path)).resolve() if url.path else page
            anchor = unquote(url.fragment)
            if not path.exists() or (
                anchor and path in pages and anchor not in pages[path].anchors
            ):
                broken.append(f"{page.name}: {target}")
    assert len(pages) > 50
    assert broken == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    """A page names no script, style or picture of another host."""
    outside = []
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag in ("<script", "<link", "<img", "<iframe", "<source"):
            for part in text.split(tag)[1:]:
                head = part.split(">")[0]
                if 'src="http' in head or 'src="//' in head or (tag == "<link" and "//" in head):
                    outside.append(f"{page.name}: {tag}{head}>")
    assert outside == []
