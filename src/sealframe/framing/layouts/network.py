"""Names, routes, logins and other services of a network."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..numbers import Ber, Digits, Uint
from ..parts import Magic
from ..sized import Sized
from ..text import Delimited
from .entry import Entry

DNS_TCP: Final = Framing(width=2, byteorder="big", minimum=12)
"""DNS over TCP and over TLS: a message is a DNS message without its length."""

BGP: Final = Framing(
    magic=b"\xff" * 16,
    offset=16,
    width=2,
    byteorder="big",
    includes_header=True,
    strip=0,
    minimum=19,
    maximum=4096,
)
"""BGP-4: a message has its header, marker and all, of 19 bytes."""

RADIUS_TCP: Final = Framing(
    offset=2,
    width=2,
    byteorder="big",
    includes_header=True,
    strip=0,
    minimum=20,
    maximum=4096,
)
"""RADIUS over TCP and TLS: a message is a packet with its header of 20 bytes."""

TACACS_PLUS: Final = Framing(offset=8, byteorder="big", strip=0, maximum=65_548)
"""TACACS+: a message is a packet with its header of 12 bytes."""

OPENFLOW: Final = Framing(offset=2, width=2, byteorder="big", adjustment=-4, strip=0, minimum=8)
"""OpenFlow: a message has its header of 8 bytes."""

STUN_TCP: Final = Framing(
    magic=Magic(b"\x21\x12\xa4\x42", offset=4),
    offset=2,
    width=2,
    byteorder="big",
    adjustment=16,
    strip=0,
    minimum=20,
)
"""STUN over TCP, where no ChannelData comes between: a message has its header of 20 bytes."""


def _turn_size(head: bytes) -> int:
    """The two top bits tell ChannelData, which TCP pads to four bytes (RFC 8656, section 12.5)."""
    length = int.from_bytes(head[2:4], "big")
    return 4 + (length + 3 & ~3) if head[0] >> 6 == 1 else 20 + length


TURN_TCP: Final = Sized(_turn_size, head=4)
"""TURN over TCP: a message is a STUN message or ChannelData, with its header and its padding."""


def _coap_size(head: bytes) -> int | None:
    """The upper half of the first byte is the length, or says how wide it is (RFC 8323, 3.2)."""
    short, token = head[0] >> 4, head[0] & 15
    if short < 13:
        return 2 + token + short
    width = 1 << short - 13
    if len(head) < 1 + width:
        return None
    base = (13, 269, 65_805)[short - 13]
    return 2 + width + token + base + int.from_bytes(head[1 : 1 + width], "big")


COAP_TCP: Final = Sized(_coap_size, head=(2, 5))
"""CoAP over TCP: a message has its length, its code and its token."""

LDAP: Final = Framing(magic=b"\x30", offset=1, length=Ber(), strip=0, minimum=7)
"""LDAP: a message is an LDAPMessage, a BER sequence with its tag and length."""

SNMP_TCP: Final = Framing(magic=b"\x30", offset=1, length=Ber(), strip=0)
"""SNMP over TCP: a message is a BER sequence with its tag and length."""

SUN_RPC: Final = Framing(length=Uint(4, "big", mask=0x7FFF_FFFF, flags=0x8000_0000), minimum=4)
"""SunRPC (ONC RPC) over TCP: a message is a fragment; what is sent is marked as the last one."""

SYSLOG_COUNTED: Final = Framing(length=Digits(until=b" "), minimum=1)
"""Syslog over TCP and TLS, octet counting: a message is a syslog message."""

SYSLOG_LINES: Final = Delimited(b"\n")
"""Syslog over TCP, a line each: a message is a line without its end."""

KERBEROS_TCP: Final = Framing(byteorder="big", minimum=1, maximum=1024 * 1024)
"""Kerberos 5 over TCP: a message is one of ASN.1, without its length."""

ENTRIES: Final = (
    Entry(
        name="dns-tcp",
        layout=DNS_TCP,
        title="DNS over TCP or TLS: length of two bytes, message",
        source="RFC 1035, section 4.2.2; RFC 7766, section 8",
        ports=(53, 853),
        pipelining="Yes, and answers may come in another order (RFC 7766, sections 6.2.1.1 and 7).",
        empty_frames="None: a message has a header of 12 bytes.",
        first_packet="The client asks.",
        heartbeats="None; the edns-tcp-keepalive option (RFC 7828) says how long a server waits.",
        limits="65,535 bytes.",
        notes=(
            "A zone transfer is answered by several messages to one question. The recorded server "
            "is a script around the same package's messages."
        ),
        recorded=("dnspython 2.9.2",),
    ),
    Entry(
        name="bgp",
        layout=BGP,
        title="BGP-4: marker of 16 bytes 0xFF, length of all, type, body",
        source="RFC 4271, section 4.1",
        ports=(179,),
        pipelining="Either end sends when it wants to; nothing is answered one by one.",
        empty_frames="KEEPALIVE is a header alone, 19 bytes.",
        first_packet="Both ends send OPEN at once.",
        heartbeats=(
            "KEEPALIVE at a third of the negotiated hold time, for which RFC 4271 suggests 90 s."
        ),
        limits=(
            "4,096 bytes; 65,535 where both ends have agreed on RFC 8654, but for OPEN and "
            "KEEPALIVE."
        ),
        recorded=("bird 2.0.12 (Debian)",),
    ),
    Entry(
        name="radius-tcp",
        layout=RADIUS_TCP,
        title="RADIUS over TCP or TLS: code, identifier, length of all, authenticator, attributes",
        source="RFC 2865, section 3; RFC 6613, section 2.1",
        ports=(1812, 1813, 2083),
        pipelining="Yes: 256 requests, which the identifier tells apart.",
        empty_frames="A packet without attributes has 20 bytes.",
        first_packet="The client asks.",
        heartbeats=(
            "A watchdog of the client (RFC 6613, section 2.4; RFC 3539); Status-Server (RFC 5997) "
            "serves as one."
        ),
        limits="4,096 bytes.",
        notes=(
            "2083 is RADIUS over TLS (RFC 6614). The recorded packets were packed by a package "
            "whose sockets are UDP; there was no conversation."
        ),
        recorded=("pyrad 2.6.0",),
    ),
    Entry(
        name="tacacs-plus",
        layout=TACACS_PLUS,
        title="TACACS+: header of 12 bytes with the body's length at its end, body",
        source="RFC 8907, section 4.1",
        ports=(49, 300),
        pipelining="No: one session a connection, unless both ends set the single-connection flag.",
        first_packet="The client asks.",
        heartbeats="None.",
        limits=(
            "RFC 8907 recommends 65,536 bytes at most, and this layout takes so much of body; the "
            "length could express 4 GiB."
        ),
        notes="300 is TACACS+ over TLS (RFC 9887). Only a client's first packet is recorded.",
        recorded=("tacacs_plus 2.6",),
    ),
    Entry(
        name="openflow",
        layout=OPENFLOW,
        title="OpenFlow: version, type, length of all, transaction identifier, body",
        source="OpenFlow Switch Specification 1.3.5, section 7.1 (header)",
        ports=(6653, 6633),
        pipelining="Yes; the transaction identifier tells replies apart, barriers order them.",
        empty_frames="HELLO, ECHO and FEATURES_REQUEST may be a header alone, 8 bytes.",
        first_packet="Both ends send HELLO at once; the switch connects to the controller.",
        heartbeats="ECHO_REQUEST from either end; it wants ECHO_REPLY.",
        limits="65,535 bytes.",
        notes="The recorded messages were packed by the package; there was no conversation.",
        recorded=("python-openflow 2021.1",),
    ),
    Entry(
        name="stun-tcp",
        layout=STUN_TCP,
        title="STUN over TCP: type, length, magic cookie, transaction identifier, attributes",
        source="RFC 8489, sections 5 and 6.2.2",
        ports=(3478, 5349),
        pipelining="Yes; the transaction identifier tells answers apart.",
        empty_frames="A binding request may have no attributes, 20 bytes.",
        first_packet="The client asks.",
        limits="65,552 bytes; the length is a multiple of 4.",
        notes="After TURN's ChannelBind the stream has ChannelData too: see turn-tcp.",
        recorded=("aioice 0.13.0", "coturn 4.6.1 (Debian)"),
    ),
    Entry(
        name="turn-tcp",
        layout=TURN_TCP,
        title="TURN over TCP: STUN messages, and ChannelData padded to four bytes",
        source="RFC 8656, sections 3.1, 12.4 and 12.5; RFC 8489, section 5",
        ports=(3478, 5349),
        pipelining="Yes; the transaction identifier tells answers apart, data has none.",
        empty_frames="ChannelData without data has 4 bytes.",
        first_packet="The client asks for an allocation.",
        heartbeats="Refresh, before the allocation's lifetime (10 minutes by default) is over.",
        limits="65,552 bytes.",
        notes="What is sent must have its padding; a length that does not fit is refused.",
        recorded=("aioice 0.13.0", "coturn 4.6.1 (Debian)"),
    ),
    Entry(
        name="coap-tcp",
        layout=COAP_TCP,
        title="CoAP over TCP: length of 4 bits or wider, token length, code, token, options",
        source="RFC 8323, section 3.2",
        ports=(5683, 5684),
        pipelining="Yes; the token tells responses apart.",
        empty_frames="An empty message (code 0.00) has 2 bytes, and is to be ignored.",
        first_packet="Both ends send CSM (code 7.01) at once.",
        heartbeats="Ping (code 7.02) from either end; it wants Pong (7.03).",
        limits="1,152 bytes until the other end's CSM says more (section 5.3.1).",
        notes="The length counts options and payload alone.",
        recorded=("aiocoap 0.4.17",),
    ),
    Entry(
        name="ldap",
        layout=LDAP,
        title="LDAP: a BER sequence each, with message identifier and operation",
        source="RFC 4511, section 5.1; ITU-T X.690, section 8.1.3",
        ports=(389, 636, 3268),
        pipelining="Yes, but for bind and StartTLS; the message identifier tells answers apart.",
        empty_frames="None: an unbind request has 7 bytes.",
        first_packet="The client asks, mostly with a bind request; TLS may follow StartTLS.",
        heartbeats="None.",
        limits=(
            "What the server is set to; OpenLDAP takes 262,143 bytes before a bind and 4,194,303 "
            "after it by default."
        ),
        notes=(
            "A search is answered by many messages. BER allows lengths in longer forms than "
            "needed, which this layout reads."
        ),
        recorded=("ldap3 2.9.1", "ldaptor 21.2.0"),
    ),
    Entry(
        name="snmp-tcp",
        layout=SNMP_TCP,
        title="SNMP over TCP: a BER sequence each",
        source="RFC 3430, section 2.1; ITU-T X.690, section 8.1.3",
        ports=(161, 162),
        pipelining=(
            "Yes, and answers may come in another order; the request identifier tells them apart."
        ),
        empty_frames="None.",
        first_packet="The manager asks; an agent connects to send notifications.",
        heartbeats="None.",
        limits="An end takes and sends messages of 8,192 bytes at least (RFC 3430, section 2.2).",
        recorded=("net-snmp 5.9.3 (Debian)",),
    ),
    Entry(
        name="sun-rpc",
        layout=SUN_RPC,
        title="SunRPC, which carries NFS and VXI-11: bit of the last fragment, length in 31 bits",
        source="RFC 5531, section 11 (record marking standard)",
        ports=(111, 2049),
        pipelining="Yes where the server does; the transaction identifier tells replies apart.",
        empty_frames="None in practice.",
        first_packet="The client calls.",
        heartbeats="None; procedure 0 serves as one.",
        limits="2 GiB a fragment; servers take what their program needs.",
        notes=(
            "A record of several fragments arrives as several messages, and nothing tells that the "
            "last one is complete: most programs send one fragment."
        ),
        recorded=("python-vxi11 0.9",),
    ),
    Entry(
        name="syslog-counted",
        layout=SYSLOG_COUNTED,
        title="Syslog over TCP and TLS, octet counting: decimal length, space, message",
        source="RFC 6587, section 3.4.1; RFC 5425, section 4.3",
        ports=(601, 6514),
        pipelining="Yes; nothing is ever answered.",
        empty_frames="None: the length does not begin with a zero.",
        first_packet="The sender connects and speaks.",
        heartbeats="None.",
        limits="RFC 5425 has receivers take 2,048 bytes, and recommends 8,192.",
        recorded=("rfc5424-logging-handler 1.4.3",),
    ),
    Entry(
        name="syslog-lines",
        layout=SYSLOG_LINES,
        title="Syslog over TCP, non-transparent framing: a line each",
        source="RFC 6587, section 3.4.2",
        ports=(514, 601),
        pipelining="Yes; nothing is ever answered.",
        empty_frames="An empty line is no message; receivers differ in what they make of it.",
        first_packet="The sender connects and speaks.",
        heartbeats="None.",
        limits="None here; RFC 5424 has receivers take 2,048 bytes, and 480 at the least.",
        notes=(
            "A message cannot have a line feed: rfc5424-logging-handler 1.4.3 sends a backslash "
            "and an n in its place. See syslog-counted for the other framing."
        ),
        recorded=("rfc5424-logging-handler 1.4.3",),
    ),
    Entry(
        name="kerberos-tcp",
        layout=KERBEROS_TCP,
        title="Kerberos 5 over TCP: length, message in DER",
        source="RFC 4120, section 7.2.2; the same for passwords: RFC 3244",
        ports=(88, 464),
        pipelining="No: by custom a connection serves one request.",
        empty_frames="None.",
        first_packet="The client speaks first, with AS-REQ or TGS-REQ.",
        heartbeats="None.",
        limits="The top bit of the length is reserved; this layout takes 1 MiB.",
        notes=("A length with the top bit is answered by KRB_ERR_FIELD_TOOLONG."),
        recorded=("krb5 1.20.1 (Debian)",),
    ),
)
"""All of this module."""
