"""The table of docs/compare.md, made of the results: ``python -m compare.page`` mends the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from .promises import PEERS
from .results import Results, load

PAGE: Final = Path(__file__).parents[2] / "docs" / "compare.md"
BEGIN: Final = "<!-- results: written by `python -m compare.page` -->\n"
END: Final = "<!-- end of results -->\n"

Cell = Callable[[dict[str, Any]], str]


def yes(key: str) -> Cell:
    """Return what shows a truth."""
    return lambda fact: "yes" if fact[key] else "no"


def _lost(fact: dict[str, Any]) -> str:
    return f"{fact['lost']}, {fact['silently']} in silence" if fact["lost"] else "0"


def _waits(fact: dict[str, Any]) -> str:
    if not fact["waits"]:
        return f"never, {fact['held']} MiB held"
    return f"after {fact['sent']} MiB"


def _crowd(fact: dict[str, Any]) -> str:
    return f"{fact['got']:,}, {fact['held']} MiB held"


def _known(fact: dict[str, Any]) -> str:
    return "yes" if fact["stranger_refused"] and fact["impostor_refused"] else "no"


def _scanned(fact: dict[str, Any]) -> str:
    if fact["status"]:
        return f"answers {fact['status']}"
    if not fact["lines"]:
        return "no word"
    lines = "1 line" if fact["lines"] == 1 else f"{fact['lines']} lines"
    return f"{lines}, names HTTP" if fact["named"] else lines


ROWS: Final[tuple[tuple[str, str, Cell], ...]] = (
    ("A client that starts before its server gets through", "starts_first", yes("connected")),
    ("After a cut the client is connected again", "cut", lambda fact: str(fact["again"])),
    ("Messages of 2,000 that a cut loses", "cut", _lost),
    ("The last message to an end that dies", "dying", lambda fact: str(fact["outcome"])),
    ("A sender waits for a reader that has stopped", "slow_reader", _waits),
    ("Messages of 1,000 that two clients get while a third has stopped", "broadcast", _crowd),
    ("Messages of 100 that a cancelled receive loses", "cancelled", lambda f: str(f["lost"])),
    ("Lines: many requests at once, with a time-out", "requests", lambda f: str(f["lines"])),
    ("Lines: a file, whole and verified", "file", lambda f: str(f["lines"])),
    ("Encrypted", "private", yes("encrypted")),
    ("Each end refuses whoever has not the right key", "private", _known),
    ("Needs no certificate for that", "private", yes("without_certificates")),
    ("Talks to what knows `{int32, little-endian}{data}` alone", "foreign", yes("answered")),
    ("An HTTP client on the port, in the log", "scanner", _scanned),
    ("Processes to run beside the two programs", "scanner", lambda fact: str(fact["beside"])),
    ("A message for one who comes when the sender has gone", "away", yes("delivered")),
    ("Takes a browser's WebSocket", "browser", yes("answered")),
    ("Takes any Python object", "python_object", yes("arrived")),
)
"""What is promised, the program that measures it, and how its fact is shown."""


def render(results: Results) -> str:
    """Return the table, and the releases it is of."""
    facts, versions = results["facts"], results["versions"]
    lines = [
        "| | " + " | ".join(PEERS.values()) + " |",
        "| --- |" + " --- |" * len(PEERS),
    ]
    for title, program, cell in ROWS:
        cells = [cell(facts[peer][program]) for peer in PEERS]
        lines.append(f"| {title} (`{program}`) | " + " | ".join(cells) + " |")
    bare = facts["sealframe"]["cut_without_session"]
    lines.append("")
    lines.append(
        "Without a [session](guides/sessions.md) sealframe is connected again "
        f"{bare['again']}, and a cut loses {_lost(bare)} (`cut_without_session`)."
    )
    releases = ", ".join(f"{name} {version}" for name, version in versions.items())
    return "\n".join(lines) + f"\n\nMeasured with {releases}.\n"


def replaced(page: str, results: Results) -> str:
    """Return the page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{render(results)}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), load()), encoding="utf-8")
