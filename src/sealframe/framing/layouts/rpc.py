"""Calls, streams, and strings with a length in front of them."""

from __future__ import annotations

from typing import Final

from ...errors import MalformedLengthError
from ..layout import Framing
from ..numbers import Escaped
from ..sized import Sized
from ..text import Delimited
from ..with_preamble import WithPreamble
from .entry import Entry

HTTP_2: Final = WithPreamble(
    Framing(width=3, byteorder="big", adjustment=6, strip=0, minimum=9, maximum=9 + 16_384),
    client=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
"""HTTP/2 after TLS or with prior knowledge: a message is a frame with its header of 9 bytes."""

GRPC: Final = Framing(
    offset=1, width=4, byteorder="big", strip=0, minimum=5, maximum=5 + 4 * 1024 * 1024
)
"""Messages of gRPC within a stream of HTTP/2, with the byte that tells of compression."""

RSOCKET: Final = Framing(width=3, byteorder="big", minimum=6)
"""RSocket over TCP: a message is a frame from its stream identifier on."""

THRIFT: Final = Framing(byteorder="big", maximum=16_384_000)
"""Apache Thrift's framed transport: a message is one call or reply."""


PROTOBUF_DELIMITED: Final = Framing(varint=True)
"""Protocol Buffers' delimited messages: a message without its length."""


def capnp_size(head: bytes) -> int | None:
    """Return the size of a message of Cap'n Proto: a table of the sizes of its segments."""
    count = 1 + int.from_bytes(head[:4], "little")
    if count > _MAX_SEGMENTS:
        raise MalformedLengthError(
            f"a message of {count} segments; Cap'n Proto's own reader takes {_MAX_SEGMENTS}"
        )
    table = (4 + 4 * count + 7) // 8 * 8
    if len(head) < table:
        return None
    words = sum(int.from_bytes(head[4 * n : 4 * n + 4], "little") for n in range(1, count + 1))
    return table + 8 * words


_MAX_SEGMENTS: Final = 511
"""``InputStreamMessageReader`` in serialize.c++ wants fewer than 512."""

CAPNP: Final = Sized(capnp_size, head=(8, 4 + 4 * _MAX_SEGMENTS), maximum=64 * 1024 * 1024)
"""Cap'n Proto over a stream: a message is whole, with its table of segments."""


def fastcgi_size(head: bytes) -> int:
    """Return the size of a record of FastCGI: header, content, padding."""
    return 8 + int.from_bytes(head[4:6], "big") + head[6]


FASTCGI: Final = Sized(fastcgi_size, head=8, maximum=8 + 65_535 + 255)
"""FastCGI: a message is a record with its header and its padding."""

_HTTP_HEAD: Final = Delimited(b"\r\n\r\n", maximum=65_536)

WEBSOCKET: Final = WithPreamble(
    Framing(
        offset=1,
        length=Escaped(1, "big", mask=0x7F, wider={126: 2, 127: 8}, adds={0x80: 4}),
        strip=0,
        minimum=2,
    ),
    client=_HTTP_HEAD,
    server=_HTTP_HEAD,
)
"""WebSocket: a message is a frame with its header and mask; the first is the HTTP message."""

MULTIPROCESSING: Final = Framing(
    length=Escaped(4, "big", wider={0xFFFFFFFF: 8}), maximum=16 * 1024 * 1024
)
"""``multiprocessing.connection``: a message is what ``send_bytes`` was given."""

ERLANG_PACKET_1: Final = Framing(width=1)
"""Erlang's ``{packet, 1}``."""

ERLANG_PACKET_2: Final = Framing(width=2, byteorder="big")
"""Erlang's ``{packet, 2}``."""

ERLANG_PACKET_4: Final = Framing(width=4, byteorder="big")
"""Erlang's ``{packet, 4}``."""

TWISTED_INT16: Final = Framing(width=2, byteorder="big")
"""Twisted's ``Int16StringReceiver``."""

TWISTED_INT32: Final = Framing(width=4, byteorder="big", maximum=99_999)
"""Twisted's ``Int32StringReceiver``, with the limit that it has by default."""

_ERLANG_LIMITS: Final = (
    "What the length can express, but 2 GiB with {packet, 4}; {packet_size, N} of the receiver "
    "lowers it. Erlang/OTP 25 sends a message that is too long for 1 or 2 bytes with a length that "
    "wrapped, and says ok."
)

ENTRIES: Final = (
    Entry(
        name="http-2",
        layout=HTTP_2,
        title="HTTP/2: connection preface, then frames with a header of 9 bytes",
        source="RFC 9113, sections 3.4 and 4.1",
        ports=(80, 443),
        pipelining="Yes: streams are independent, up to SETTINGS_MAX_CONCURRENT_STREAMS.",
        empty_frames="Yes: SETTINGS with ACK, and DATA that end a stream.",
        first_packet=(
            "The client sends 24 fixed bytes and SETTINGS, the server SETTINGS; both may go on "
            "without waiting. Connections send the fixed bytes by themselves."
        ),
        heartbeats="PING, which has to be answered.",
        limits=(
            "16,384 bytes of payload, until the other end's SETTINGS_MAX_FRAME_SIZE allows more, "
            "up to 16,777,215 (section 4.2)."
        ),
        notes=(
            "The frames of one header block belong together, and every block has to be decoded: "
            "HPACK keeps a state."
        ),
        recorded=("h2 4.4.1", "grpcio 1.85.3"),
    ),
    Entry(
        name="websocket",
        layout=WEBSOCKET,
        title="WebSocket: HTTP handshake, then frames with a length of 1, 3 or 9 bytes",
        source="RFC 6455, sections 4 and 5.2",
        ports=(80, 443),
        pipelining="Yes, after the handshake.",
        empty_frames="Yes: messages, fragments, PING and CLOSE may have no payload.",
        first_packet=(
            "The client sends an HTTP request and the server answers 101: these are the first "
            "messages, without the empty line that ends them."
        ),
        heartbeats="PING, which has to be answered with PONG.",
        limits=(
            "2^63 - 1 bytes; websockets takes messages of 1 MiB by default. This layout takes "
            "frames of 16 MiB."
        ),
        notes=(
            "What a client sends is masked with 4 bytes behind the length (section 5.3), which you "
            "put there and take away: an application is better off with a library of WebSocket. "
            "Messages may be several frames."
        ),
        recorded=("websockets 15.0.1", "wsproto 1.3.2"),
    ),
    Entry(
        name="grpc",
        layout=GRPC,
        title="gRPC messages in the DATA of an HTTP/2 stream: flag, length, message",
        source='"gRPC over HTTP2", Length-Prefixed-Message',
        pipelining="As the method says; messages of a stream are in order.",
        empty_frames="Yes: a message without fields has 0 bytes.",
        first_packet="None of its own.",
        heartbeats="None of its own; HTTP/2 has PING.",
        limits="4 MiB received by default (grpc.max_receive_message_length).",
        notes="Not a layout of a connection: the frames of HTTP/2 cut messages anywhere.",
        recorded=("grpcio 1.85.3",),
    ),
    Entry(
        name="rsocket",
        layout=RSOCKET,
        title="RSocket over TCP: length of 3 bytes, frame",
        source='RSocket protocol 1.0, "Framing Format"',
        pipelining="Yes: streams are independent.",
        empty_frames="None: a frame has a header of 6 bytes at least.",
        first_packet="The client speaks first, with SETUP or RESUME.",
        heartbeats=(
            "The client sends KEEPALIVE at the interval that its SETUP names; the server answers."
        ),
        limits="16,777,215 bytes; longer payloads are fragmented.",
        recorded=("rsocket 0.4.20",),
    ),
    Entry(
        name="thrift",
        layout=THRIFT,
        title="Apache Thrift, framed transport: length, message",
        source='Apache Thrift, "Thrift Remote Procedure Call", "Framed vs. unframed transport"',
        ports=(9090,),
        pipelining="As the server says: many answer in order, some as they are done.",
        empty_frames=(
            "Better none: thriftpy2 0.7.1's compiled transport raises on one; its Python one, and "
            "Apache's 0.25.0, write one when they flush nothing."
        ),
        first_packet="The client speaks first.",
        heartbeats="None.",
        limits="16,384,000 bytes: the specification's, and the default of Apache Thrift 0.25.0.",
        notes=(
            "An unframed transport has no length: what begins 0x80 0x01 is not this. What Apache's "
            "transport wrote went into memory, not to a server."
        ),
        recorded=("thriftpy2 0.7.1", "thrift 0.25.0"),
    ),
    Entry(
        name="protobuf-delimited",
        layout=PROTOBUF_DELIMITED,
        title="Protocol Buffers, delimited: varint, message",
        source="Protocol Buffers, writeDelimitedTo and parseDelimitedFrom of each language",
        empty_frames="Yes: a message without fields has 0 bytes.",
        first_packet="As the protocol on top says.",
        limits="2 GiB; libraries and programs take less.",
        notes=(
            "No protocol of its own: a way to write messages one after the other. The recorded "
            "ones were written into memory."
        ),
        recorded=("protobuf 7.36.2",),
    ),
    Entry(
        name="capnp",
        layout=CAPNP,
        title="Cap'n Proto over a stream: table of segments, segments",
        source='Cap\'n Proto, "Encoding Spec", "Serialization Over a Stream"',
        pipelining="Yes: calls on promises, before these are fulfilled.",
        empty_frames="A message has one segment at least, which may have no words.",
        first_packet="The client speaks first, with Bootstrap as a rule.",
        heartbeats="None.",
        limits=(
            "A reader's traversal limit, 64 MiB by default, and fewer than 512 segments in Cap'n "
            "Proto's own."
        ),
        notes="Not the packed encoding.",
        recorded=("pycapnp 2.2.4",),
    ),
    Entry(
        name="fastcgi",
        layout=FASTCGI,
        title="FastCGI: records with a header of 8 bytes, content, padding",
        source="FastCGI Specification 1.0, section 3.3",
        ports=(9000,),
        pipelining=(
            "By the specification, if FCGI_MPXS_CONNS says 1; most applications take one request "
            "at a time, and close unless FCGI_KEEP_CONN is set."
        ),
        empty_frames="Yes: a record without content ends its stream.",
        first_packet="The client speaks first, with FCGI_BEGIN_REQUEST.",
        heartbeats="None.",
        limits="65,535 bytes of content and 255 of padding.",
        notes="What answers the recorded client is a script around fcgiproto.",
        recorded=("fcgi-client 0.0.1", "fcgiproto 1.0.2"),
    ),
    Entry(
        name="multiprocessing",
        layout=MULTIPROCESSING,
        title="Python's multiprocessing.connection: length, pickle or bytes",
        source="CPython, Lib/multiprocessing/connection.py, Connection._send_bytes",
        pipelining="As the protocol on top says.",
        empty_frames='Yes: send_bytes(b"").',
        first_packet=(
            "With authkey=, both ends prove in six messages that they know it; four of these begin "
            "with # and the name of what they are."
        ),
        heartbeats="None.",
        limits=(
            "2^63 - 1 bytes: from 2 GiB on the length is -1, and 8 bytes follow with the size. "
            "This layout takes 16 MiB. With a maximum of 2 GiB and more it reads all, but do not "
            "send such messages: the receiver reads 4 bytes as a signed number."
        ),
        notes=(
            "Connections of the Unix domain and of TCP; pipes of Windows keep messages apart "
            "themselves. Never unpickle what a stranger sent. Only bytes of one end are recorded."
        ),
        recorded=("Python 3.11.7",),
    ),
    *(
        Entry(
            name=f"erlang-packet-{width}",
            layout=layout,
            title=f"Erlang sockets with {{packet, {width}}}: length, message",
            source="Erlang/OTP documentation, inet:setopts/2, option packet",
            pipelining="As the protocol on top says.",
            empty_frames="Yes.",
            limits=_ERLANG_LIMITS,
            notes="Only bytes of one end are recorded.",
            recorded=("Erlang/OTP 25",),
        )
        for width, layout in ((1, ERLANG_PACKET_1), (2, ERLANG_PACKET_2), (4, ERLANG_PACKET_4))
    ),
    Entry(
        name="twisted-int16",
        layout=TWISTED_INT16,
        title="Twisted's Int16StringReceiver: length, string",
        source="Twisted, twisted.protocols.basic",
        pipelining="As the protocol on top says.",
        empty_frames="Yes.",
        limits="65,535 bytes; Twisted's own limit of 99,999 is above that.",
        notes="The recorded strings were written into memory; there was no conversation.",
        recorded=("Twisted 26.10.0",),
    ),
    Entry(
        name="twisted-int32",
        layout=TWISTED_INT32,
        title="Twisted's Int32StringReceiver: length, string",
        source="Twisted, twisted.protocols.basic",
        pipelining="As the protocol on top says.",
        empty_frames="Yes.",
        limits=(
            "99,999 bytes unless MAX_LENGTH is set: Twisted closes the connection on a longer "
            "one, without a word."
        ),
        notes="The recorded strings were written into memory; there was no conversation.",
        recorded=("Twisted 26.10.0",),
    ),
)
"""All of this module."""
