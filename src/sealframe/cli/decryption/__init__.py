"""What was said on sealframe's connections in a capture, for ``sealframe decrypt``."""

from __future__ import annotations
