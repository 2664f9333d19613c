"""Writes a hypothesis as the expression that makes its layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .hypotheses import (
    BcdField,
    BerField,
    DigitsField,
    DigitsUntil,
    EscapedField,
    FixedField,
    Hypothesis,
    VarintField,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .hypotheses import Field

__all__ = ["expression", "literal"]


def literal(value: str | bytes) -> str:
    """Return a Python literal in double quotes."""
    text = repr(value)
    if text.endswith("'") and '"' not in text:
        text = text.replace("'", '"')
    return text


def expression(hypothesis: Hypothesis, *, magic: bytes = b"", trailer: bytes = b"") -> str:
    """Return Python that makes the layout; the message keeps a header that has more than a length.

    :param magic: bytes that each frame begins with, if they are to be checked
    :param trailer: bytes that each frame ends with, beyond what its length counts
    """
    arguments = [
        *_length(hypothesis.field),
        *_place(hypothesis, len(trailer)),
    ]
    if magic:
        arguments.append(f"magic={literal(magic)}")
    if trailer:
        arguments.append(f"trailer={literal(trailer)}")
    return f"Framing({', '.join(arguments)})"


def _length(field: Field) -> Iterator[str]:
    match field:
        case FixedField(width, order, None):
            if width != 4:
                yield f"width={width}"
            if order == "big" and width > 1:
                yield 'byteorder="big"'
        case FixedField(width, order, mask):
            byteorder = ', "big"' if order == "big" and width > 1 else ""
            yield f"length=Uint({width}{byteorder}, mask={mask:#x})"
        case DigitsField(width, base):
            yield f"length=Digits({width}{_base(base)})"
        case DigitsUntil(delimiter, base):
            yield f"length=Digits(until={literal(delimiter)}{_base(base)})"
        case BcdField(width):
            yield f"length=Bcd({width})"
        case BerField():
            yield "length=Ber()"
        case EscapedField():
            yield _escaped(field)


def _base(base: int) -> str:
    return "" if base == 10 else f", base={base}"


def _escaped(field: EscapedField) -> str:
    wider = ", ".join(f"{value}: {width}" for value, width in field.wider)
    order = "" if field.order == "big" else ', byteorder="little"'
    whole = (1 << 8 * field.width) - 1
    mask = "" if field.mask == whole else f", mask={field.mask:#x}"
    adds = ", ".join(f"{bit:#x}: {count}" for bit, count in field.adds)
    width = "" if field.width == 1 else f"{field.width}, "
    rest = f"{order}{mask}{f', adds={{{adds}}}' if adds else ''}"
    return f"length=Escaped({width}wider={{{wider}}}{rest})"


def _place(hypothesis: Hypothesis, trailer: int) -> Iterator[str]:
    field = hypothesis.field
    own_width = isinstance(field, VarintField | BerField | DigitsUntil | EscapedField)
    if isinstance(field, VarintField):
        plain = not hypothesis.offset and not hypothesis.inclusive
        yield "varint=True" if plain and not hypothesis.extra else "length=Varint()"
    if hypothesis.offset:
        yield f"offset={hypothesis.offset}"
    extra = hypothesis.extra - trailer
    if own_width:
        inclusive = hypothesis.inclusive
        adjustment = extra
    else:
        beyond = extra - hypothesis.header
        inclusive = extra == 0 or (extra <= 0 and abs(extra) < abs(beyond))
        adjustment = extra if inclusive else beyond
    if inclusive:
        yield "includes_header=True"
    if hypothesis.unit > 1:
        yield f"unit={hypothesis.unit}"
    if adjustment:
        yield f"adjustment={adjustment}"
    if hypothesis.align > 1:
        yield f"align={hypothesis.align}"
    if hypothesis.offset or adjustment > 0 or field_keeps_flags(field):
        yield "strip=0"


def field_keeps_flags(field: Field) -> bool:
    """Whether bits beside the length would be lost with the head."""
    if isinstance(field, EscapedField):
        return bool(field.adds)
    return isinstance(field, FixedField) and field.mask is not None
