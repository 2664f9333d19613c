"""Draws the frame of a layout: what stands where, what the length counts, what a message is."""

from __future__ import annotations

from itertools import pairwise

from ..framing import Delimited, FrameLayout, Framing, HeaderLines, Magic, WithPreamble


def draw(layout: FrameLayout) -> list[str]:
    """Return the lines of a drawing; none where a function decides what a frame looks like."""
    if isinstance(layout, WithPreamble):
        return draw(layout.layout)
    if isinstance(layout, Framing):
        return _draw_framing(layout)
    if isinstance(layout, Delimited):
        return _draw_delimited(layout)
    if isinstance(layout, HeaderLines):
        return ["| header lines | empty line | message |"]
    return []


def _draw_framing(layout: Framing) -> list[str]:
    """Boxes from edge to edge: of magic, of the length field, of what it counts, of the message."""
    fewest, most = layout.number.widths
    header = layout.offset + fewest
    counted = max(layout.adjustment + (0 if layout.includes_header else header), 0)
    message = header if layout.strip is None else layout.strip
    magic = _magic(layout)
    edges = sorted({0, layout.offset, header, counted, message, *magic})
    boxes = []
    for start, end in pairwise(edges):
        if (start, end) == (layout.offset, header):
            boxes.append(" length ")
        elif (start, end) == magic:
            boxes.append(" magic ")
        else:
            boxes.append(f" {end - start} B ")
    # Behind a field that varies in width nobody knows where something stands.
    names = [str(edge) if edge < header or fewest == most else "" for edge in edges]
    boxes.append(" rest of the frame ")
    tail = [" checksum " for each in layout.checksums if each.at == "end"]
    if layout.trailer:
        tail.append(" trailer ")
    widths = [max(len(box), len(name)) for box, name in zip(boxes, names, strict=True)]
    places = [sum(widths[:number]) + number for number in range(len(widths) + 1)]
    ruler = "+".join(["", *("-" * width for width in (*widths, *map(len, tail))), ""])
    filled = (box.ljust(width) for box, width in zip(boxes, widths, strict=True))
    above = (name.ljust(width + 1) for name, width in zip(names, widths, strict=True))
    return [
        "".join(above).rstrip(),
        ruler,
        "|".join(["", *filled, *tail, ""]),
        ruler,
        _span(places[edges.index(counted)], places[-1], "length"),
        _span(places[edges.index(message)], places[-1], "message"),
    ]


def _magic(layout: Framing) -> tuple[int, int] | tuple[()]:
    """Return where the magic bytes stand, if that is beside the length field in the header."""
    if not layout.magic:
        return ()
    if isinstance(layout.magic, Magic):
        start, end = layout.magic.offset, layout.magic.offset + len(layout.magic.value)
    else:
        start, end = 0, len(layout.magic)
    fewest, most = layout.number.widths
    behind = start >= layout.offset + fewest and fewest == most
    return (start, end) if end <= layout.offset or behind else ()


def _draw_delimited(layout: Delimited) -> list[str]:
    start, end = (repr(part)[1:] for part in (layout.start, layout.delimiter))
    first = f"| {start} " if layout.start else ""
    line = f"{first}| message | {end} |"
    return [line, _span(len(first), len(first) + len("| message "), "message")]


def _span(start: int, end: int, text: str) -> str:
    """Return an arrow with a text from one column to another."""
    room = end - start - len("|<>|") + 1
    return " " * start + f"|<{text.center(room, '-')}>|"
