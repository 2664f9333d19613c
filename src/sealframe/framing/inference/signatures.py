"""How typical frames of the catalogue's protocols begin.

A layout alone names no protocol: Modbus and DICOM have their length at the same place. So an entry
of :data:`~sealframe.framing.layouts.ENTRIES` is named only where every frame looks like one of its
protocol, and where one frame at least does that no other protocol has, if frames are much alike.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["SIGNATURES", "Signature"]


class Signature(NamedTuple):
    """What frames of a protocol begin with.

    :ivar name: the catalogue's name
    :ivar pattern: what every frame begins with
    :ivar bits: how seldom other bytes do, in bits
    :ivar typical: what at least one frame begins with
    :ivar first: what the stream begins with, before the first frame
    """

    name: str
    pattern: re.Pattern[bytes]
    bits: float
    typical: re.Pattern[bytes] | None = None
    first: re.Pattern[bytes] | None = None


def _signature(
    name: str, pattern: bytes, bits: float, *, typical: bytes = b"", first: bytes = b""
) -> Signature:
    return Signature(
        name,
        re.compile(pattern, re.DOTALL),
        bits,
        re.compile(typical, re.DOTALL) if typical else None,
        re.compile(first, re.DOTALL) if first else None,
    )


_COAP_CODE: Final = rb"[\x00-\x07\x41-\x45\x80-\x8f\xa0-\xa5\xe1-\xe5]"
_COAP_SHORT: Final = (
    b"["
    + b"".join(
        re.escape(bytes([nibble << 4])) + b"-" + re.escape(bytes([nibble << 4 | 8]))
        for nibble in range(13)
    )
    + b"]"
)

SIGNATURES: Final = (
    _signature("modbus-tcp", rb"..\0\0\0[\x02-\xfe].[\x01-\x18\x2b\x81-\x98\xab]", 24),
    _signature(
        "hsms",
        rb"\0.{3}.{4}\0[\x00-\x09]",
        13,
        typical=rb"\0\0\0\x0a\xff\xff\0\0\0[\x01-\x09]",
    ),
    _signature("opc-ua", rb"(HEL|ACK|OPN|CLO|MSG|ERR|RHE)[FCA]", 29),
    _signature("iec-104", rb"\x68[\x04-\xfd]", 8, typical=rb"\x68\x04[\x07\x0b\x13\x23\x43\x83]"),
    _signature("iec-104", rb"\x68[\x04-\xfd].[\0-\xff]", 8, typical=rb"\x68\x04\x01\0.\0"),
    _signature("ethernet-ip", rb"[\x04\x63-\x66\x6f\x70]\0.{18}\0{4}", 35),
    _signature("ams", rb"\0\0.{20}[\x00-\x09]\0[\x04\x05\x44\x45]\0", 40),
    _signature("tpkt", rb"\x03\0..[\x02-\xff][\xe0\xd0\xc0\x80\xf0\x70\x50\x10-\x1f\x60]", 20),
    _signature("slmp", rb"[\x50\xd0]\0.\xff\xff\x03", 38),
    _signature("knxnet-ip", rb"\x06\x10[\x02-\x09]", 20),
    _signature("dlms", rb"\0\x01\0.\0.", 26),
    _signature("doip", rb"(\x02\xfd|\x03\xfc|\x01\xfe|\xff\0)[\0\x40\x80]", 20),
    _signature("someip", rb".{12}\x01.[\x00-\x02\x40\x80\x81\xc0][\x00-\x20]", 15),
    _signature(
        "dicom", rb"[\x01-\x07]\0", 13, typical=rb"[\x01\x02]\0.{4}\0\x01\0\0|\x04\0.{8}.[\0-\x03]"
    ),
    _signature("mllp", rb"\x0b(MSH|FHS|BHS)", 32),
    _signature("smpp", rb"\0\0..[\0\x80]\0[\0\x01].", 24),
    _signature("diameter", rb"\x01\0..[\0\x20\x40\x80\x90\xa0\xc0\xd0\xe0]\0[\x00-\x03]", 28),
    _signature("dns-tcp", rb"....[\x00-\x07\x80-\x87].\0[\0\x01]\0.\0.\0.", 38),
    _signature("bgp", rb"\xff{16}", 120),
    _signature("radius-tcp", rb"[\x01-\x05\x0b-\x0d\x28-\x2d].[\x00-\x10]", 8),
    _signature("tacacs-plus", rb"[\xc0\xc1][\x01-\x03].[\0\x01\x04\x05]", 19),
    _signature(
        "openflow", rb"[\x01-\x06][\x00-\x23]", 8, typical=rb"[\x01-\x06]\0\0[\x08\x10].{4}"
    ),
    _signature("stun-tcp", rb"[\x00-\x3f]...\x21\x12\xa4\x42", 34),
    _signature(
        "turn-tcp",
        rb"[\x00-\x3f]...\x21\x12\xa4\x42|[\x40-\x4f]",
        4,
        typical=rb"[\x00-\x3f]...\x21\x12\xa4\x42",
    ),
    _signature(
        "coap-tcp",
        b"(" + _COAP_SHORT + rb"|[\xd0-\xd8].|[\xe0-\xe8]..)" + _COAP_CODE,
        3.5,
    ),
    _signature("syslog-counted", rb"[1-9][0-9]{0,4} <[0-9]{1,3}>", 40),
    _signature(
        "mqtt",
        rb"[\x10\x20\x30-\x3d\x40\x50\x62\x70\x82\x90\xa2\xb0\xc0\xd0\xe0\xf0]",
        3.2,
        typical=rb"\x10.{1,4}\0\x04MQTT|\x20[\x02-\x20][\0\x01][\0-\x05]|\x90.\0|\xd0\0",
    ),
    _signature("websocket", rb"[\x00-\x02\x80-\x82\x88-\x8a\xc1\xc2]", 4.4),
    _signature("amqp-0-9-1", rb"[\x01-\x03\x08][\x00-\x0f].\0", 18),
    _signature("amqp-0-9-1", rb"[\x01-\x03\x08][\x00-\x0f].\0", 18, first=rb"AMQP\0\0\x09\x01"),
    _signature("amqp-1-0", rb"\0...\x02[\0\x01]", 22),
    _signature("amqp-1-0", rb"\0...\x02[\0\x01]", 22, first=rb"AMQP[\0\x03]\x01\0\0"),
    _signature("http-2", rb"\0..[\x00-\x0a].[\x00-\x7f]", 13, typical=rb"\0\0.\x04[\0\x01]\0{4}"),
    _signature("http-2", rb"\0..[\x00-\x0a].[\x00-\x7f]", 13, first=rb"PRI \* HTTP/2\.0"),
    _signature("mongodb", rb".{12}(\xdd\x07|\x01\0|\xd4\x07|\xdc\x07)\0\0", 29),
    _signature(
        "postgresql",
        rb"[A-Za-z123]\0",
        10,
        typical=rb"R\0\0\0\x08\0{4}|Z\0\0\0\x05[ITE]|Q\0..[A-Za-z]|P\0..[^\0]{0,60}\0[A-Za-z]",
    ),
    _signature(
        "mysql",
        rb"..[\0\x01][\x00-\x40]",
        9,
        typical=rb"...\0\x0a[4-9]\.|...\0\x03[A-Za-z/(]",
    ),
    _signature("tds", rb"[\x01-\x07\x0e\x10-\x12\x17][\0\x01\x04\x05\x08-\x0b].{4}.\0", 17),
    _signature("cassandra", rb"[\x03-\x05\x83-\x85][\x00-\x1f]..[\x00-\x10]", 12),
    _signature("gearman", rb"\0RE[QS]\0\0\0.", 54),
    _signature("memcached-binary", rb"[\x80\x81][\x00-\x26]..[\x00-\x40]\0", 19),
    _signature(
        "plan-9",
        rb"..[\x00-\x0f]\0[\x06-\x7f]",
        12,
        typical=rb".{4}[\x64\x65]\xff\xff.{4}..9P2000",
    ),
    _signature("zabbix", rb"ZBXD[\x01-\x07]", 37),
    _signature("adb", rb"CNXN|OKAY|WRTE|OPEN|CLSE|AUTH|SYNC|STLS", 29),
    _signature(
        "bitcoin",
        rb"(\xf9\xbe\xb4\xd9|\x0b\x11\x09\x07|\xfa\xbf\xb5\xda|\x0a\x03\xcf\x40)[a-z]{2}",
        42,
    ),
    _signature("bittorrent", rb"\0", 8, first=rb"\x13BitTorrent protocol"),
    _signature("jdwp", rb"\0", 8, first=rb"JDWP-Handshake"),
    _signature("zmtp", rb"[\x00-\x07]", 5, first=rb"\xff.{8}\x7f\x03"),
    _signature(
        "ldap",
        rb"\x30([\x00-\x7f]|\x81.|\x82..|\x83.{3}|\x84.{4})\x02[\x01-\x04].{1,4}[\x42\x4a\x60-\x79]",
        22,
    ),
    _signature("snmp-tcp", rb"\x30([\x00-\x7f]|\x81.|\x82..)\x02\x01[\0\x01\x03]\x04", 34),
    _signature("sun-rpc", rb"\x80\0..(.{4})\0\0\0[\0\x01]", 40),
    _signature("thrift", rb"\0...\x80\x01\0[\x01-\x04]", 37),
    _signature("kafka", rb"\0...\0[\x00-\x45]\0[\x00-\x12].{4}(\xff\xff|\0.[ -~])", 30),
    _signature("dbus", rb"[lB][\x01-\x04][\x00-\x07]\x01", 26),
    _signature("fastcgi", rb"\x01[\x01-\x0b].{5}\0", 20),
    _signature("lsp", rb"(?i:content-(length|type):)", 60),
    _signature("resp", rb"[*$+\-:_#,(!=%~>][^\r\n]{0,200}\r\n", 9),
)
"""In the order of the catalogue; the better match wins, not the earlier one."""
