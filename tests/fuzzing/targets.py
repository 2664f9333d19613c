"""The fuzz targets by name, and the inputs that are kept for each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import channels, decoder, handshake, layouts, records
from .choices import Choices

if TYPE_CHECKING:
    from collections.abc import Callable

TARGETS: Final[dict[str, Callable[[Choices], None]]] = {
    "decoder": decoder.check,
    "layouts": layouts.check,
    "handshake": handshake.check,
    "records": records.check,
    "channels": channels.check,
}

_HERE = Path(__file__).parent


def finds(target: str) -> Path:
    """Return the folder of inputs that once broke an invariant, one file each."""
    return _HERE / "finds" / target


def inputs(target: str) -> dict[str, bytes]:
    """Return every input that is kept: the finds, and a corpus that reaches much of the code.

    The corpus is a text file, one input a line, in hex.
    """
    kept = {
        f"find {path.name}": path.read_bytes()
        for path in sorted(finds(target).glob("*"))
        if path.is_file()
    }
    corpus = _HERE / "corpus" / f"{target}.hex"
    if corpus.exists():
        for number, line in enumerate(corpus.read_text(encoding="ascii").splitlines(), 1):
            kept[f"line {number} of {corpus.name}"] = bytes.fromhex(line)
    return kept


def run(target: str, data: bytes) -> None:
    """Hold one input to the invariants of its target.

    :raises AssertionError: one does not hold
    """
    TARGETS[target](Choices(data))
