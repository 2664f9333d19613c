"""Block devices, files, and networks of equals."""

from __future__ import annotations

import hashlib
from typing import Final

from ...errors import MagicError
from ..layout import Framing
from ..parts import Checksum
from ..sized import Sized
from ..with_preamble import WithPreamble
from .entry import Entry

_OPTION: Final = b"IHAV"
_OPTION_REPLY: Final = bytes.fromhex("0003e889")
_REQUEST: Final = bytes.fromhex("25609513")
_SIMPLE_REPLY: Final = bytes.fromhex("67446698")
_STRUCTURED_REPLY: Final = bytes.fromhex("668e33ef")
_WRITE: Final = b"\x00\x01"
_CLIENT_FLAGS: Final = tuple(bytes([0, 0, 0, flags]) for flags in range(4))


def nbd_size(head: bytes) -> int | None:
    """Return the size of what begins with one of the magic numbers of NBD; None asks for more."""
    magic = head[:4]
    if magic == b"NBDM":
        return 18
    if magic in _CLIENT_FLAGS:
        return 4
    if magic == _OPTION:
        return 16 + int.from_bytes(head[12:16], "big") if len(head) >= 16 else None
    if magic in (_OPTION_REPLY, _STRUCTURED_REPLY):
        return 20 + int.from_bytes(head[16:20], "big") if len(head) >= 20 else None
    if magic == _REQUEST:
        if len(head) < 28:
            return None
        return 28 + (int.from_bytes(head[24:28], "big") if head[6:8] == _WRITE else 0)
    if magic == _SIMPLE_REPLY:
        return 16
    raise MagicError(f"nothing of NBD begins with {magic!r}")


NBD: Final = Sized(nbd_size, head=(4, 28), maximum=32 * 1024 * 1024 + 4096)
"""NBD: a message is the greeting, the client's flags, an option, a request or a reply."""

PLAN_9: Final = Framing(width=4, includes_header=True, strip=0, minimum=7)
"""9P: a message is whole, from its size on."""

_HANDSHAKE: Final = Framing(width=1, adjustment=48, strip=0, minimum=68, maximum=68)

BITTORRENT: Final = WithPreamble(
    Framing(byteorder="big", maximum=128 * 1024 + 9), client=_HANDSHAKE, server=_HANDSHAKE
)
"""BitTorrent between peers: a message is one without its length; the first is the handshake."""


def bitcoin_checksum(data: memoryview) -> int:
    """Return the first four bytes of SHA-256 of SHA-256, as a big-endian number."""
    return int.from_bytes(hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4], "big")


BITCOIN: Final = Framing(
    offset=16,
    width=4,
    checksums=Checksum(4, bitcoin_checksum, at="head"),
    strip=0,
    minimum=24,
    maximum=4_000_024,
)
"""Bitcoin between peers: a message is whole, with its header of 24 bytes."""

SMB: Final = Framing(offset=1, width=3, byteorder="big", strip=0, minimum=4)
"""SMB over TCP: a message has its header of 4 bytes in front, of which the first is 0."""

SFTP: Final = Framing(byteorder="big", minimum=1, maximum=256 * 1024 + 1024)
"""SFTP inside of SSH: a message is a type and its contents, without the length."""


def iscsi_size(head: bytes) -> int:
    """Return the size of a PDU of iSCSI without digests: two lengths, and padding to 4 bytes."""
    return 48 + 4 * head[4] + (int.from_bytes(head[5:8], "big") + 3) // 4 * 4


ISCSI: Final = Sized(iscsi_size, head=48)
"""iSCSI without digests: a message is a PDU with its header and its padding."""


ENTRIES: Final = (
    Entry(
        name="nbd",
        layout=NBD,
        title="NBD, newstyle: greeting, options, requests and replies, each with a magic number",
        source='NetworkBlockDevice/nbd, doc/proto.md, "Protocol phases"',
        ports=(10809,),
        pipelining="Yes in the transmission phase: replies name their request, in any order.",
        empty_frames="Yes: options and chunks may have no data.",
        first_packet=(
            "The server speaks first, with 18 bytes; the client answers with 4 bytes of flags."
        ),
        heartbeats="None.",
        limits=(
            "32 MiB of data in a request, unless another block size was agreed on; string up to "
            "4,096 bytes."
        ),
        notes=(
            "A simple reply to a read has data whose size only the request tells: agree on "
            "structured replies. Not for NBD_OPT_EXPORT_NAME, whose answer has no magic number, "
            "and not for extended headers."
        ),
        recorded=("nbdinfo 1.14.2", "nbdcopy 1.14.2", "nbdkit 1.32.5"),
    ),
    Entry(
        name="plan-9",
        layout=PLAN_9,
        title="9P2000, of Plan 9: size that counts itself, type, tag, body",
        source="Plan 9 manual, intro(5)",
        ports=(564,),
        pipelining=(
            "Yes: tags tell answers apart. pyroute2 0.9.7's server reads one request of each "
            "read; it drops one that arrives in two segments."
        ),
        empty_frames="Yes: Rflush and Rclunk are a size, a type and a tag.",
        first_packet="The client speaks first, with Tversion.",
        heartbeats="None.",
        limits=(
            "msize, as Tversion and Rversion agree on. pyroute2 0.9.7 answers a read with 8,203 "
            "bytes where 8,192 were agreed on."
        ),
        recorded=("pyroute2 0.9.7",),
    ),
    Entry(
        name="bittorrent",
        layout=BITTORRENT,
        title="BitTorrent peer wire protocol: handshake, then messages with a length",
        source='BEP 3, "peer protocol"',
        ports=(6881,),
        pipelining="Yes: several requests for blocks are kept under way.",
        empty_frames="Yes: a message of 0 bytes keeps the connection alive.",
        first_packet="The end that connects sends its handshake of 68 bytes, the other answers.",
        heartbeats="An empty message every two minutes, by custom.",
        limits="Blocks have 16 KiB by custom; a bitfield has a bit for each piece.",
        notes="Without the obfuscation that some clients ask for (MSE).",
        recorded=("libtorrent 2.1.1",),
    ),
    Entry(
        name="bitcoin",
        layout=BITCOIN,
        title="Bitcoin peer-to-peer, version 1: magic, command, length, checksum, payload",
        source='Bitcoin developer reference, "P2P Network", "Message Headers"',
        ports=(8333, 18333),
        pipelining="Yes: messages are on their own.",
        empty_frames="Yes: verack and getaddr have no payload.",
        first_packet="The end that connects sends version first.",
        heartbeats="ping, which pong answers; Bitcoin Core sends one every 2 minutes.",
        limits="4,000,000 bytes of payload (MAX_PROTOCOL_MESSAGE_LENGTH of Bitcoin Core).",
        notes=(
            "The magic number of the network stands in front of the message and may be any; the "
            "checksum is checked. Version 2 (BIP 324) is encrypted and is not this. The recorded "
            "messages were packed by the package; there was no conversation."
        ),
        recorded=("python-bitcoinlib 0.12.2",),
    ),
    Entry(
        name="smb",
        layout=SMB,
        title="SMB 1 to 3 over TCP: a zero byte, length of three bytes, message",
        source="MS-SMB2, section 2.1 (Direct TCP transport); RFC 1002, section 4.3.1",
        ports=(445, 139),
        pipelining="Yes, within the credits that the server grants.",
        empty_frames="On port 139 a keep-alive is a header alone, 0x85 and a length of 0.",
        first_packet="The client speaks first: NEGOTIATE, or a session request on port 139.",
        heartbeats="None of its own; ECHO may be sent.",
        limits="16,777,215 bytes; servers tell what they read and write at most, often 8 MiB.",
        recorded=("impacket 0.13.1",),
    ),
    Entry(
        name="sftp",
        layout=SFTP,
        title="SFTP, inside of SSH: length, type, request identifier, contents",
        source="draft-ietf-secsh-filexfer-02, section 3",
        pipelining="Yes; the request identifier tells answers apart, which may come in any order.",
        empty_frames="None: there is a type.",
        first_packet="The client sends INIT with its version, the server answers with VERSION.",
        heartbeats="None; SSH has its own.",
        limits="34,000 bytes have to be taken; OpenSSH takes 256 KiB.",
        notes="The bytes are those inside of SSH's channel: of the connection they are encrypted.",
        recorded=("paramiko 5.1.0", "OpenSSH 9.2p1 (Debian)"),
    ),
    Entry(
        name="iscsi",
        layout=ISCSI,
        title="iSCSI: header of 48 bytes with two lengths, more headers, data padded to 4 bytes",
        source="RFC 7143, sections 11.2 and 11.2.1",
        ports=(3260,),
        pipelining="Yes, within MaxCmdSN; the initiator task tag tells answers apart.",
        empty_frames="Most commands and answers are a header alone, 48 bytes.",
        first_packet="The initiator sends Login Request.",
        heartbeats="NOP-In and NOP-Out, from either end.",
        limits="MaxRecvDataSegmentLength of each end, 8,192 bytes of data by default.",
        notes="Digests add CRC32C to a PDU where both ends agree on them, and are left out here.",
        recorded=("libiscsi 1.19.0 (Debian)", "tgt 1.0.85 (Debian)"),
    ),
)
"""All of this module."""
