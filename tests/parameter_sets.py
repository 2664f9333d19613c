"""Which sets of parameters a test is run with, where several environments share them.

``pytest --part=2/5`` runs the second fifth of each test's sets, and of each test at least one. All
five run all of them. It counts under each event loop by itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable


def part(text: str) -> tuple[int, int]:
    """Return which part of how many it is.

    :raises ValueError: it is not of the form ``2/5``, or is more than there is
    """
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"a part is written as 2/5, the second of five, not {text!r}")
    return int(found[1]), int(found[2])


def tried(names: Iterable[str], number: int, parts: int) -> set[str]:
    """Return those node ids that are of a part."""
    sets = defaultdict(list)
    for name in names:
        test, _, parameters = name.partition("[")
        sets[test, "uvloop" in parameters].append(name)
    return {
        name
        for of_one_test in sets.values()
        for name in of_one_test[number - 1 :: parts]
        or [of_one_test[(number - 1) % len(of_one_test)]]
    }
