"""``sealframe layouts``: lists, searches, explains."""

from __future__ import annotations

import sys

import pytest

from sealframe.cli.frame_drawing import draw
from sealframe.framing import Delimited, FrameLayout, Framing, HeaderLines, Sized, layouts
from sealframe.framing.numbers import Digits
from sealframe.framing.parts import Magic

from .commands import invoked
from .terminal import on_terminal

pytestmark = pytest.mark.usefixtures("settings")


def test_lists_all() -> None:
    done = invoked("layouts")
    assert (done.code, done.errors) == (0, "")
    for entry in layouts.ENTRIES:
        assert f"  {entry.name}: {entry.title}\n" in done.output
    for field in layouts.FIELDS:
        assert f"{field}\n" in done.output


def test_searches() -> None:
    done = invoked("layouts", "iso", "8583")
    assert (done.code, done.errors) == (0, "")
    named = [line.split(":")[0].strip() for line in done.output.splitlines()]
    field = "Payments and trading"
    expected = [one.name for one in layouts.FIELDS[field] if one.name.startswith("iso")]
    assert len(expected) == 4
    assert named == [field, *expected]


def test_explains_one() -> None:
    done = invoked("layouts", "modbus-tcp")
    assert (done.code, done.errors) == (0, "")
    entry = layouts.get("modbus-tcp")
    for text in (
        "from sealframe.framing.layouts import MODBUS_TCP\n",
        f"{layouts.MODBUS_TCP!r}\n",
        f"Source: {entry.source}.\n",
        "Ports: 502.\n",
        f"Pipelining: {entry.pipelining}\n",
        f"Held to bytes of: {entry.recorded[0]}\n",
        "| length |",
    ):
        assert text in done.output


def test_explains_the_only_one_that_is_found() -> None:
    done = invoked("layouts", "melsec")
    assert done.output.startswith("slmp\n")
    assert "import SLMP\n" in done.output


def test_a_layout_made_of_a_function_is_named_without_an_expression() -> None:
    done = invoked("layouts", "coap-tcp")
    assert "from sealframe.framing.layouts import COAP_TCP\n" in done.output
    assert "<function" not in done.output


def test_nothing_found() -> None:
    done = invoked("layouts", "xyzzy")
    assert (done.code, done.output) == (1, "")
    assert done.error == "no layout has 'xyzzy'; sealframe layouts without a text lists all"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
async def test_on_a_terminal() -> None:
    async with on_terminal("layouts", "hsms") as shown:
        await shown.until("SEMI E37.*secsgem")
        assert await shown.process.wait() == 0
    async with on_terminal("layouts", "iso") as shown:
        await shown.until("iso-8583-binary.*explains one")
        assert await shown.process.wait() == 0


@pytest.mark.parametrize(
    ("layout", "drawing"),
    [
        (
            Framing(offset=2, width=2, adjustment=20, strip=0),
            """\
0     2        4      24
+-----+--------+------+-------------------+
| 2 B | length | 20 B | rest of the frame |
+-----+--------+------+-------------------+
                      |<------length----->|
|<----------------message---------------->|""",
        ),
        (
            Framing(magic=Magic(b"ab", offset=1), offset=3, width=1, includes_header=True),
            """\
0     1       3        4
+-----+-------+--------+-------------------+
| 1 B | magic | length | rest of the frame |
+-----+-------+--------+-------------------+
|<-----------------length----------------->|
                       |<-----message----->|""",
        ),
        (
            Framing(length=Digits(until=b":"), trailer=b","),
            """\
0
+--------+-------------------+---------+
| length | rest of the frame | trailer |
+--------+-------------------+---------+
         |<------length----->|
         |<-----message----->|""",
        ),
        (
            Framing(varint=True),
            """\
0
+--------+-------------------+
| length | rest of the frame |
+--------+-------------------+
         |<------length----->|
         |<-----message----->|""",
        ),
        (
            Delimited(b"\x1c\r", start=b"\x0b"),
            """\
| '\\x0b' | message | '\\x1c\\r' |
         |<message>|""",
        ),
        (HeaderLines(), "| header lines | empty line | message |"),
        (Sized(len, head=1), ""),
    ],
    ids=["counts-behind", "magic", "digits", "varint", "delimited", "header-lines", "sized"],
)
def test_drawings(layout: FrameLayout, drawing: str) -> None:
    assert "\n".join(draw(layout)) == drawing


@pytest.mark.parametrize("entry", layouts.ENTRIES, ids=lambda entry: entry.name)
def test_every_layout_can_be_drawn(entry: layouts.Entry) -> None:
    lines = draw(entry.layout)
    assert len(lines) != 1 or isinstance(entry.layout, HeaderLines)
