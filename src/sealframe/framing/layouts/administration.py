"""Debuggers, agents, monitoring, logs and versions."""

from __future__ import annotations

from typing import Final

from ...errors import MalformedLengthError
from ..choice import Choice
from ..layout import Framing
from ..sized import Sized
from ..text import Delimited
from ..with_preamble import WithPreamble
from .entry import Entry

JDWP: Final = WithPreamble(
    Framing(width=4, byteorder="big", includes_header=True, strip=0, minimum=11),
    client=b"JDWP-Handshake",
    server=b"JDWP-Handshake",
)
"""JDWP, of Java's debuggers: a message is a packet with its header."""

ADB: Final = Framing(
    offset=12, width=4, adjustment=8, strip=0, minimum=24, maximum=24 + 1024 * 1024
)
"""ADB, of Android's debugger: a message is whole, with its header of 24 bytes."""

SSH_AGENT: Final = Framing(byteorder="big", minimum=1, maximum=262_144)
"""The protocol of SSH agents: a message is a type and its contents, without the length."""

_ZABBIX: Final = Framing(offset=5, width=4, adjustment=4, strip=0, minimum=13)
_ZABBIX_LARGE: Final = Framing(offset=5, width=8, adjustment=8, strip=0, minimum=21)


def zabbix_layout(head: bytes) -> Framing | None:
    """Return the layout of a packet that begins so: bit 2 of the flags says that it is large."""
    if not head.startswith(b"ZBXD"):
        return None
    return _ZABBIX_LARGE if head[4] & 4 else _ZABBIX


ZABBIX: Final = Choice(zabbix_layout, head=5)
"""Zabbix: a message is a packet with its header, compressed if it says so."""

_HEXADECIMAL: Final = frozenset(b"0123456789abcdefABCDEF")


def git_size(head: bytes) -> int:
    """Return the size of a pkt-line; 0000, 0001 and 0002 stand alone and have 4 bytes.

    :raises MalformedLengthError: these are no hexadecimal digits, or 0003
    """
    if not _HEXADECIMAL.issuperset(head) or head == b"0003":
        raise MalformedLengthError(
            "a pkt-line of git begins with four hexadecimal digits, 0000 to 0002, or 0004 and "
            f"more, not {head!r}"
        )
    return max(4, int(head, 16))


GIT: Final = Sized(git_size, head=4, maximum=65_520)
"""Git's pkt-lines: a message is a line with its four digits, or one of 0000, 0001 and 0002."""

PYTHON_LOGGING: Final = Framing(byteorder="big", minimum=1)
"""SocketHandler of Python's logging: a message is a pickle of a record's attributes."""

GELF_TCP: Final = Delimited(b"\0")
"""GELF over TCP: a message is the JSON, without the NUL behind it."""

VARLINK: Final = Delimited(b"\0")
"""Varlink: a message is the JSON, without the NUL behind it."""

ENTRIES: Final = (
    Entry(
        name="jdwp",
        layout=JDWP,
        title="Java Debug Wire Protocol: handshake, then packets with a header of 11 bytes",
        source='Java Debug Wire Protocol, "JDWP Start Up" and "JDWP Packets"',
        ports=(8000,),
        pipelining="Yes: replies name their command, and may come in any order.",
        empty_frames="Yes: a packet may be its header alone.",
        first_packet=(
            "The debugger sends 14 bytes, the virtual machine the same. Connections send them by "
            "themselves."
        ),
        heartbeats="None.",
        limits="None in the specification; this layout takes 16 MiB.",
        notes="Either end may be the one that listens.",
        recorded=("jdb 17.0.15", "OpenJDK 17.0.15"),
    ),
    Entry(
        name="adb",
        layout=ADB,
        title="Android Debug Bridge, between server and device: header of 24 bytes, data",
        source="Android Open Source Project, adb, protocol.txt",
        ports=(5555,),
        pipelining="A stream sends WRTE only after OKAY; streams are independent.",
        empty_frames="Yes: OKAY and CLSE have no data.",
        first_packet="The host speaks first, with CNXN.",
        heartbeats="None.",
        limits=(
            "As both ends' CNXN say: 4,096 bytes of data at first, 256 KiB since Android 7, 1 MiB "
            "since Android 9."
        ),
        notes=(
            "Not what clients of the adb server speak on port 5037. The recorded device is one "
            "that packs its messages with the same package."
        ),
        recorded=("adb-shell 0.4.4",),
    ),
    Entry(
        name="ssh-agent",
        layout=SSH_AGENT,
        title="SSH agent protocol: length, type, contents",
        source="RFC 9987 (SSH Agent Protocol), section 5",
        pipelining="Yes: an agent answers in order (section 3).",
        empty_frames="None: there is a type at least.",
        first_packet="The client speaks first.",
        heartbeats="None.",
        limits="262,144 bytes in OpenSSH (AGENT_MAX_LEN).",
        notes="On a socket of the Unix domain, whose path is in SSH_AUTH_SOCK.",
        recorded=("paramiko 5.1.0", "OpenSSH 9.2p1"),
    ),
    Entry(
        name="zabbix",
        layout=ZABBIX,
        title="Zabbix: ZBXD, flags, length, reserved, data",
        source='Zabbix documentation, appendix "Protocols", "Header"',
        ports=(10050, 10051),
        pipelining="No: one request of a connection, as a rule; the answer ends it.",
        empty_frames="By the header, yes.",
        first_packet="The one that connects speaks first.",
        heartbeats="None on a connection.",
        limits=(
            "1 GiB of data, before compression too; for a proxy's configuration 4 GiB, and 16 GiB "
            "with bit 2 of the flags. This layout takes 16 MiB."
        ),
        notes=(
            "Bit 1 of the flags says that the data are compressed with zlib; the second number is "
            "their size before. What answers the recorded sender is a script around the same "
            "package."
        ),
        recorded=("zabbix-utils 2.0.4", "zabbix_agentd 6.0.14"),
    ),
    Entry(
        name="git",
        layout=GIT,
        title="Git's pkt-lines: four hexadecimal digits that count themselves, line",
        source='Git documentation, gitprotocol-common(5), "pkt-line Format"; gitprotocol-v2(5)',
        ports=(9418,),
        pipelining="No: a client waits for each answer.",
        empty_frames=(
            "0004 is an empty line, which nobody should send. 0000 ends a part of a conversation, "
            "0001 divides one, 0002 ends an answer without a connection of its own."
        ),
        first_packet="The client speaks first, with the service, the path and the host.",
        heartbeats="None; a server may send empty packets of side-band 1 while it packs.",
        limits="65,520 bytes with the digits; without side-band-64k a server sends 1,000.",
        notes=(
            "A fetch is pkt-lines throughout where a side-band is agreed on, as it always is "
            "today. What push sends ends in a pack without any length, which this layout does not "
            "cut. The same lines travel over SSH and, in bodies, over HTTP."
        ),
        recorded=("git 2.39.5 (Debian)", "dulwich 1.2.21"),
    ),
    Entry(
        name="python-logging",
        layout=PYTHON_LOGGING,
        title="SocketHandler of Python's logging: length, pickle of a record's attributes",
        source="Python documentation, logging.handlers, SocketHandler.makePickle",
        ports=(9020,),
        pipelining="Yes: nothing is answered.",
        empty_frames="None: a pickle has a byte at least.",
        first_packet="The program that logs sends when it logs first.",
        heartbeats="None.",
        limits="4 GiB by the length; this layout takes 16 MiB.",
        notes=(
            "A pickle runs code of its sender: read it with an Unpickler that finds no globals "
            "(find_class), as the records have none but plain values, or keep strangers away. "
            "Records that cannot be sent are dropped, and the connection is tried again with "
            "longer and longer pauses. Only the end that logs is recorded: a server sends nothing."
        ),
        recorded=("Python 3.12.1",),
    ),
    Entry(
        name="gelf-tcp",
        layout=GELF_TCP,
        title="GELF over TCP, of Graylog: JSON, NUL",
        source='Graylog documentation, "GELF via TCP"',
        ports=(12201,),
        pipelining="Yes: nothing is answered.",
        empty_frames="None by the text.",
        first_packet="The program that logs sends when it logs first.",
        heartbeats="None.",
        limits="Graylog's input takes 2,097,152 bytes unless told otherwise (max_message_size).",
        notes=(
            "Neither compressed nor in chunks, other than over UDP. Some senders end in a line "
            "feed, which Graylog takes where null_delimiter is off. Only the end that logs is "
            "recorded: a server sends nothing."
        ),
        recorded=("pygelf 0.4.3",),
    ),
    Entry(
        name="varlink",
        layout=VARLINK,
        title="Varlink, of systemd: JSON, NUL",
        source='varlink.org, "Method Call", "Transport"',
        pipelining="Yes: answers come in the order of the calls.",
        empty_frames="None: a message is an object.",
        first_packet="The client speaks first.",
        heartbeats="None.",
        limits="None in the text; systemd takes 16 MiB. This layout takes 16 MiB.",
        notes=(
            "A call with more has several answers, of which the last has no continues; one with "
            "oneway has none. After upgrade the connection is another protocol's. File descriptors "
            "that systemd passes beside messages are lost."
        ),
        recorded=("varlink 31.0.0",),
    ),
)
"""All of this module."""
