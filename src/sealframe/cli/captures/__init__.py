"""Streams from files, dumps, captures of packets and sockets, for ``sealframe doctor``."""

from __future__ import annotations
