"""websockets, and wsproto: ``pip install websockets==15.0.1 wsproto==1.3.2``."""

from __future__ import annotations

import asyncio

import websockets
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    Request,
    TextMessage,
)

from .recording import Sent, Tap, package, save, stream


def size_of(data: bytes) -> int:
    """RFC 6455, section 5.2; before it the head of an HTTP message."""
    if data.startswith((b"GET ", b"HTTP/")):
        return data.index(b"\r\n\r\n") + 4
    short = data[1] & 0x7F
    place = 2 + {126: 2, 127: 8}.get(short, 0)
    if len(data) < place:
        raise IndexError
    length = int.from_bytes(data[2:place], "big") if place > 2 else short
    return place + (4 if data[1] & 0x80 else 0) + length


async def by_websockets() -> list[Sent]:
    """Messages of every kind of length, a ping, a close."""

    async def answer(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message[:300])

    async with websockets.serve(answer, "127.0.0.1", 0, compression=None) as server:
        tap = Tap(next(iter(server.sockets)).getsockname())
        address = f"ws://127.0.0.1:{tap.port}/"
        async with websockets.connect(address, compression=None) as client:
            for message in ("", "bolt", b"n" * 125, b"n" * 126, b"\xff" * 300, "x" * 65_536):
                await client.send(message)
                await client.recv()
            await (await client.ping(b"still there?"))
            await client.send(["a", "b", "c"])
            await client.recv()
    return [tap.connections[0].client, tap.connections[0].server]


def by_wsproto() -> list[Sent]:
    """A few messages; one of them in fragments."""
    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    sent = [Sent("client"), Sent("server")]

    def from_client(event: object) -> None:
        sent[0].reads.append(client.send(event))
        server.receive_data(sent[0].reads[-1])
        list(server.events())

    def from_server(event: object) -> None:
        sent[1].reads.append(server.send(event))
        client.receive_data(sent[1].reads[-1])
        list(client.events())

    from_client(Request(host="127.0.0.1", target="/"))
    from_server(AcceptConnection())
    from_client(TextMessage("bolt", message_finished=False))
    from_client(TextMessage("s" * 200))
    from_server(BytesMessage(b"n" * 130))
    from_server(Ping(b"?"))
    from_client(CloseConnection(1000, "bye"))
    return sent


def main() -> None:
    """Record both."""
    streams = []
    for by, sent in (
        (package("websockets"), asyncio.run(by_websockets())),
        (package("wsproto"), by_wsproto()),
    ):
        streams += [stream(one, by, size_of) for one in sent]
    save("websocket", "websocket", __file__, streams)


main()
