"""The RPC of python-vxi11, client and server: ``pip install python-vxi11==0.9``."""

from __future__ import annotations

import threading
import warnings

warnings.simplefilter("ignore")

from vxi11 import rpc  # noqa: E402 (it imports xdrlib, which is deprecated)

from .recording import Tap, package, save, stream  # noqa: E402


def size_of(data: bytes) -> int:
    """RFC 5531, section 11: the top bit marks the last fragment, the others are its length."""
    return 4 + (int.from_bytes(data[:4], "big") & 0x7FFF_FFFF)


class Server(rpc.TCPServer):
    """Procedure 1 echoes a string."""

    def addpackers(self) -> None:
        """Strings and bytes alone need no others."""
        self.packer = rpc.Packer()
        self.unpacker = rpc.Unpacker(b"")

    def handle_1(self) -> None:
        """Send back what came."""
        text = self.unpacker.unpack_string()
        self.turn_around()
        self.packer.pack_string(text)


class Client(rpc.RawTCPClient):
    """Calls procedure 1."""

    def addpackers(self) -> None:
        """Strings and bytes alone need no others."""
        self.packer = rpc.Packer()
        self.unpacker = rpc.Unpacker(b"")

    def echo(self, text: bytes) -> bytes:
        """Return what the server sends back."""
        pack, unpack = self.packer.pack_string, self.unpacker.unpack_string
        reply: bytes = self.make_call(1, text, pack, unpack)
        return reply


def main() -> None:
    """Echo short and long."""
    server = Server("127.0.0.1", 0x20000099, 1, 0)
    threading.Thread(target=server.loop, daemon=True).start()
    tap = Tap(("127.0.0.1", server.port))
    client = Client("127.0.0.1", 0x20000099, 1, tap.port)
    client.addpackers()
    client.make_call(0, None, None, None)
    for text in (b"", b"hello", bytes(1500)):
        assert client.echo(text) == text
    client.close()
    by = package("python-vxi11")
    [connection] = tap.connections
    save(
        "sun-rpc",
        "sun-rpc",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
