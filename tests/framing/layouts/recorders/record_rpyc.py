"""RPyC, both ends: ``pip install rpyc==6.0.2``."""

from __future__ import annotations

import threading

import rpyc
from rpyc.utils.server import ThreadedServer

from .recording import Tap, package, save, stream


class Greeter(rpyc.Service):  # type: ignore[misc,unused-ignore]
    """What is called."""

    def exposed_hello(self, name: str) -> str:
        """Return a greeting."""
        return "Hello, " + 3 * name

    def exposed_numbers(self, most: int) -> list[int]:
        """Return a list, which stays where it is."""
        return list(range(most))


def size_of(data: bytes) -> int:
    """The length, whether it is compressed, the data, a line feed."""
    return 5 + int.from_bytes(data[:4], "big") + 1


def main() -> None:
    """Calls with short and with long arguments: the long are compressed."""
    server = ThreadedServer(Greeter, hostname="127.0.0.1", port=0)
    threading.Thread(target=server.start, daemon=True).start()
    tap = Tap(("127.0.0.1", server.port))
    link = rpyc.connect("127.0.0.1", tap.port)
    for name in ("anna", "", "a longer name " * 500):
        link.root.hello(name)
    list(link.root.numbers(4))
    link.ping()
    link.close()
    server.close()
    by = package("rpyc")
    [passed] = tap.connections
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("rpyc", "rpyc", __file__, streams)


main()
