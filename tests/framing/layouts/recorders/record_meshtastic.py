"""meshtastic, a client, and a device that a script plays: ``pip install meshtastic==2.7.11``."""

from __future__ import annotations

import socket
import threading
from typing import Any

from meshtastic.protobuf import config_pb2, mesh_pb2
from meshtastic.stream_interface import StreamInterface
from meshtastic.tcp_interface import TCPInterface

from .recording import Tap, package, save, stream

NUMBER = 0x0A0B0C0D


def size_of(data: bytes) -> int:
    """0x94, 0xC3, length in two bytes."""
    return 4 + int.from_bytes(data[2:4], "big")


class Device(StreamInterface):  # type: ignore[misc,unused-ignore]
    """Writes as the package does; what it hears it does not read."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        super().__init__(noProto=True, connectNow=False)

    def _writeBytes(self, b: bytes) -> None:  # noqa: N802 (the package's name)
        self.connection.sendall(b)


def play(listener: socket.socket) -> None:
    """Tell the configuration that is asked for, and a text that came by radio."""
    connection, _ = listener.accept()
    heard = b""
    while len(heard) < 36 or len(heard) < 36 + heard[35]:
        heard += connection.recv(4096)
    asked = mesh_pb2.ToRadio.FromString(heard[36:])
    device = Device(connection)
    answers: list[Any] = [mesh_pb2.FromRadio() for _ in range(5)]
    answers[0].my_info.my_node_num = NUMBER
    answers[1].node_info.num = NUMBER
    answers[1].node_info.user.long_name = "a station in the attic " * 5
    answers[2].config.lora.region = config_pb2.Config.LoRaConfig.RegionCode.EU_868
    answers[3].config_complete_id = asked.want_config_id
    packet = answers[4].packet
    setattr(packet, "from", 7)
    packet.to = 0xFFFFFFFF
    packet.decoded.portnum = 1
    packet.decoded.payload = b"turn " * 40
    for answer in answers:
        device._sendToRadioImpl(answer)
    while connection.recv(4096):
        pass


def main() -> None:
    """Ask for the configuration, send texts, say good-bye."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=play, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    # Not in one call, which waits for channels and more.
    client = TCPInterface("127.0.0.1", portNumber=tap.port, connectNow=False)
    client.connect()
    for text in ("turn", "a longer text " * 12):
        client.sendText(text)
    client.sendHeartbeat()
    client.close()
    by = package("meshtastic")
    passed = tap.connections[0]
    streams = [
        stream(passed.client, by, size_of, preamble=32),
        stream(passed.server, by, size_of),
    ]
    save("meshtastic", "meshtastic", __file__, streams)


main()
