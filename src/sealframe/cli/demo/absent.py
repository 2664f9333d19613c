"""What the demo could not show, for want of packages, and the commands that show it."""

from __future__ import annotations

from .. import FROM_A_CLONE, missing
from .links import Links

_SEALING = "sealing: who the other end is, and that nobody else can read or change it"
_COMMANDS = "the table of clients that is live, and every other command: serve, send, …"


def not_shown(links: Links) -> list[str]:
    """Return the lines that say so; none where everything was shown."""
    rows = []
    if links.why_plain:
        rows.append(f"  {_SEALING} ({links.why_plain})")
    if gone := missing("click", "rich"):
        rows.append(f"  {_COMMANDS} (needs {' and '.join(gone)})")
    if not rows:
        return []
    return ["Not shown:", *rows, "To see it, from a clone:", *(f"  {way}" for way in FROM_A_CLONE)]
