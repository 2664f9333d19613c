"""The dashboard: what it counts, what it hands out, and to whom."""

from __future__ import annotations
