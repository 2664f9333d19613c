"""Debuggers, agents and monitoring."""

from __future__ import annotations

from typing import Final

from ..choice import Choice
from ..layout import Framing
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
)
"""All of this module."""
