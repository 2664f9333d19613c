"""Servers that speak with each other, and objects that are called from afar."""

from __future__ import annotations

from typing import Final

from ...errors import MagicError
from ..layout import Framing
from ..sized import Sized
from ..text import Delimited
from ..with_preamble import WithPreamble
from .entry import Entry

ZOOKEEPER: Final = Framing(byteorder="big", minimum=4)
"""ZooKeeper: a message is a request or an answer, without its length."""

REDIS_CLUSTER_BUS: Final = Framing(
    offset=4, width=4, byteorder="big", includes_header=True, strip=0, minimum=16, magic=b"RCmb"
)
"""The bus between the nodes of a Redis Cluster: a message is whole."""


def pyro5_size(head: bytes) -> int:
    """Return the size of a message of Pyro5: a header of 40 bytes, annotations and data.

    :raises MagicError: it does not begin with PYRO
    """
    if not head.startswith(b"PYRO"):
        raise MagicError(f"a message of Pyro begins with PYRO, not {head[:4]!r}")
    return 40 + int.from_bytes(head[12:16], "big") + int.from_bytes(head[16:20], "big")


PYRO5: Final = Sized(pyro5_size, head=40)
"""Pyro5: a message is whole, with its header and annotations."""


def _sp_header(head: bytes) -> int:
    """Return the size of what both ends of an SP connection send first."""
    del head
    return 8


_SP_HEADER: Final = Sized(_sp_header, head=1, maximum=8)

SP_TCP: Final = WithPreamble(
    Framing(width=8, byteorder="big"), client=_SP_HEADER, server=_SP_HEADER
)
"""Scalability protocols over TCP, of nanomsg and NNG: a message is one without its length."""

RPYC: Final = Framing(byteorder="big", adjustment=1, strip=4, minimum=1, trailer=b"\n")
"""RPyC: a message is a byte that says whether it is compressed, and the data."""

EXECNET: Final = WithPreamble(
    Framing(offset=5, width=4, byteorder="big", strip=0, minimum=9),
    client=Delimited(b"\n"),
    server=b"1",
)
"""execnet: a message has its header of 9 bytes; the first of the client is a line of source."""


def giop_size(head: bytes) -> int:
    """Return the size of a message of GIOP, whose flags say the order of its bytes.

    :raises MagicError: it does not begin with GIOP
    """
    if not head.startswith(b"GIOP"):
        raise MagicError(f"a message of GIOP begins with GIOP, not {head[:4]!r}")
    return 12 + int.from_bytes(head[8:12], "little" if head[6] & 1 else "big")


GIOP: Final = Sized(giop_size, head=12)
"""GIOP, of CORBA: a message is whole, with its header of 12 bytes."""

ICE: Final = Framing(offset=10, width=4, includes_header=True, strip=0, minimum=14, magic=b"IceP")
"""Ice, of ZeroC: a message is whole, with its header of 14 bytes."""

ENTRIES: Final = (
    Entry(
        name="zookeeper",
        layout=ZOOKEEPER,
        title="ZooKeeper: length, request or answer",
        source="Apache ZooKeeper, zookeeper.jute and ClientCnxnSocket",
        ports=(2181,),
        pipelining="Yes; answers come in the order of the requests, events between them.",
        empty_frames="None: an answer has a header of 16 bytes.",
        first_packet="The client speaks first, with ConnectRequest.",
        heartbeats="A client pings within a third of the session's time-out.",
        limits="jute.maxbuffer, 1,048,575 bytes by default.",
        notes=(
            "The four-letter words (ruok, stat) are text without a length. Only a client is "
            "recorded, with a scripted server."
        ),
        recorded=("kazoo 2.11.0",),
    ),
    Entry(
        name="redis-cluster-bus",
        layout=REDIS_CLUSTER_BUS,
        title="Redis Cluster bus: RCmb, length of all, header with the slots, gossip or data",
        source="Redis 7.0, cluster.h: clusterMsg",
        ports=(16379,),
        pipelining="Yes; PONG answers PING and MEET, others are not answered.",
        empty_frames="None: the header has over 2,000 bytes.",
        first_packet="Who connects sends MEET or PING.",
        heartbeats="PING, to some nodes each second.",
        limits="None but that of the output buffer; published messages travel over it too.",
        recorded=("Redis 7.0.15 (Debian)",),
    ),
    Entry(
        name="pyro5",
        layout=PYRO5,
        title="Pyro5: PYRO, header of 40 bytes with two lengths, annotations, data",
        source="Pyro5 5.17, Pyro5/protocol.py",
        ports=(9090,),
        pipelining="A proxy waits for each answer, but for oneway calls.",
        empty_frames="A message may have neither annotations nor data: 40 bytes.",
        first_packet="The client speaks first, with CONNECT.",
        heartbeats="PING, if a program sends it.",
        limits="MAX_MESSAGE_SIZE of Pyro5.config, 1 GiB by default.",
        recorded=("Pyro5 5.17",),
    ),
    Entry(
        name="sp-tcp",
        layout=SP_TCP,
        title="Scalability protocols, of nanomsg and NNG: 8 bytes, then length of 8 bytes, message",
        source="RFC draft sp-tcp-mapping-01: connection header, message framing",
        pipelining="As the pattern says: a request socket waits, a push socket does not.",
        empty_frames="A message may be empty; recv() of pynng 0.9.0 raises RuntimeError for one.",
        first_packet=(
            "Both ends send 00 53 50 00, the number of their protocol in two bytes and 00 00, "
            "which are a message here."
        ),
        heartbeats="None.",
        limits="NNG refuses messages over 1 MiB by default where it listens for untrusted peers.",
        recorded=("pynng 0.9.0",),
    ),
    Entry(
        name="rpyc",
        layout=RPYC,
        title="RPyC: length, whether it is compressed, data, line feed",
        source="RPyC 6.0.2, rpyc/core/channel.py",
        ports=(18812, 18861),
        pipelining="Yes: replies have the sequence number of their request.",
        empty_frames="None: the data is a request, a reply or an exception.",
        first_packet="Either end asks for the other's root when it is used.",
        heartbeats="None; conn.ping() if a program calls it.",
        limits="4 GiB by the length; this layout takes 16 MiB.",
        notes=(
            "The length counts the data, not the byte before it. Data over 3,000 bytes is "
            "compressed by zlib where that is on, as it is by default. What is called may run "
            "either way: a peer has what the objects that it was given let it do."
        ),
        recorded=("rpyc 6.0.2",),
    ),
    Entry(
        name="execnet",
        layout=EXECNET,
        title="execnet, of pytest-xdist: a line of source, 1, then kind, channel, length, data",
        source="execnet 2.1.2, execnet/gateway_base.py, Message; gateway_bootstrap.py",
        ports=(8888,),
        pipelining="Yes: each channel is a stream of its own, both ways.",
        empty_frames="CHANNEL_CLOSE and GATEWAY_TERMINATE have no data, 9 bytes.",
        first_packet=(
            "The end that starts sends a line, the literal of the source that the worker runs; "
            "the worker answers with the digit 1 when it does."
        ),
        heartbeats="None.",
        limits="2 GiB by the length, which is signed; this layout takes 16 MiB.",
        notes=(
            "The same over pipes, SSH and sockets; recorded are pipes. A worker runs whatever "
            "source it is sent: serve it to nobody."
        ),
        recorded=("execnet 2.1.2",),
    ),
    Entry(
        name="giop",
        layout=GIOP,
        title="GIOP and IIOP, of CORBA: GIOP, version, flags, kind, size, body",
        source="CORBA 3.0, section 15.4.1 (GIOP Message Header)",
        ports=(2809, 683),
        pipelining="Yes: replies have the identifier of their request, and may come in any order.",
        empty_frames="CloseConnection and MessageError are a header alone, 12 bytes.",
        first_packet="The client speaks first, with Request or LocateRequest.",
        heartbeats="None.",
        limits="None; omniORB takes 2 MiB by default (giopMaxMsgSize).",
        notes=(
            "Each message says the order of its bytes, and the two ends may differ. A message may "
            "go on in Fragments, each of which is a message here."
        ),
        recorded=("omniORB 4.2.5 (Debian)",),
    ),
    Entry(
        name="ice",
        layout=ICE,
        title="Ice, of ZeroC: IceP, versions, kind, compression, size of all, body",
        source='ZeroC Ice 3.7 manual, "Protocol Messages"',
        ports=(4061, 4063),
        pipelining="Yes: replies have the number of their request, and may come in any order.",
        empty_frames="ValidateConnection and CloseConnection are a header alone, 14 bytes.",
        first_packet=(
            "The end that accepts speaks first, with ValidateConnection; the other waits for it."
        ),
        heartbeats="ValidateConnection again, where active connection management is set so.",
        limits="Ice.MessageSizeMax, 1 MiB by default; a larger message ends the connection.",
        notes="A body may be compressed by bzip2, as the byte before the size says.",
        recorded=("Ice 3.7.8 (Debian)",),
    ),
)
"""All of this module."""
