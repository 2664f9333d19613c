"""The command ``sealframe``. It uses nothing but what ``import sealframe`` offers."""

from __future__ import annotations

import sys
from importlib.util import find_spec

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it: 128 and the number of SIGINT."""


def missing(*packages: str) -> list[str]:
    """Return those of some packages that are not installed."""
    return [name for name in packages if find_spec(name) is None]


def main() -> None:
    """Run the command that the arguments name, then exit the process.

    Without click or rich that is the demo alone, which then needs neither.
    """
    absent = missing("click", "rich")
    alone = sys.argv[1:] == ["demo"]
    if absent and not alone:
        sys.exit(
            f"sealframe: the commands need {' and '.join(absent)}; "
            'run: pip install "sealframe[cli]", or without installing it, from a clone: '
            'uvx --from ".[cli]" sealframe demo, '
            'or: pipx run --spec ".[cli]" sealframe demo'
        )
    try:
        # Imported late: it takes a while, in which Ctrl-C ends the command as it does later.
        if absent:
            from .demo.alone import run_alone

            run_alone()
        from .commands import run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
