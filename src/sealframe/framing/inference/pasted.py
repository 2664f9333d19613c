"""Reads the layouts back that the inference prints and :func:`parse_layout` has no words for.

A ``Sized`` with a function has to be one that :mod:`.text_forms` writes, word for word: nothing is
evaluated.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

from ..expression import parse_layout
from .text_forms import LONGEST, written

if TYPE_CHECKING:
    from ..base import FrameLayout

__all__ = ["parse_pasted"]

_OF_THE_CATALOGUE: Final = re.compile(r"layouts\.([A-Z][A-Z0-9_]*)")


def parse_pasted(text: str) -> FrameLayout:
    """Return the layout of an expression that was printed, or that somebody wrote.

    :raises ConfigurationError: it is none; see :func:`~sealframe.framing.parse_layout`
    """
    text = text.strip()
    if constant := _OF_THE_CATALOGUE.fullmatch(text):
        return parse_layout(constant[1])
    if text.startswith("Sized(") and len(text) < LONGEST:
        plain = _plain(text)
        for layout, expression in written(plain) if plain is not None else ():
            if _plain(expression) == plain:
                return layout
    return parse_layout(text)


def _plain(text: str) -> str | None:
    """Return an expression with the spaces and quotes that Python itself writes; None if it is
    none, as where it has bytes of a command line that are no UTF-8."""
    try:
        return ast.unparse(ast.parse(text, mode="eval"))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
