"""The version, in one place."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.2.0"
SOFTWARE: Final = f"sealframe/{__version__}"
"""What HELLO and WELCOME say of this end."""
