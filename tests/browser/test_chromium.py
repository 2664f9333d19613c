"""The browser of these tests finds what it is there to find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .chromium import MOBILE, visiting
from .serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GOOD = """<!doctype html><html lang="en"><title>Good</title><link rel="icon" href="data:,">
<main><h1>A page</h1><p>of words</p></main></html>"""
BAD = """<!doctype html><html><title>Bad</title><link rel="icon" href="data:,">
<main><h1>A page</h1><img src="missing.png"><p style="width: 600px">wide</p>
<script src="http://192.0.2.1/outside.js"></script><script>throw new Error("thrown")</script>
</main></html>"""


def test_a_good_page_has_nothing_wrong(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "good.html").write_text(GOOD, encoding="utf-8")
    with serving(tmp_path) as origin, visiting(chromium, origin, size=MOBILE) as visit:
        visit.open("good.html")
        assert (visit.overflow(), visit.violations(), visit.wrong) == (0, [], [])


def test_all_that_is_wrong_with_a_page_is_found(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD, encoding="utf-8")
    with serving(tmp_path) as origin, visiting(chromium, origin, size=MOBILE) as visit:
        visit.open("bad.html")
        assert visit.overflow() > 200
        assert {line.split(":")[0] for line in visit.violations()} == {
            "serious html-has-lang",
            "critical image-alt",
        }
        said = "\n".join(visit.wrong)
    assert "a request to http://192.0.2.1/outside.js" in said
    assert "404 " in said
    assert "thrown" in said
