"""What ``sealframe doctor`` says of captured streams: for people, and as JSON."""

from __future__ import annotations
