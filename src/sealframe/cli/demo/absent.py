"""What the demo could not show, for want of packages, and the commands that show it."""

from __future__ import annotations

from .. import missing

_SHOWN_BY = {
    ("cryptography",): "sealing: who the other end is, and that nobody else can read or change it",
    ("click", "rich"): "the table of clients that is live, and every other command: serve, send, …",
}
"""Packages, and what is shown where all of them are installed."""


def not_shown() -> list[str]:
    """Return the lines that say so; none where everything was shown."""
    absent = {what: missing(*packages) for packages, what in _SHOWN_BY.items()}
    rows = [f"  {what} (needs {' and '.join(gone)})" for what, gone in absent.items() if gone]
    if not rows:
        return []
    return [
        "Not shown, because packages are not installed:",
        *rows,
        "To see it, with the options for an index that this was run with, if any:",
        '  uvx --from "sealframe[cli]" sealframe demo',
        '  pipx run --spec "sealframe[cli]" sealframe demo',
    ]
