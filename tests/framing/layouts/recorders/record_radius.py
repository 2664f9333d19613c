"""pyrad, which packs packets: ``pip install pyrad==2.6.0``."""

from __future__ import annotations

import io

from pyrad import packet
from pyrad.dictionary import Dictionary

from .recording import Sent, package, save, stream

ATTRIBUTES = """
ATTRIBUTE User-Name 1 string
ATTRIBUTE User-Password 2 string
ATTRIBUTE Reply-Message 18 string
"""


def main() -> None:
    """Packets, as pyrad makes them; its own sockets are UDP, RFC 6613 sends the same over TCP."""
    dictionary = Dictionary(io.StringIO(ATTRIBUTES))
    secret = b"secret"
    request = packet.AuthPacket(
        dict=dictionary, secret=secret, id=1, authenticator=bytes(range(16))
    )
    request["User-Name"] = "jane"
    request["User-Password"] = request.PwCrypt("password")
    sent = request.RequestPacket()
    empty = packet.AuthPacket(
        code=12, dict=dictionary, secret=secret, id=2, authenticator=bytes(16)
    )
    replies = []
    for code in (packet.AccessChallenge, packet.AccessAccept):
        reply = request.CreateReply()
        reply.code = code
        reply["Reply-Message"] = "welcome" * 30
        replies.append(reply.ReplyPacket())
    by = package("pyrad")
    save(
        "radius",
        "radius-tcp",
        __file__,
        [
            stream(Sent("client", [sent, empty.RequestPacket()]), by),
            stream(Sent("server", replies), by),
        ],
    )


main()
