"""The command ``sealframe``. It uses nothing but what ``import sealframe`` offers."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command that the arguments name, then exit the process."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        sys.exit(
            f"sealframe: the commands need {' and '.join(missing)}; "
            'run: pip install "sealframe[cli]"'
        )
    from .commands import run

    run()
