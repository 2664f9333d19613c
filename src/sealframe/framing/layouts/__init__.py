"""A catalogue of layouts of existing protocols, to be given as ``framing=``.

Each is a constant here, and has an :class:`Entry` that names its source and what peers do in
practice::

    from sealframe.framing.layouts import MODBUS_TCP, get

    client = sealframe.connect("192.0.2.7:502", framing=MODBUS_TCP)
    print(get("modbus-tcp").pipelining)

The tests hold the layouts to bytes that other programs made (:attr:`Entry.recorded`).
``sealframe layouts`` shows the same on the command line. Nothing of it is imported with
``sealframe`` itself.
"""

from __future__ import annotations

from typing import Final

from ...errors import ConfigurationError
from . import industrial, medical, network, payments, telecom, vehicles
from .entry import Entry
from .industrial import (
    AMS,
    DLMS,
    ETHERNET_IP,
    HSMS,
    IEC_104,
    KNXNET_IP,
    MODBUS_TCP,
    OPC_UA,
    SLMP,
    TPKT,
)
from .medical import DICOM, MLLP
from .network import (
    BGP,
    COAP_TCP,
    DNS_TCP,
    OPENFLOW,
    RADIUS_TCP,
    STUN_TCP,
    SYSLOG_LINES,
    TACACS_PLUS,
    TURN_TCP,
)
from .payments import ISO_8583_BINARY, ISO_8583_BINARY_4
from .telecom import DIAMETER, SMPP
from .vehicles import DOIP, SOMEIP

__all__ = [
    "AMS",
    "BGP",
    "COAP_TCP",
    "DIAMETER",
    "DICOM",
    "DLMS",
    "DNS_TCP",
    "DOIP",
    "ENTRIES",
    "ETHERNET_IP",
    "FIELDS",
    "HSMS",
    "IEC_104",
    "ISO_8583_BINARY",
    "ISO_8583_BINARY_4",
    "KNXNET_IP",
    "MLLP",
    "MODBUS_TCP",
    "OPC_UA",
    "OPENFLOW",
    "RADIUS_TCP",
    "SLMP",
    "SMPP",
    "SOMEIP",
    "STUN_TCP",
    "SYSLOG_LINES",
    "TACACS_PLUS",
    "TPKT",
    "TURN_TCP",
    "Entry",
    "get",
    "search",
]

FIELDS: Final[dict[str, tuple[Entry, ...]]] = {
    "Industry": industrial.ENTRIES,
    "Vehicles": vehicles.ENTRIES,
    "Medicine": medical.ENTRIES,
    "Payments": payments.ENTRIES,
    "Telecommunications": telecom.ENTRIES,
    "Networks": network.ENTRIES,
}
"""The entries by field."""

ENTRIES: Final[tuple[Entry, ...]] = tuple(entry for field in FIELDS.values() for entry in field)
"""All entries, field by field."""

_BY_NAME: Final = {entry.name: entry for entry in ENTRIES}


def get(name: str) -> Entry:
    """Return the entry of this name; case, and whether ``-`` or ``_`` is written, do not matter.

    :raises ConfigurationError: there is none
    """
    try:
        return _BY_NAME[name.lower().replace("_", "-")]
    except KeyError:
        found = search(name)
        hint = f"; did you mean {', '.join(e.name for e in found)}?" if found else ""
        raise ConfigurationError(
            f"no layout is called {name!r}{hint or '; sealframe layouts lists all'}"
        ) from None


def search(text: str) -> list[Entry]:
    """Return the entries that have every word of ``text`` in their name, title, source or notes,
    or are spoken on the port that it names. Case does not matter.

    Those that have it in their name come first.
    """
    words = text.lower().replace("_", "-").split()
    found = [entry for entry in ENTRIES if all(_has(entry, word) for word in words)]
    return sorted(found, key=lambda entry: not all(word in entry.name for word in words))


def _has(entry: Entry, word: str) -> bool:
    if word.isdecimal() and int(word) in entry.ports:
        return True
    texts = (entry.name, entry.title, entry.source, entry.notes)
    return any(word in text.lower() for text in texts)
