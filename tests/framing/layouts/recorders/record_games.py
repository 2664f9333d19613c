"""mcproto and rcon: ``pip install mcproto==0.6.0 rcon==2.4.9``."""

from __future__ import annotations

from mcproto.connection import TCPSyncConnection
from mcproto.packets.handshaking.handshake import Handshake, NextState
from mcproto.packets.interactions import sync_write_packet
from mcproto.packets.packet import Packet
from mcproto.packets.status.ping import PingPong
from mcproto.packets.status.status import StatusRequest, StatusResponse
from rcon.source.proto import LittleEndianSignedInt32, Type
from rcon.source.proto import Packet as Command

from .recording import Sent, Tap, package, save, stream
from .sink import Sink


def varint_size_of(data: bytes) -> int:
    """Seven bits a byte, the least first; it does not count itself."""
    value = shift = place = 0
    while data[place] >= 0x80:
        value |= (data[place] & 0x7F) << shift
        shift += 7
        place += 1
    return place + 1 + (value | data[place] << shift)


def minecraft(packets: list[Packet]) -> list[bytes]:
    """Write packets to a server that only listens; return what came."""
    sink = Sink()
    tap = Tap(sink.address)
    with TCPSyncConnection.make_client(("127.0.0.1", tap.port), 2) as connection:
        for packet in packets:
            sync_write_packet(connection, packet)
    sink.wait()
    return tap.connections[0].client.reads


def main() -> None:
    """What a client asks for a server's status, and what a server answers; and commands."""
    handshake = Handshake(
        protocol_version=47,
        server_address="mc.example.org",
        server_port=25565,
        next_state=NextState.STATUS,
    )
    pings: list[Packet] = [PingPong(payload=7_777_777 * number) for number in range(3)]
    answers: list[Packet] = [
        StatusResponse(
            data={
                "version": {"name": "1.8", "protocol": 47},
                "players": {"max": 10 * number, "online": number},
                "description": {"text": "a server " * number},
            }
        )
        for number in (1, 4, 9)
    ]
    by = package("mcproto")
    client = Sent("client", minecraft([handshake, StatusRequest(), *pings]))
    server = Sent(
        "server", minecraft([one for pair in zip(answers, pings, strict=True) for one in pair])
    )
    streams = [stream(client, by, varint_size_of), stream(server, by, varint_size_of)]
    save("minecraft", "minecraft", __file__, streams)
    words = [b"secret", b"status", b"say hello to everybody", b"list", b"kick anna", b""]
    commands = Sent("client")
    for number, word in enumerate(words):
        kind = Type.SERVERDATA_EXECCOMMAND if number else Type.SERVERDATA_AUTH
        commands.reads.append(bytes(Command(LittleEndianSignedInt32(number), kind, word)))
    save("source-rcon", "source-rcon", __file__, [stream(commands, package("rcon"))])


main()
