"""A layout written as text: what somebody types behind ``--framing``.

It is an expression as it stands in a program, ``Framing(width=2, byteorder="big")``, or the name of
a layout. It is parsed and never evaluated: names are looked up in a table, arguments are literals
or such calls themselves, and nothing else is understood.
"""

from __future__ import annotations

import ast
import re
import sys
import zlib
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError
from . import catalogue
from .base import FrameLayout
from .layout import Framing
from .numbers import Bcd, Ber, Digits, Escaped, Uint, Varint
from .parts import Checksum, Magic
from .text import Delimited, HeaderLines
from .with_preamble import WithPreamble

if TYPE_CHECKING:
    from .layouts.entry import Entry

__all__ = ["parse_layout"]

_MAX_TEXT: Final = 8192
"""Characters of an expression; a preamble in hexadecimal escapes is the longest thing in one."""
_MAX_DEPTH: Final = 20

_CALLS: Final[dict[str, Any]] = {
    kind.__name__: kind
    for kind in (
        *(Framing, Delimited, HeaderLines, WithPreamble),
        *(Uint, Digits, Bcd, Varint, Ber, Escaped, Magic, Checksum),
    )
}
"""What may be called."""

_VALUES: Final[dict[str, Any]] = {
    "sys.byteorder": sys.byteorder,
    "zlib.adler32": zlib.adler32,
    "zlib.crc32": zlib.crc32,
}
"""What may stand in an argument beside literals."""


def parse_layout(text: str) -> FrameLayout:
    """Return the layout that a text describes.

    :param text: a call such as ``Framing(offset=4, width=2, byteorder="big", strip=0)``, whose
        arguments are literals or such calls, or the name of a constant (``INT32_BE``,
        ``MODBUS_TCP``), or of an entry of the catalogue (``modbus-tcp``)
    :raises ConfigurationError: it describes none; the text says what is wrong, and where
    """
    if len(text) > _MAX_TEXT:
        raise ConfigurationError(f"a layout of {len(text)} characters; {_MAX_TEXT} are the limit")
    text = text.strip()
    if re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", text):
        # Every expression has a capital letter.
        entry: Entry = _layouts().get(text)
        return entry.layout
    try:
        # No nesting that Python's own parser takes is too much for it, but it may be for memory.
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        where = f" at character {error.offset}" if isinstance(error, SyntaxError) else ""
        raise _no_layout(text, f"it is no expression{where}") from error
    found = _Reader(text).read(tree.body, 0)
    if not isinstance(found, FrameLayout):
        raise _no_layout(text, "it is a value, and no layout")
    return found


class _Reader:
    """Makes objects of the nodes of an expression.

    :param text: the expression, for errors
    """

    def __init__(self, text: str) -> None:
        self._text = text

    def read(self, node: ast.expr, depth: int) -> Any:
        """Return what a node stands for."""
        if depth > _MAX_DEPTH:
            raise self._refused(node, "is nested too deeply")
        match node:
            case ast.Constant(value=bool() | int() | str() | bytes() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return -value
            case ast.Name() | ast.Attribute():
                return self._look_up(node)
            case ast.Call():
                return self._call(node, depth)
            case ast.Tuple():
                return tuple(self.read(one, depth + 1) for one in node.elts)
            case ast.List():
                return [self.read(one, depth + 1) for one in node.elts]
            case ast.Dict():
                keys = [key for key in node.keys if key is not None]
                if len(keys) == len(node.values):
                    items = zip(keys, node.values, strict=True)
                    return {
                        self._key(key, depth + 1): self.read(value, depth + 1)
                        for key, value in items
                    }
        raise self._refused(node, "is no literal, no known name and no call of one")

    def _key(self, node: ast.expr, depth: int) -> int | str | bytes:
        key = self.read(node, depth)
        if not isinstance(key, int | str | bytes):
            raise self._refused(node, "is no key: use a number or text")
        return key

    def _look_up(self, node: ast.expr) -> Any:
        name = ast.unparse(node)
        if name in _VALUES:
            return _VALUES[name]
        if name.isupper():
            for constants in (catalogue, _layouts()):
                constant = getattr(constants, name, None)
                if isinstance(constant, FrameLayout):
                    return constant
        raise self._refused(node, f"is not known; {_known()}")

    def _call(self, node: ast.Call, depth: int) -> Any:
        name = ast.unparse(node.func)
        kind = _CALLS.get(name)
        if kind is None:
            raise self._refused(node.func, f"cannot be called here; {_known()}")
        positional = [self.read(argument, depth + 1) for argument in node.args]
        named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self._refused(keyword.value, "follows **; write the arguments out")
            named[keyword.arg] = self.read(keyword.value, depth + 1)
        try:
            return kind(*positional, **named)
        except ConfigurationError:
            raise
        except (TypeError, ValueError) as error:
            # Of the interpreter: an argument that there is not, or one of a wrong type.
            what = str(error).replace(".__init__()", "")
            raise ConfigurationError(f"{self._show(node)}: {what}") from error

    def _refused(self, node: ast.expr, why: str) -> ConfigurationError:
        return _no_layout(self._text, f"{self._show(node)} {why}")

    def _show(self, node: ast.expr) -> str:
        return _shortened(ast.get_source_segment(self._text, node) or self._text)


def _layouts() -> ModuleType:
    """Return the catalogue of existing protocols: many modules, which most programs never need."""
    from . import layouts

    return layouts


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _known() -> str:
    return f"known are {', '.join(sorted(_CALLS))} and the layouts that sealframe layouts lists"


def _no_layout(text: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_shortened(text)} describes no layout: {why}. Write one as in a program, such as "
        'Framing(width=2, byteorder="big"), or give the name of one, such as INT32_BE'
    )
