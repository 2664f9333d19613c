"""How many examples hypothesis tries, for the tests that say how many.

``SEALFRAME_EXAMPLES`` is a share in percent, and 100 where it is not set. Examples are other ones
in each run, so the environments that repeat what another one tries in full can do with fewer.
"""

from __future__ import annotations

import os
from typing import Final

SHARE: Final = int(os.environ.get("SEALFRAME_EXAMPLES") or 100)
FEWEST: Final = 5
"""Of a test that tries so few, or fewer, none is left out."""

if not 1 <= SHARE <= 100:
    raise ValueError(f"SEALFRAME_EXAMPLES is a share in percent, from 1 to 100, not {SHARE}")


def examples(count: int) -> int:
    """Return how many of so many are tried here."""
    return max(count * SHARE // 100, min(count, FEWEST))
