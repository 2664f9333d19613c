"""doipclient, with a vehicle made of its own messages: ``pip install doipclient==1.2.2``."""

from __future__ import annotations

import socket
import struct
import threading

from doipclient import DoIPClient, messages

from .recording import Tap, package, save, stream


def size_of(data: bytes) -> int:
    """ISO 13400-2: version, its inverse, type, four bytes of length."""
    return 8 + int(struct.unpack_from(">I", data, 4)[0])


def frame(message: messages.DoIPMessage) -> bytes:
    """As DoIPClient packs it."""
    return bytes(DoIPClient._pack_doip(2, message.payload_type, message.pack()))


def vehicle(listener: socket.socket) -> None:
    """Activate routing, acknowledge and answer a diagnostic message, ask whether it is alive."""
    connection, _ = listener.accept()
    connection.recv(4096)
    connection.sendall(frame(messages.RoutingActivationResponse(0x0E00, 0x55, 0x10, 0)))
    while connection.recv(4096):
        connection.sendall(
            frame(messages.DiagnosticMessagePositiveAcknowledgement(0x55, 0x0E00, 0))
        )
        connection.sendall(
            frame(messages.DiagnosticMessage(0x55, 0x0E00, bytes.fromhex("62f190aa")))
        )
        connection.sendall(frame(messages.AliveCheckRequest()))


def main() -> None:
    """Activate routing, read a data identifier twice."""
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=vehicle, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    client = DoIPClient("127.0.0.1", 0x55, tcp_port=tap.port)
    client.send_diagnostic(bytes.fromhex("22f190"))
    client.receive_diagnostic()
    client.send_diagnostic(bytes(3000))
    client.receive_diagnostic()
    client.close()
    by = package("doipclient")
    [connection] = tap.connections
    save(
        "doip",
        "doip",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
