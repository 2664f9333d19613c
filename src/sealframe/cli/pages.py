"""What is served over HTTP, as it is told to people: where, and who else can reach it."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from .address import is_everywhere
from .output import Output


class Page(NamedTuple):
    """What a browser goes to."""

    url: str
    """Of one page, or of several, with commas between."""
    note: str
    """What else there is to say, in words; often nothing."""


def note_on(host: str) -> str:
    """Return what to say of where an HTTP server listens, beside its URL.

    :param host: a name, or an address
    """
    # A name is no address, and not that of all of them.
    with suppress(ValueError):
        if is_everywhere(host):
            kind = "IPv6" if ":" in host else "IPv4"
            return f"it listens at every {kind} address of this machine"
    return ""


def tell(what: str, page: Page, output: Output) -> None:
    """Print it: the URL ends its line, so that it can be copied, or read by a program."""
    output.line(f"{what} at {page.url}")
    if page.note:
        output.line(f"  {page.note}")
