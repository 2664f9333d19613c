from __future__ import annotations

from noise_.conftest import vectors

__all__ = ["vectors"]
