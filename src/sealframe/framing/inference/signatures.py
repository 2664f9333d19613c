"""How typical frames of the catalogue's protocols begin.

A layout alone names no protocol: Modbus and DICOM have their length at the same place. So an entry
of :data:`~sealframe.framing.layouts.ENTRIES` is named only where every frame looks like one of its
protocol, and where one frame at least does that no other protocol has, if frames are much alike.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SIGNATURES", "Signature"]


class Signature(NamedTuple):
    """What frames of a protocol begin with.

    :ivar name: the catalogue's name
    :ivar pattern: what every frame begins with
    :ivar bits: how seldom other bytes do, in bits
    :ivar typical: what at least one frame begins with
    :ivar opening: what the stream begins with. A frame in which it begins is not held to
        ``pattern``: first frames have layouts of their own.
    :ivar check: what holds for every whole frame
    """

    name: str
    pattern: re.Pattern[bytes]
    bits: float
    typical: re.Pattern[bytes] | None = None
    opening: re.Pattern[bytes] | None = None
    check: Callable[[bytes], bool] | None = None


def _signature(
    name: str,
    pattern: bytes,
    bits: float,
    *,
    typical: bytes = b"",
    opening: bytes = b"",
    check: Callable[[bytes], bool] | None = None,
) -> Signature:
    return Signature(
        name,
        re.compile(pattern, re.DOTALL),
        bits,
        re.compile(typical, re.DOTALL) if typical else None,
        re.compile(opening, re.DOTALL) if opening else None,
        check,
    )


def radius_attributes(frame: bytes) -> bool:
    """Whether attributes fill a packet behind its 20 bytes of header: RFC 2865, section 5."""
    place = 20
    while place + 1 < len(frame):
        size = frame[place + 1]
        if size < 2:
            return False
        place += size
    return place == len(frame)


def coap_options(frame: bytes) -> bool:
    """Whether options fill a message up to its end or its payload: RFC 8323, section 3.2.

    Options are those of RFC 7252, section 3.1.
    """
    length = frame[0] >> 4
    place = 2 + {13: 1, 14: 2, 15: 4}.get(length, 0) + (frame[0] & 15)
    while place < len(frame):
        first = frame[place]
        if first == 0xFF:
            return place + 1 < len(frame)
        place += 1
        value = 0
        for nibble in (first >> 4, first & 15):
            if nibble == 15:
                return False
            more = {13: 1, 14: 2}.get(nibble, 0)
            value = int.from_bytes(frame[place : place + more], "big") + 13 if more else nibble
            value += 256 if more == 2 else 0
            place += more
        place += value
    return place == len(frame)


def cassandra_body(frame: bytes) -> bool:
    """Whether a body is one of its operation: native protocol, version 4, section 4.

    Held to are those that begin so: requests have the top bit of the version clear, answers set.
    What is compressed (flag 1) says nothing.
    """
    answer = frame[0] >= 0x80
    body = frame[9:]
    if frame[1] & 1:
        return True
    match frame[4]:
        case 0x01:  # STARTUP: a map of texts
            return (
                not answer and re.match(rb"\0[\x01-\x09]\0.[A-Z_]{3}", body, re.DOTALL) is not None
            )
        case 0x05:  # OPTIONS
            return not answer and not body
        case 0x02:  # READY
            return answer and not body
        case 0x07 | 0x09:  # QUERY, PREPARE: a long text
            size = int.from_bytes(body[:4], "big")
            return not answer and 0 < size <= len(body) - 4
        case 0x08:  # RESULT: its kind
            return answer and re.match(rb"\0{3}[\x01-\x05]", body) is not None
        case code:
            return answer == (code in (0x00, 0x03, 0x06, 0x0C, 0x0E, 0x10))


_COAP_CODE: Final = rb"[\x00-\x07\x41-\x45\x80-\x8f\xa0-\xa5\xe1-\xe5]"
_COAP_SHORT: Final = (
    b"["
    + b"".join(
        re.escape(bytes([nibble << 4])) + b"-" + re.escape(bytes([nibble << 4 | 8]))
        for nibble in range(13)
    )
    + b"]"
)
_COAP_LENGTH: Final = rb"(?:" + _COAP_SHORT + rb"|[\xd0-\xd8].|[\xe0-\xe8]..)"
_HTTP_UPGRADE: Final = (
    rb"(?i:(?:GET [^\r\n]{1,4000} HTTP/1\.1|HTTP/1\.1 101[^\r\n]{0,99})\r\n"
    rb"(?:[^\r\n]{1,4000}\r\n){0,99}?Upgrade: *websocket\r\n)"
)
_AMQP_1_0: Final = rb"\0\0\0\x08\x02[\0\x01]|\0...\x02[\0\x01]..\0[\x53\x80\xa3]"
_HEADER_LINES: Final = rb"(?i:content-(length|type):)"
# A subject stands in front of what else a line has: a line of two words is another protocol's.
_NATS: Final = (
    rb"(?i:(?:INFO|CONNECT|PING|PONG|UNSUB|\+OK|-ERR)[ \r\t]|"
    rb"(?:PUB|HPUB|SUB|MSG|HMSG)[ \t]+[^ \t\r\n]+(?:[ \t]+[^ \t\r\n]|\Z))"
)
_BEANSTALK: Final = (
    rb"(?:put|use|watch|ignore|reserve(?:-with-timeout|-job)?|delete|release|bury|touch|"
    rb"peek(?:-ready|-delayed|-buried)?|kick(?:-job)?|stats(?:-job|-tube)?|"
    rb"list-tubes?(?:-used|-watched)?|pause-tube|quit|INSERTED|BURIED|USING|WATCHING|"
    rb"RESERVED|RELEASED|DELETED|TOUCHED|FOUND|NOT_FOUND|NOT_IGNORED|OK|KICKED|PAUSED|TIMED_OUT|"
    rb"DEADLINE_SOON|DRAINING|EXPECTED_CRLF|JOB_TOO_BIG|OUT_OF_MEMORY|INTERNAL_ERROR|BAD_FORMAT|"
    rb"UNKNOWN_COMMAND)[ \r]"
)
_STOMP: Final = (
    rb"[\r\n]*(?:CONNECT|STOMP|CONNECTED|SEND|SUBSCRIBE|UNSUBSCRIBE|ACK|NACK|BEGIN|COMMIT|ABORT|"
    rb"DISCONNECT|MESSAGE|RECEIPT|ERROR)\r?\n"
)
_GIT: Final = (
    rb"[0-9a-f]{4}(git-(upload|receive)-pack |command=|version [12]|[0-9a-f]{40}[ \n\0]|"
    rb"(want|have) [0-9a-f]{40}|NAK|ACK [0-9a-f]{40})"
)
_NBD: Final = (
    rb"NBDMAGIC|IHAVEOPT|\0\x03\xe8\x89\x04\x55\x65\xa9|\x25\x60\x95\x13|\x67\x44\x66\x98|"
    rb"\x66\x8e\x33\xef"
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
    # The ports of meters are small; then the tag of an APDU (IEC 62056-5-3).
    _signature(
        "dlms",
        rb"\0\x01\0.\0.",
        24,
        typical=rb".{8}([\x60\x61].[\x80-\xbe]|[\x62\x63][\0-\x20]|[\xc0-\xc5\xc7][\x01-\x07])",
    ),
    _signature("doip", rb"(\x02\xfd|\x03\xfc|\x01\xfe|\xff\0)[\0\x40\x80]", 20),
    _signature(
        "someip",
        rb".{12}\x01[\x01-\xff][\x00-\x02\x20-\x22\x40\x80\x81\xa0\xa1\xc0][\x00-\x20]",
        15,
        typical=rb".{13}[\x01-\xff][\x01\x02\x21\x22\x80\x81\xa0\xa1]",
    ),
    _signature(
        "dicom", rb"[\x01-\x07]\0", 13, typical=rb"[\x01\x02]\0.{4}\0\x01\0\0|\x04\0.{8}.[\0-\x03]"
    ),
    _signature("mllp", rb"\x0b(MSH|FHS|BHS)", 32),
    _signature("smpp", rb"\0\0..[\0\x80]\0[\0\x01].", 24),
    _signature("diameter", rb"\x01\0..[\0\x20\x40\x80\x90\xa0\xc0\xd0\xe0]\0[\x00-\x03]", 28),
    _signature("dns-tcp", rb"....[\x00-\x07\x80-\x87].\0[\0\x01]\0.\0.\0.", 38),
    _signature("bgp", rb"\xff{16}", 120),
    _signature(
        "radius-tcp",
        rb"[\x01-\x05\x0b-\x0d\x28-\x2d].[\x00-\x10].{17}",
        14,
        check=radius_attributes,
    ),
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
        _COAP_LENGTH + _COAP_CODE,
        3.5,
        # One with an option or a payload: small numbers read as messages have neither.
        typical=rb"[\x10-\xff]",
        check=coap_options,
    ),
    _signature("syslog-counted", rb"[1-9][0-9]{0,4} <[0-9]{1,3}>", 40),
    _signature(
        "mqtt",
        rb"[\x10\x20\x30-\x3d\x40\x50\x62\x70\x82\x90\xa2\xb0\xc0\xd0\xe0\xf0]",
        3.2,
        typical=rb"\x10.{1,4}\0(\x04MQTT|\x06MQIsdp)|\x20[\x02-\x7f][\0\x01][\0-\x05\x80-\x9f]",
    ),
    # What follows a handshake; else what a client sends, which has the bit of the mask throughout.
    _signature("websocket", rb"[\x00-\x02\x80-\x82\x88-\x8a\xc1\xc2]", 4.4, opening=_HTTP_UPGRADE),
    _signature(
        "websocket",
        rb"[\x00-\x02\x80-\x82\x88-\x8a\xc1\xc2][\x80-\xff]",
        5.4,
        typical=rb"[\x81\x82\xc1\xc2]",
        opening=rb"(?=[\x01\x02\x81\x82\x88-\x8a\xc1\xc2])",
    ),
    _signature("amqp-0-9-1", rb"[\x01-\x03\x08][\x00-\x0f].\0", 18),
    _signature("amqp-0-9-1", rb"[\x01-\x03\x08][\x00-\x0f].\0", 18, opening=rb"AMQP\0\0\x09\x01"),
    _signature("amqp-1-0", _AMQP_1_0, 34),
    _signature("amqp-1-0", _AMQP_1_0, 34, opening=rb"AMQP\0\x01\0\0"),
    _signature(
        "amqp-1-0-sasl",
        rb"AMQP[\0\x03]\x01\0\0|" + _AMQP_1_0,
        34,
        opening=rb"(?=AMQP\x03\x01\0\0)",
    ),
    _signature("http-2", rb"\0..[\x00-\x0a].[\x00-\x7f]", 13, typical=rb"\0\0.\x04[\0\x01]\0{4}"),
    _signature("http-2", rb"\0..[\x00-\x0a].[\x00-\x7f]", 13, opening=rb"PRI \* HTTP/2\.0"),
    _signature("mongodb", rb".{12}(\xdd\x07|\x01\0|\xd4\x07|\xdc\x07)\0\0", 29),
    _signature(
        "postgresql",
        rb"[A-Za-z123]\0",
        10,
        typical=rb"R\0\0\0\x08\0{4}|Z\0\0\0\x05[ITE]|Q\0..[A-Za-z]|P\0..[^\0]{0,60}\0[A-Za-z]",
    ),
    _signature("postgresql", rb"[BCDEFHPQSXcdfp]\0", 10, opening=rb"\0\0..\0\x03\0[\0-\x02][a-z_]"),
    _signature(
        "mysql",
        rb"..[\0\x01][\x00-\x40]",
        9,
        typical=rb"...\0\x0a[4-9]\.|...\0\x03[A-Za-z/(]",
    ),
    _signature("tds", rb"[\x01-\x07\x0e\x10-\x12\x17][\0\x01\x04\x05\x08-\x0b].{4}.\0", 17),
    _signature(
        "cassandra", rb"[\x03-\x05\x83-\x85][\x00-\x1f]..[\x00-\x10]", 12, check=cassandra_body
    ),
    # Two checksums say it, which the layout checks.
    _signature("cassandra-v5", rb"..[\0-\x03].{4}", 50),
    _signature("cassandra-v5-compressed", rb".{4}[\0-\x07].{4}", 50),
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
    _signature("bittorrent", rb"\0", 8, opening=rb"\x13BitTorrent protocol"),
    _signature("jdwp", rb"\0", 8, opening=rb"JDWP-Handshake"),
    _signature("zmtp", rb"[\x00-\x07]", 5, opening=rb"\xff.{8}\x7f\x03"),
    _signature(
        "ldap",
        rb"\x30([\x00-\x7f]|\x81.|\x82..|\x83.{3}|\x84.{4})\x02[\x01-\x04].{1,4}[\x42\x4a\x60-\x79]",
        22,
    ),
    _signature("snmp-tcp", rb"\x30([\x00-\x7f]|\x81.|\x82..)\x02\x01[\0\x01\x03]\x04", 34),
    _signature("sun-rpc", rb"\x80\0..(.{4})\0\0\0[\0\x01]", 40),
    _signature("thrift", rb"\0...\x80\x01\0[\x01-\x04]", 37),
    # What is typical is Message of rpc.capnp behind a table of one segment: a pointer to a
    # structure of one word and one pointer, then its kind.
    _signature(
        "capnp",
        rb"[\0-\x0f]\0\0\0...[\0-\x03]",
        12,
        typical=rb"\0{4}...[\0-\x03]\0{4}\x01\0\x01\0[\0-\x0d]\0",
    ),
    # A client begins with ApiVersions or Metadata.
    _signature(
        "kafka",
        rb"\0...\0[\x00-\x5c]\0[\x00-\x12].{4}(\xff\xff|\0.[ -~])",
        30,
        typical=rb"\0...\0[\x03\x12]\0",
    ),
    _signature(
        "dbus",
        rb"[lB][\x01-\x04][\x00-\x07]\x01|"
        rb"(\0?(AUTH|CANCEL|BEGIN|DATA|ERROR|NEGOTIATE_UNIX_FD)|REJECTED|OK|AGREE_UNIX_FD)[ \r]",
        26,
        typical=rb"[lB][\x01-\x04][\x00-\x07]\x01",
    ),
    # BEGIN_REQUEST, END_REQUEST and GET_VALUES, as the specification lays them out.
    _signature(
        "fastcgi",
        rb"\x01[\x01-\x0b].{5}\0",
        20,
        typical=rb"\x01\x01..\0\x08.\0\0[\x01-\x03][\0\x01]\0{5}"
        rb"|\x01\x03..\0\x08.\0.{4}[\0-\x03]|\x01[\x09\x0a]\0\0",
    ),
    _signature("nats", _NATS, 24, typical=rb"(?i:(INFO|CONNECT) \{|H?PUB \S|SUB \S|H?MSG \S)"),
    _signature(
        "beanstalk",
        _BEANSTALK,
        18,
        typical=rb"put \d+ \d+ \d+ \d+\r\n|reserve|USING |WATCHING \d|INSERTED \d|RESERVED \d+ ",
    ),
    _signature("stomp", _STOMP, 24, typical=rb"[\r\n]*(CONNECT|STOMP|CONNECTED|MESSAGE|SEND)\r?\n"),
    _signature(
        "rtsp",
        rb"\$|RTSP/1\.0 \d|[A-Z_]{4,13} rtsp:",
        8,
        typical=rb"RTSP/1|[A-Z_]{4,13} rtsp:",
    ),
    _signature("nbd", _NBD, 32, opening=rb"(?=NBDMAGICIHAVEOPT)"),
    _signature("nbd", _NBD, 32, opening=rb"\0\0\0[\0-\x03](?=IHAVEOPT)"),
    _signature("x11-requests", rb"[\x01-\xff]", 1, opening=rb"l\0\x0b\0\0\0"),
    _signature("x11-replies", rb"[\0-\x23\x80-\xa3]", 1.8, opening=rb"\x01.\x0b\0\0\0"),
    _signature("lsp", _HEADER_LINES, 60, check=lambda frame: b'"jsonrpc"' in frame),
    _signature("dap", _HEADER_LINES, 60, check=lambda frame: b'"seq"' in frame),
    _signature(
        "resp",
        rb"[*$%~>!=|][0-9?-][0-9]{0,9}\r\n|:[+-]?[0-9]+\r\n|[+\-(,#_][^\r\n]*(\r\n|\Z)",
        9,
        typical=rb"[*$][0-9-]+\r\n|\+(OK|PONG|QUEUED)\r\n",
    ),
    _signature("smb", rb"\0.{3}[\xfc-\xff]SMB", 38),
    # INIT and VERSION, then requests and answers by their types.
    _signature(
        "sftp",
        rb"\0.{3}[\x01-\x14\x65-\x69\xc8\xc9]",
        9,
        typical=rb"\0\0..[\x01\x02]\0\0\0[\x03-\x06]",
    ),
    # A login, then PDUs by their opcodes.
    _signature(
        "iscsi",
        rb"[\x00-\x06\x10\x40-\x46\x1c-\x1e\x20-\x26\x31\x32\x3c-\x3f].{3}[\0-\x08]",
        8,
        opening=rb"[\x43\x03\x23][\x80-\x8f\0-\x0f]\0\0\0",
        check=lambda frame: len(frame) % 4 == 0,
    ),
    _signature(
        "fix",
        rb"8=FIXT?\.[0-9]\.[0-9]\x019=[0-9]{1,8}\x0135=",
        90,
        check=lambda frame: frame[-7:-4] == b"10=" and frame.endswith(b"\x01"),
    ),
    _signature(
        "mavlink",
        rb"\xfd.[\0\x01]\0.{5}[\0\x01]|\xfe.{5}",
        14,
        typical=rb"\xfd.[\0\x01]\0.{5}[\0\x01]",
    ),
    _signature(
        "epics-ca",
        rb"\0[\0-\x1b]",
        8,
        opening=rb"\0{4}..\0[\x04-\x0d].{8}\0[\0-\x1b]",
        check=lambda frame: len(frame) % 8 == 0,
    ),
    _signature("bolt", rb"", 1, opening=rb"\x60\x60\xb0\x17.{16}(?=\0.\xb1\x01)"),
    _signature("bolt", rb"", 1, opening=rb"\0\0[\0-\x09][\x01-\x09](?=\0.\xb1[\x70\x7f])"),
    _signature(
        "tarantool",
        rb"([\0-\x7f]|\xcc.|\xcd..|\xce.{4})[\x82-\x84](\0[\0-\xff]|\x01)",
        14,
        typical=rb"([\0-\x7f]|\xcc.|\xcd..|\xce.{4})[\x82-\x84]\0[\x01-\x0f\x40-\x4b](\x01|\x05\0)",
    ),
    _signature("tarantool", rb"\xce\0.{3}\x83\0\xce", 44, opening=rb"Tarantool \d[^\n]{40,60}\n"),
    _signature(
        "minecraft",
        rb"[^\0]",
        1,
        opening=rb"[\x08-\x7f]\0[\x80-\xff]{0,4}[\0-\x7f][\x03-\xff][A-Za-z0-9.:-]{3,99}\0?..[\1-\3]",
    ),
    _signature(
        "minecraft",
        rb"[^\0]",
        1,
        opening=rb'.{1,3}\0.{1,3}\{"(version|players|description|favicon|previewsChat)"',
    ),
    _signature(
        "source-rcon",
        rb"..\0\0.{4}[\0\x02\x03]\0\0\0",
        38,
        check=lambda frame: frame.endswith(b"\0\0") and b"\0" not in frame[12:-2],
    ),
    _signature(
        "osc-tcp",
        rb"\0...(/[ -~]|#bundle\0)",
        17,
        check=lambda frame: len(frame) % 4 == 0,
    ),
    # The session begins: versions, time-out, its number and password.
    _signature("zookeeper", rb"\0", 8, opening=rb"\0{3}[\x2c\x2d]\0{4}.{8}\0.{3}.{8}\0{3}\x10"),
    _signature("zookeeper", rb"\0", 8, opening=rb"\0{3}[\x24\x25]\0{4}\0.{3}.{8}\0{3}\x10"),
    _signature("redis-cluster-bus", rb"RCmb\0.{3}\0[\0\x01]", 54),
    _signature("pyro5", rb"PYRO\x01\xf6[\x01-\x05]", 54),
    _signature("sp-tcp", rb"\0{4}", 30, opening=rb"\0SP\0..\0\0"),
    # What is checked beside: the layout has a checksum.
    _signature("ubx", rb"\xb5\x62[\x01-\x29\xf0\xf1]", 34),
    _signature("rtcm-3", rb"\xd3[\0-\x03]", 38),
    _signature("sbf", rb"\$@", 16, check=lambda frame: len(frame) % 4 == 0),
    _signature(
        "rtr",
        rb"[\0-\x02][\0-\x0b]..\0\0",
        27,
        typical=rb"[\0-\x02](\x04\0{5}\x14|\x06\0{5}\x20|\x02\0{5}\x08)",
    ),
    # READY, ACCEPT or START.
    _signature(
        "frame-streams", rb"\0", 8, opening=rb"\0{4}\0\0..\0\0\0[\x01\x02\x04](\0\0\0\x01|\0)"
    ),
    # A pickle of a dictionary, whose first key is name.
    _signature("python-logging", rb"\0...\}q\0\(X\x04\0\0\0name", 104),
    _signature("gelf-tcp", rb"\{", 50, check=lambda frame: b'"short_message"' in frame),
    _signature("git", rb"[0-9a-f]{4}", 16, typical=_GIT),
    _signature("giop", rb"GIOP\x01[\0-\x03]", 46),
    _signature("rpyc", rb"\0...(\0[\x01-\x1f]|\x01\x78)", 18, check=lambda frame: frame[-1] == 10),
    _signature("execnet", rb"[\0-\x08]\0...\0", 21, opening=rb"[\"']import sys"),
    _signature("execnet", rb"[\0-\x08]\0...\0", 21, opening=rb"1(?=[\0-\x08]\0...\0)"),
    # A request or a reply of version 5, or an error.
    _signature(
        "kerberos-tcp",
        rb"\0[\0-\x0f]..[\x6a-\x6d\x7e][\x03-\x7f\x81\x82]",
        20,
        typical=rb"\0...[\x6a-\x6d\x7e](\x81.|\x82..)\x30(\x81.|\x82..)[\xa0\xa1]\x03\x02\x01\x05",
    ),
    _signature("ice", rb"IceP\x01[\0\x01]\x01[\0\x01]", 60),
    _signature(
        "varlink",
        rb'\{\s*"(method|parameters|error|continues|more|oneway|upgrade)"',
        50,
        typical=rb'\{\s*"(method|parameters)"',
    ),
    _signature(
        "milter", rb"\0[\0\x01]..[A-Za-z0-9+<=?|-]", 16, opening=rb"\0\0\0\x0dO\0\0\0[\x02-\x06]"
    ),
    _signature("ipfix", rb"\0\x0a.{14}(\0[\x02\x03]|[\x01-\xff])", 17, typical=rb".{16}\0\x02"),
    _signature("sip", rb"\r\n|SIP/2\.0 \d|[A-Z]{3,12} (sips?|tel|urn):", 40),
    # The headers of the connection; what follows is the topic's.
    _signature("tcpros", rb"...\0", 8, opening=rb"..\0\0..\0\0[a-z_]{4,20}="),
    _signature("meshtastic", rb"\x94\xc3[\0-\x02]", 22),
    _signature("meshtastic", rb"\x94\xc3[\0-\x02]", 22, opening=rb"\xc3{32}"),
    # HelloRequest and HelloResponse.
    _signature(
        "esphome", rb"\0", 8, opening=rb"\0[\0-\x7f](\x01\x0a[\x01-\x7f][ -~]|\x02\x08\x01\x10)"
    ),
    # PeerProperties, or its response.
    _signature(
        "rabbitmq-stream",
        rb"\0...[\0\x80][\x01-\x1f]\0[\x01\x02]",
        26,
        opening=rb"\0...[\0\x80]\x11\0\x01",
    ),
)
"""In the order of the catalogue; the better match wins, not the earlier one."""
