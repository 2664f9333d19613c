"""Servers that speak with each other, and objects that are called from afar."""

from __future__ import annotations

from typing import Final

from ...errors import MagicError
from ..layout import Framing
from ..sized import Sized
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
)
"""All of this module."""
