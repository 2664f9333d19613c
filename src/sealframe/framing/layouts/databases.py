"""Databases and caches."""

from __future__ import annotations

import zlib
from typing import Final

from ...errors import MalformedLengthError
from ..layout import Framing
from ..numbers import Uint
from ..parts import Checksum
from ..sized import Sized
from ..with_preamble import WithPreamble
from .entry import Entry

POSTGRESQL: Final = WithPreamble(
    Framing(offset=1, width=4, byteorder="big", adjustment=-4, strip=0, minimum=5),
    client=Framing(
        width=4, byteorder="big", includes_header=True, strip=0, minimum=8, maximum=10_004
    ),
)
"""PostgreSQL: a message is whole, from its type on; a client's first has none."""

MYSQL: Final = Framing(width=3, adjustment=1, strip=0, minimum=4, maximum=4 + 0xFFFFFF)
"""MySQL and MariaDB: a message is one packet, with its length and sequence number."""

MONGODB: Final = Framing(width=4, includes_header=True, strip=0, minimum=16, maximum=48_000_000)
"""MongoDB: a message is whole, from its header on."""

CASSANDRA: Final = Framing(
    offset=5, width=4, byteorder="big", strip=0, minimum=9, maximum=9 + 256 * 1024 * 1024
)
"""Cassandra: a message is one envelope, called frame up to version 4, with its header."""


def cassandra_crc24(data: memoryview) -> int:
    """Return the CRC-24 of a segment's header, of 3 or 5 bytes, that starts with 0x875060."""
    crc = 0x875060
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1974F0B
    return crc


_CASSANDRA_CRC32_START: Final = zlib.crc32(bytes.fromhex("fa2d55ca"))


def cassandra_crc32(data: memoryview) -> int:
    """Return the CRC-32 of a segment's payload, which four fixed bytes are put before."""
    return zlib.crc32(data, _CASSANDRA_CRC32_START)


_CASSANDRA_CHECKSUMS: Final = (
    Checksum(3, cassandra_crc24, "head", "head", "little"),
    Checksum(4, cassandra_crc32, "body", "end", "little"),
)

CASSANDRA_V5: Final = Framing(
    length=Uint(3, mask=0x1FFFF, flags=0x20000), strip=0, checksums=_CASSANDRA_CHECKSUMS
)
"""Segments of Cassandra's version 5: a message is the header of 6 bytes and the payload."""

CASSANDRA_V5_COMPRESSED: Final = Framing(
    length=Uint(5, mask=0x1FFFF, flags=0x400000000), strip=0, checksums=_CASSANDRA_CHECKSUMS
)
"""The same with compression: a message is the header of 8 bytes and the payload."""

TDS: Final = Framing(
    offset=2, width=2, byteorder="big", includes_header=True, strip=0, minimum=8, maximum=32_767
)
"""TDS, of Microsoft SQL Server and Sybase: a message is one packet, with its header."""


def resp_size(head: bytes) -> int:
    """Return the size of one part of RESP, given its line: a bulk string has data behind it."""
    number = head[1:-2]
    if head[:1] in (b"$", b"=", b"!", b";") and number.isdigit() and head != b";0\r\n":
        return len(head) + int(number) + 2
    return len(head)


RESP: Final = Sized(resp_size, head=65_536, until=b"\r\n", maximum=512 * 1024 * 1024 + 16)
"""RESP, of Redis and Valkey: a message is a line, with its data where it is a bulk string."""

MEMCACHED_BINARY: Final = Framing(
    offset=8, width=4, byteorder="big", adjustment=12, strip=0, minimum=24
)
"""memcached's binary protocol: a message is whole, with its header of 24 bytes."""


def _bolt_handshake(head: bytes) -> int:
    """Return the size of what a client of Bolt sends first."""
    del head
    return 20


def _bolt_version(head: bytes) -> int:
    """Return the size of what a server of Bolt answers to that."""
    del head
    return 4


BOLT: Final = WithPreamble(
    Framing(width=2, byteorder="big"),
    client=Sized(_bolt_handshake, head=1, maximum=20),
    server=Sized(_bolt_version, head=1, maximum=4),
)
"""Bolt, of Neo4j: a message is a chunk without its length; an empty one ends what they make up."""


def tarantool_size(head: bytes) -> int | None:
    """Return the size of a packet of IPROTO, whose length is a number of MessagePack.

    :raises MalformedLengthError: it is none
    """
    first = head[0]
    if first < 0x80:
        return 1 + first
    width = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}.get(first)
    if width is None:
        raise MalformedLengthError(f"byte {first:#04x} is no number of MessagePack above -1")
    if len(head) <= width:
        return None
    return 1 + width + int.from_bytes(head[1 : 1 + width], "big")


def _tarantool_greeting(head: bytes) -> int:
    """Return the size of a greeting of Tarantool."""
    del head
    return 128


TARANTOOL: Final = WithPreamble(
    Sized(tarantool_size, head=(1, 9)), server=Sized(_tarantool_greeting, head=1, maximum=128)
)
"""Tarantool's IPROTO: a message is a packet with its length; a server's first is the greeting."""


ENTRIES: Final = (
    Entry(
        name="postgresql",
        layout=POSTGRESQL,
        title="PostgreSQL: type, length that counts itself, body",
        source='PostgreSQL documentation, chapter "Frontend/Backend Protocol", "Message Formats"',
        ports=(5432,),
        pipelining=(
            "Yes, with the extended query protocol (Parse, Bind, Execute), up to a Sync. Answers "
            "come in the order of the requests."
        ),
        empty_frames="Yes: Sync, Flush, Terminate and others are a type and a length of 4.",
        first_packet=(
            "The client speaks first. Its StartupMessage, SSLRequest, GSSENCRequest and "
            "CancelRequest have no type. The server answers the second and the third with a "
            "single byte, which is no frame: do not ask for encryption, or do it before."
        ),
        heartbeats="None.",
        limits=(
            "10,004 bytes for the first message of a client; then 1 GiB, and 10,000 bytes besides "
            "the type for what is short by its nature (PQ_LARGE_MESSAGE_LIMIT and "
            "PQ_SMALL_MESSAGE_LIMIT in libpq.h, since version 14). This layout takes 16 MiB."
        ),
        recorded=("asyncpg 0.32.0", "pg8000 1.31.6", "PostgreSQL 15.18"),
    ),
    Entry(
        name="mysql",
        layout=MYSQL,
        title="MySQL and MariaDB: length of 3 bytes, sequence number, payload",
        source='MySQL source documentation, "MySQL Packets" in "Protocol Basics"',
        ports=(3306,),
        pipelining=(
            "No: the sequence number starts again at 0 with each command, and one command is "
            "answered before the next."
        ),
        empty_frames=(
            "Yes: a packet without payload ends a payload of 16,777,215 bytes, and a file of LOAD "
            "DATA LOCAL."
        ),
        first_packet="The server speaks first.",
        heartbeats="None; COM_PING is a command like others.",
        limits=(
            "16,777,215 bytes of payload in a packet; one that is full goes on in the next. "
            "max_allowed_packet limits what they make together."
        ),
        notes=(
            "After a client's SSLRequest everything is TLS. With compression agreed on the frames "
            "are others, of 7 bytes of head."
        ),
        recorded=("PyMySQL 1.2.4", "mysql-mimic 3.0.5"),
    ),
    Entry(
        name="mongodb",
        layout=MONGODB,
        title="MongoDB wire protocol: standard message header, body",
        source='MongoDB documentation, "MongoDB Wire Protocol", "Standard Message Header"',
        ports=(27017,),
        pipelining="Answers name their request (responseTo); drivers have one under way.",
        empty_frames="None: pymongo 4.20.1 takes 17 bytes for the least.",
        first_packet="The client speaks first, with hello.",
        heartbeats="None on the connection of a request; monitors send hello on their own.",
        limits="48,000,000 bytes, which hello tells as maxMessageSizeBytes.",
        recorded=("pymongo 4.20.1", "mockupdb 1.8.1"),
    ),
    Entry(
        name="cassandra",
        layout=CASSANDRA,
        title="Cassandra native protocol, versions 3 to 5: header of 9 bytes, body",
        source="native_protocol_v4.spec, section 2; native_protocol_v5.spec, section 2.4",
        ports=(9042,),
        pipelining=(
            "Yes: up to 32,768 requests, told apart by their stream identifiers; answers come in "
            "any order."
        ),
        empty_frames="Yes: OPTIONS and READY have no body.",
        first_packet="The client speaks first, with OPTIONS or STARTUP.",
        heartbeats="None; drivers send OPTIONS where nothing else happens.",
        limits="256 MiB of body.",
        notes=(
            "In version 5 envelopes stand so on the wire up to the answer to STARTUP; after it "
            "they are in segments. The recorded envelopes were packed by a driver; there was no "
            "conversation."
        ),
        recorded=("cassandra-driver 3.30.1",),
    ),
    Entry(
        name="cassandra-v5",
        layout=CASSANDRA_V5,
        title="Cassandra native protocol, version 5: segments with two checksums",
        source="native_protocol_v5.spec, section 2.1",
        ports=(9042,),
        pipelining="As that of the envelopes in them.",
        empty_frames="By the specification, yes; nobody sends them.",
        first_packet="Not before the answer to STARTUP: see cassandra.",
        heartbeats="As those of the envelopes in them.",
        limits="131,071 bytes of payload.",
        notes=(
            "Bit 17 of the header says that the payload is whole envelopes; without it, it is a "
            "part of one. The CRC-24 of the header is worked out anew when a message is sent. The "
            "recorded segments were packed by a driver; there was no conversation."
        ),
        recorded=("cassandra-driver 3.30.1",),
    ),
    Entry(
        name="cassandra-v5-compressed",
        layout=CASSANDRA_V5_COMPRESSED,
        title="Cassandra native protocol, version 5: segments that may be compressed",
        source="native_protocol_v5.spec, section 2.2",
        ports=(9042,),
        pipelining="As that of the envelopes in them.",
        empty_frames="By the specification, yes; nobody sends them.",
        first_packet="Not before the answer to STARTUP: see cassandra.",
        heartbeats="As those of the envelopes in them.",
        limits="131,071 bytes of payload, compressed or not.",
        notes=(
            "Bits 17 to 33 of the header are the size before compression, 0 where there is none, "
            "and bit 34 says that the payload is whole envelopes. The recorded segments were "
            "packed by a driver with a stand-in for LZ4, which the layout does not look into."
        ),
        recorded=("cassandra-driver 3.30.1",),
    ),
    Entry(
        name="tds",
        layout=TDS,
        title="TDS, of SQL Server and Sybase: packets with a header of 8 bytes",
        source="[MS-TDS], section 2.2.3.1",
        ports=(1433,),
        pipelining="No: one request at a time, unless MARS is agreed on.",
        empty_frames="Yes: an attention is a header alone.",
        first_packet="The client speaks first, with PRELOGIN.",
        heartbeats="None.",
        limits="512 to 32,767 bytes, as the login agrees on; 4,096 before and mostly after it.",
        notes=(
            "A message is one or more packets; bit 0 of the second byte marks the last. A TLS "
            "handshake travels inside of packets, what is encrypted after it does not. Only bytes "
            "of a client are recorded."
        ),
        recorded=("python-tds 1.17.1",),
    ),
    Entry(
        name="resp",
        layout=RESP,
        title="RESP 2 and 3, of Redis and Valkey: lines, and bulk strings with a length",
        source='Redis documentation, "Redis serialization protocol specification"',
        ports=(6379,),
        pipelining="Yes; answers come in the order of the requests.",
        empty_frames=r"Yes: an empty bulk string is $0\r\n\r\n; null is $-1\r\n and has no data.",
        first_packet="The client speaks first.",
        heartbeats="None; PING is a command like others.",
        limits=(
            "512 MiB for a bulk string (proto-max-bulk-len). A line of this layout has up to "
            "65,536 bytes."
        ),
        notes=(
            "A message is one part, with its CR LF: an array, a set, a map or a push is a message "
            "with the number of its parts, and then the parts. Commands written in a line are one "
            "message."
        ),
        recorded=("redis 8.1.0", "Redis 7.0.15"),
    ),
    Entry(
        name="memcached-binary",
        layout=MEMCACHED_BINARY,
        title="memcached, binary protocol: header of 24 bytes, extras, key, value",
        source='memcached wiki, "BinaryProtocolRevamped", "Packet Structure"',
        ports=(11211,),
        pipelining=(
            "Yes; answers come in order. Quiet commands are answered only where there is "
            "something to say, and a no-op marks the end."
        ),
        empty_frames="Yes: a body may be empty.",
        first_packet="The client speaks first; its first byte decides between this and text.",
        heartbeats="None; no-op is a command like others.",
        limits="1 MiB for a value by default (-I).",
        notes="memcached calls it deprecated, in favour of the text protocol with meta commands.",
        recorded=("python-binary-memcached 0.33.0", "memcached 1.6.18"),
    ),
    Entry(
        name="bolt",
        layout=BOLT,
        title="Bolt, of Neo4j: handshake, then chunks with a length of two bytes",
        source="Bolt protocol: handshake, message transfer encoding",
        ports=(7687,),
        pipelining="Yes; answers come in the order of the requests.",
        empty_frames=(
            "An empty chunk ends a message, which may have several chunks; between messages it "
            "keeps a connection alive."
        ),
        first_packet=(
            "The client sends 60 60 B0 17 and four versions, 20 bytes; the server answers with one "
            "version, 4 bytes. Each is a message here."
        ),
        heartbeats="Empty chunks, if the server's hints ask for them.",
        limits="65,535 bytes a chunk.",
        notes=(
            "The answer 00 00 01 FF of newer servers has a list of versions behind it, which this "
            "layout does not know. Only a client is recorded, with a scripted server."
        ),
        recorded=("neo4j 6.4.1",),
    ),
    Entry(
        name="tarantool",
        layout=TARANTOOL,
        title="Tarantool's IPROTO: greeting, then packets whose length is a MessagePack number",
        source="Tarantool documentation, Client-server protocol",
        ports=(3301,),
        pipelining="Yes; IPROTO_SYNC tells answers apart.",
        empty_frames="None: there is a header.",
        first_packet="The server sends 128 bytes of text, which are a message here.",
        heartbeats="IPROTO_PING, if a client sends it.",
        limits="net_msg_max bounds the requests under way, 768 by default.",
        notes="The server always writes 0xCE and four bytes, clients write the shortest form.",
        recorded=("tarantool 1.3.0", "Tarantool 2.6.0 (Debian)"),
    ),
)
"""All of this module."""
