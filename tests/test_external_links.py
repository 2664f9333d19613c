"""Links that lead out are well formed. Whether anybody answers there no test here can know:
``sphinx-build -b linkcheck`` asks, on a machine that reaches the web."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

import pytest
from documents import ROOT

FOLDERS = ("docs", "examples", "findings", "share", "src", "benchmarks")
KINDS = {".md", ".rst", ".py", ".html", ".svg", ".toml", ".service", ".socket", ".yaml"}

# What stands behind it ends a link, or makes the text a template and no link.
LINK = re.compile(r"\bhttps?://[^\s<>\"'`\\|]*")
TEMPLATE = re.compile(r"[{}%]|\.\.\.|^https?://$")

NO_WEB = ("127.0.0.1", "0.0.0.0", "localhost", "[::1]", "::1")
"""Hosts of this machine: they have no TLS."""

NAMESPACES = ("http://www.w3.org/",)
"""Names, which nobody opens."""

GITHUB = re.compile(
    r"/[\w.-]+/[\w.-]+(/((blob|tree|commit|issues|pull|releases|actions)(/\S+)?)?)?|/[\w.-]+/?"
)
RFC = re.compile(r"/(rfc|info)/rfc[1-9]\d{1,3}(\.html|\.txt)?/?|/errata/\S*")


def links(text: str) -> list[str]:
    """Return what a text leads to, without the signs that belong to the sentence."""
    cut = [_end(link) for link in LINK.findall(text)]
    return [link for link in cut if not TEMPLATE.search(link)]


def _end(link: str) -> str:
    """Leave out what ends the sentence, and a bracket that was opened before the link."""
    open_before = re.search(r"^[^()]*(\([^()]*\)[^()]*)*", link)
    assert open_before is not None
    return open_before[0].rstrip(".,;:!?*")


def wrong(link: str) -> str | None:
    """Return what is wrong with a link; None if it may be right."""
    if link.startswith(NAMESPACES):
        return None
    try:
        parts: SplitResult = urlsplit(link)
        port = parts.port
    except ValueError as error:
        return str(error)
    host = parts.hostname or ""
    if host in NO_WEB or host.endswith((".example", ".example.org")) or host == "example.org":
        return None
    if parts.scheme != "https":
        return "no https"
    if not re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", host):
        return "no host of the web"
    if port is not None or parts.username is not None:
        return "a port or a user"
    if "//" in parts.path:
        return "an empty part of the path"
    if host in ("github.com", "www.github.com") and not GITHUB.fullmatch(parts.path):
        return "no page of GitHub: /OWNER/NAME, then blob, tree, commit, issues, pull or releases"
    if host.endswith(("rfc-editor.org", "ietf.org")) and not RFC.fullmatch(parts.path):
        return "no RFC: https://www.rfc-editor.org/rfc/rfcNUMBER"
    return None


def test_links_that_lead_out_are_well_formed() -> None:
    paths = [path for name in FOLDERS for path in (ROOT / name).rglob("*")] + [*ROOT.glob("*.*")]
    found = {
        (path.relative_to(ROOT).as_posix(), link)
        for path in paths
        if path.suffix in KINDS
        for link in links(path.read_text(encoding="utf-8"))
    }
    assert len(found) > 30
    assert [
        f"{path}: {link}: {fault}" for path, link in sorted(found) if (fault := wrong(link))
    ] == []


def test_a_number_of_an_rfc_can_be_one() -> None:
    """Most are named in text alone, and RFC 2782 easily becomes RFC 27882."""
    named = {
        number
        for folder in ("docs", "src", "ext")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {*KINDS, ".pyx", ".pxi"}
        for number in re.findall(r"\bRFCs? ?(\d+)", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert [number for number in named if not 1 <= int(number) <= 9999 or number[0] == "0"] == []


@pytest.mark.parametrize(
    "link",
    [
        "http://nats.io",
        "https://nats",
        "https://github.com/noiseprotocol/noise_hfs_spec/blobs/master/x",
        "https://www.rfc-editor.org/rfc/9110",
        "https://nats.io//download",
        "https://docs.nats.io:80:90/",
    ],
)
def test_what_is_malformed_is_seen(link: str) -> None:
    assert links(f"[a page]({link}), and more") == [link]
    assert wrong(link) is not None


def test_a_sentence_ends_no_link() -> None:
    text = "See [NATS](https://nats.io) (or https://en.wikipedia.org/wiki/A_(b)), http://{host}/."
    assert links(text) == ["https://nats.io", "https://en.wikipedia.org/wiki/A_(b)"]
