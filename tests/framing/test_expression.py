"""Layouts as text: what is understood, and that nothing else is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sealframe import ConfigurationError, Framing
from sealframe.framing import INT32_BE, UINT16_LE, Delimited, WithPreamble
from sealframe.framing.expression import parse_layout
from sealframe.framing.layouts import ENTRIES, LSP, MODBUS_TCP, Entry


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("Framing()", Framing()),
        (
            'Framing(offset=4, width=2, byteorder="big", strip=0)',
            Framing(offset=4, width=2, byteorder="big", strip=0),
        ),
        ("Framing(adjustment=-4, offset=0x10)", Framing(adjustment=-4, offset=16)),
        ("Framing(varint=True, maximum=None)", Framing(varint=True)),
        ("Framing(byteorder=sys.byteorder)", Framing(byteorder=sys.byteorder)),
        ("  INT32_BE\n", INT32_BE),
        ("UINT16_LE", UINT16_LE),
        ("modbus-tcp", MODBUS_TCP),
        ("MODBUS_TCP", MODBUS_TCP),
        (" lsp ", LSP),
        ("WithPreamble(MODBUS_TCP, client=b'x')", WithPreamble(MODBUS_TCP, client=b"x")),
        (r'Delimited(b"\r\n")', Delimited(b"\r\n")),
        (
            "WithPreamble(INT32_BE, client=b'AMQP')",
            WithPreamble(INT32_BE, client=b"AMQP"),
        ),
    ],
)
def test_a_layout_is_understood(text: str, layout: Framing) -> None:
    assert parse_layout(text) == layout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no expression"),
        ("Framing(", "no expression at character"),
        ("a; b", "no expression"),
        ("Framing(\0)", "no expression"),
        ("-" * 8000 + "1", "no expression"),
        ("(" * 300 + ")" * 300, "no expression"),
        ("[" * 50 + "]" * 50, "nested too deeply"),
        ("x" * 9000, "9000 characters"),
        ("4", "a value, and no layout"),
        ("zlib.crc32", "a value, and no layout"),
        ("framing", "no layout is called 'framing'"),
        ("modbus", "did you mean modbus-tcp"),
        ("MODBUS", "'MODBUS' is not known; known are"),
        ("modbus-tcp.layout", "no known name"),
        ("__name__", "not known"),
        ("INT32_BE.encoder", "not known"),
        ("sys.exit", "not known"),
        ("sys.exit()", "'sys.exit' cannot be called here"),
        ("INT32_BE.decoder()", "cannot be called here"),
        ("Framing.__init__()", "cannot be called here"),
        ("Framing()()", "cannot be called here"),
        ("__import__('os').system('true')", "cannot be called here"),
        ("Framing(width=1 + 1)", "'1 + 1' is no literal"),
        ("Framing(width=2 ** 99999999)", "is no literal"),
        ("Framing(**{'width': 2})", "follows **; write the arguments out"),
        ("Framing(*[])", "is no literal"),
        ("Framing(width={**{}})", "is no literal"),
        ("Framing(width={[]: 1})", "is no key"),
        ("Framing(width=[x for x in (1,)])", "is no literal"),
        ("Framing(width=lambda: 2)", "is no literal"),
        ("Framing(width=1.5)", "is no literal"),
        ("Framing(width=9)", "width must be 1 to 8 bytes, not 9"),
        ("Framing(widht=2)", "widht"),
        ("Framing(2)", "positional argument"),
    ],
)
def test_anything_else_is_one_clear_error(text: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_layout(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_entry_of_the_catalogue_has_a_name(entry: Entry) -> None:
    assert parse_layout(entry.name) is entry.layout


def test_the_catalogue_is_imported_only_when_it_is_asked_for() -> None:
    code = (
        "import sys, sealframe; from sealframe.framing import parse_layout; "
        "parse_layout('Framing(width=2)'); assert 'sealframe.framing.layouts' not in sys.modules; "
        "parse_layout('modbus-tcp'); assert 'sealframe.framing.layouts' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
