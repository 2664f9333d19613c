"""Controllers, machines, power stations and cars."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from .entry import Entry

MODBUS_TCP: Final = Framing(offset=4, width=2, byteorder="big", strip=0, minimum=8, maximum=260)
"""Modbus/TCP: a message is an application data unit, from its transaction identifier on."""

ENTRIES: Final = (
    Entry(
        name="modbus-tcp",
        layout=MODBUS_TCP,
        title="Modbus/TCP: MBAP header, then function code and data",
        source="MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3",
        ports=(502,),
        pipelining=(
            "The guide allows several transactions at a time, told apart by their identifiers, but "
            "many servers take one: pymodbus 3.16.1 answers only the first of the requests that "
            "come in one read. Use connect(..., pipelining=False)."
        ),
        empty_frames="None: the shortest has a unit identifier and a function code, 8 bytes.",
        first_packet="The client speaks first.",
        heartbeats="None.",
        limits="260 bytes: 7 of the header and 253 of the PDU (section 3.1.2).",
        notes="The length counts from the unit identifier on.",
        recorded=("pymodbus 3.16.1",),
    ),
)
"""All of this module."""
