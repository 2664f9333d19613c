"""``python -m sealframe`` is the command ``sealframe``."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
