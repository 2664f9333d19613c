"""The command ``sealframe``. It uses nothing but what ``import sealframe`` offers."""

from __future__ import annotations

import sys
from importlib.util import find_spec

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it: 128 and the number of SIGINT."""

FROM_A_CLONE = (
    'uvx --from ".[cli]" sealframe demo',
    'pipx run --spec ".[cli]" sealframe demo',
)
"""What shows the whole demo, without installing it. Not by the package's name: an index may have
another package of that name."""

_USAGE = 2
"""The exit code for wrong arguments, as click has it."""


def missing(*packages: str) -> list[str]:
    """Return those of some packages that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def main() -> None:
    """Run the command that the arguments name, then exit the process.

    Without click or rich that is the demo alone, which then needs neither.
    """
    absent = missing("click", "rich")
    try:
        # Imported late: it takes a while, in which Ctrl-C ends the command as it does later.
        if absent:
            _check(sys.argv[1:], absent)
            from .demo.alone import run_alone

            run_alone()
        from .commands import run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _check(words: list[str], absent: list[str]) -> None:
    """Exit unless it is the demo that is wanted, as it runs without the other commands."""
    if words[:1] != ["demo"]:
        ways = ", or: ".join(FROM_A_CLONE)
        sys.exit(
            f"sealframe: the commands need {' and '.join(absent)}; from a clone run: "
            f'pip install ".[cli]", or without installing it: {ways}'
        )
    if words[1:]:
        print("sealframe: without the extra cli, demo takes no options", file=sys.stderr)
        sys.exit(_USAGE)
