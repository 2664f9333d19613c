"""The command ``sealframe``. It uses nothing but what ``import sealframe`` offers."""

from __future__ import annotations

import sys
from importlib.util import find_spec

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell gives it: 128 and the number of SIGINT."""


def main() -> None:
    """Run the command that the arguments name, then exit the process."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        sys.exit(
            f"sealframe: the commands need {' and '.join(missing)}; "
            'run: pip install "sealframe[cli]", or without installing it, from a clone: '
            'uvx --from ".[cli]" sealframe demo, '
            'or: pipx run --spec ".[cli]" sealframe demo'
        )
    try:
        # Imported late: it takes a while, in which Ctrl-C ends the command as it does later.
        from .commands import run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
