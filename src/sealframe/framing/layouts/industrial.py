"""Controllers, machines, power stations, meters and accelerators."""

from __future__ import annotations

from typing import Final

from ..layout import Framing
from ..parts import Magic
from ..sized import Sized
from .entry import Entry

MODBUS_TCP: Final = Framing(
    magic=Magic(b"\0\0", offset=2),
    offset=4,
    width=2,
    byteorder="big",
    strip=0,
    minimum=8,
    maximum=260,
)
"""Modbus/TCP: a message is an application data unit, from its transaction identifier on."""

HSMS: Final = Framing(byteorder="big", minimum=10)
"""HSMS (SECS-II, GEM): a message is a header of 10 bytes and the text."""

OPC_UA: Final = Framing(offset=4, includes_header=True, strip=0, minimum=8)
"""OPC UA over TCP: a message is a chunk with its header."""

IEC_104: Final = Framing(magic=b"\x68", offset=1, width=1, strip=0, minimum=6, maximum=255)
"""IEC 60870-5-104: a message is an APDU, from its start byte 0x68 on."""

ETHERNET_IP: Final = Framing(offset=2, width=2, adjustment=20, strip=0, minimum=24, maximum=65_535)
"""EtherNet/IP: a message is a packet with its header of 24 bytes."""

AMS: Final = Framing(offset=2, strip=0, minimum=38)
"""Beckhoff ADS, AMS over TCP: a message has the AMS/TCP header and the AMS header."""

TPKT: Final = Framing(
    magic=b"\x03", offset=2, width=2, byteorder="big", includes_header=True, strip=0, minimum=7
)
"""TPKT (RFC 1006), which carries S7, MMS, RDP and H.225: a message is a packet with its header."""

SLMP: Final = Framing(offset=7, width=2, strip=0, minimum=11)
"""Mitsubishi MELSEC, SLMP and MC protocol in 3E frames of binary code, with their header."""

KNXNET_IP: Final = Framing(
    magic=b"\x06\x10", offset=4, width=2, byteorder="big", includes_header=True, strip=0, minimum=6
)
"""KNXnet/IP over TCP: a message is a frame with its header of 6 bytes."""

DLMS: Final = Framing(magic=b"\x00\x01", offset=6, width=2, byteorder="big", strip=0)
"""DLMS/COSEM in the TCP wrapper: a message is an APDU behind the wrapper's 8 bytes."""


def epics_ca_size(head: bytes) -> int | None:
    """Return the size of a message of Channel Access; None asks for the extended header."""
    if head[2:4] != b"\xff\xff":
        return 16 + int.from_bytes(head[2:4], "big")
    return 24 + int.from_bytes(head[16:20], "big") if len(head) >= 24 else None


EPICS_CA: Final = Sized(epics_ca_size, head=(16, 24))
"""EPICS Channel Access: a message has its header of 16 or 24 bytes."""


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
        limits="260 bytes: 7 of the header and 253 of the PDU.",
        notes="The length counts from the unit identifier on.",
        recorded=("pymodbus 3.16.1",),
    ),
    Entry(
        name="hsms",
        layout=HSMS,
        title="HSMS, which carries SECS-II and GEM: length, header of 10 bytes, text",
        source="SEMI E37, section 8 (message format)",
        ports=(5000,),
        pipelining="Several transactions may be open; the system bytes tell them apart.",
        empty_frames="Control messages (select, linktest, separate) are a header alone, 10 bytes.",
        first_packet="The active end, which connected, sends Select.req.",
        heartbeats="Linktest.req from either end; it wants Linktest.rsp within T6, 5 s by default.",
        limits="What the length can express; equipment often takes far less.",
        notes=(
            "An end may hang up when a message stalls for T8 (5 s by default). The port is up to "
            "the equipment; 5000 is common."
        ),
        recorded=("secsgem 0.3.0",),
    ),
    Entry(
        name="opc-ua",
        layout=OPC_UA,
        title="OPC UA connection protocol: message type, chunk type, size of the whole chunk",
        source="OPC 10000-6 (OPC UA part 6), section 7.1.2.2",
        ports=(4840,),
        pipelining="Yes; answers carry the request's identifier and may come in another order.",
        empty_frames="None: every chunk has something behind its 8 bytes.",
        first_packet=(
            "The client sends HEL, the server ACK; both in the same layout. A server that connects "
            "sends RHE before."
        ),
        heartbeats="None here; sessions and subscriptions have their own.",
        limits=(
            "The buffer sizes of HEL and ACK: 8,192 bytes a chunk unless a HEL asks for less. "
            "asyncua 2.1.0 acknowledges them the wrong way round, and sends chunks larger than it "
            "announced."
        ),
        recorded=("asyncua 2.1.0",),
    ),
    Entry(
        name="iec-104",
        layout=IEC_104,
        title="IEC 60870-5-104: start byte 0x68, length, control fields, ASDU",
        source="IEC 60870-5-104, section 5 (APCI)",
        ports=(2404,),
        pipelining="Up to k (12 by default) unacknowledged I frames either way.",
        empty_frames="S and U frames are 6 bytes without an ASDU.",
        first_packet="The controlling station, which connected, sends STARTDT act.",
        heartbeats="TESTFR act after t3 (20 s by default) of silence; it wants TESTFR con.",
        limits="255 bytes: the length is at most 253.",
        notes="lib60870 (c104 2.2.1) also takes frames with a length of 3, 254 and 255.",
        recorded=("c104 2.2.1",),
    ),
    Entry(
        name="ethernet-ip",
        layout=ETHERNET_IP,
        title="EtherNet/IP encapsulation: command, length, 20 more bytes of header, data",
        source="The CIP Networks Library, volume 2, section 2-3.1",
        ports=(44_818,),
        pipelining="The sender context tells replies apart; devices differ in how many they take.",
        empty_frames="Commands such as ListIdentity have no data, 24 bytes.",
        first_packet="The client, mostly with RegisterSession; List commands need no session.",
        heartbeats="None; NOP is allowed and not answered.",
        limits="65,535 bytes with the header.",
        recorded=("cpppo 5.2.5",),
    ),
    Entry(
        name="ams",
        layout=AMS,
        title="Beckhoff ADS: AMS/TCP header (2 reserved bytes, length), AMS header, data",
        source="Beckhoff Information System, TwinCAT ADS/AMS specification, AMS/TCP packet",
        ports=(48_898,),
        pipelining="Yes; the invoke identifier tells replies apart.",
        empty_frames="Some requests have no data behind the AMS header, 38 bytes.",
        first_packet="The client speaks first; the device needs a route to it beforehand.",
        heartbeats="None.",
        notes=("A device sends notifications on its own. The ADS library has port 48898 built in."),
        recorded=("pyads 3.6.0",),
    ),
    Entry(
        name="tpkt",
        layout=TPKT,
        title="TPKT, which carries S7, MMS, RDP and H.225: version 3, reserved, length of all",
        source="RFC 1006, section 6",
        ports=(102, 1720, 3389),
        pipelining="S7: as many as the negotiated number of parallel jobs.",
        empty_frames="None: the shortest has a TPDU of 3 bytes, 7 in all.",
        first_packet="The client sends a connection request (COTP CR) in the same layout.",
        heartbeats="None.",
        limits="65,535 bytes; S7 negotiates a PDU size, mostly 240 to 960 bytes.",
        notes="RDP's fast-path packets, after the logon, are of another layout.",
        recorded=("python-snap7 3.3.0",),
    ),
    Entry(
        name="slmp",
        layout=SLMP,
        title="MELSEC SLMP and MC protocol, 3E frame, binary: 7 bytes of route, length, data",
        source="Mitsubishi Electric SH(NA)-080956ENG, SLMP Reference Manual, message format",
        pipelining="No: 3E frames have no serial number, so replies come in the order of requests.",
        empty_frames="None: a request has a monitoring timer, a response an end code.",
        first_packet="The client speaks first.",
        heartbeats="None.",
        notes=(
            "Frames in ASCII code and 4E frames are of other layouts. The port is set in the "
            "controller. Only bytes of a client are recorded."
        ),
        recorded=("pymcprotocol 0.3.0",),
    ),
    Entry(
        name="knxnet-ip",
        layout=KNXNET_IP,
        title="KNXnet/IP: header length 6, version 0x10, service type, length of all",
        source="KNX Standard 3/8/2 (KNXnet/IP core)",
        ports=(3671,),
        pipelining=(
            "Better not: a tunnel over UDP has one request under way, which is acknowledged."
        ),
        empty_frames="None that a tunnel uses.",
        first_packet="The client sends CONNECT_REQUEST.",
        heartbeats=(
            "CONNECTIONSTATE_REQUEST from the client, so that no 120 s pass without one; xknx "
            "4.0.0 sends it every 70 s."
        ),
        notes=(
            "Most installations use UDP; the frames are the same. The recorded frames were packed "
            "by the package; there was no conversation."
        ),
        recorded=("xknx 4.0.0",),
    ),
    Entry(
        name="dlms",
        layout=DLMS,
        title="DLMS/COSEM wrapper: version 1, source and destination port, length, APDU",
        source=(
            "IEC 62056-4-7 (first 62056-47); DLMS UA 1000-2 (Green Book), TCP-UDP/IP communication "
            "profile"
        ),
        ports=(4059,),
        pipelining="No: a client waits for the answer.",
        first_packet="The client sends AARQ.",
        heartbeats="None.",
        limits="65,535 bytes of APDU; the association negotiates a maximum PDU size below that.",
        notes="The recorded meter is a script around the same package's wrapper.",
        recorded=("dlms-cosem 25.1.0",),
    ),
    Entry(
        name="epics-ca",
        layout=EPICS_CA,
        title="EPICS Channel Access: header of 16 bytes with the payload's size, payload",
        source="EPICS Channel Access protocol specification 1.4, message structure",
        ports=(5064,),
        pipelining="Yes; identifiers in the header tell answers apart.",
        empty_frames="Many messages are a header alone, 16 bytes.",
        first_packet="Both ends send CA_PROTO_VERSION; the client its host's and its user's name.",
        heartbeats="CA_PROTO_ECHO, after 15 seconds without a message in EPICS' own client.",
        limits="EPICS_CA_MAX_ARRAY_BYTES of either end, 16,384 bytes in old releases.",
        notes=(
            "Payloads are padded to 8 bytes, and the size counts the padding. A size of 0xFFFF "
            "means that 8 more bytes of header follow, with the size in the first four."
        ),
        recorded=("caproto 1.3.0",),
    ),
)
"""All of this module."""
