"""Pyro5, both ends: ``pip install Pyro5==5.17``."""

from __future__ import annotations

import threading

import Pyro5.api

from .recording import Tap, package, save, stream


@Pyro5.api.expose
class Greeter:
    """What is called."""

    def hello(self, name: str) -> str:
        """Return a greeting."""
        return "Hello, " + 3 * name

    def add(self, one: int, other: int) -> int:
        """Return the sum."""
        return one + other


def size_of(data: bytes) -> int:
    """A header of 40 bytes; the size of the data, then that of the annotations."""
    return 40 + int.from_bytes(data[12:16], "big") + int.from_bytes(data[16:20], "big")


def main() -> None:
    """Calls of both methods."""
    daemon = Pyro5.api.Daemon(host="127.0.0.1")
    uri = daemon.register(Greeter, "greeter")
    threading.Thread(target=daemon.requestLoop, daemon=True).start()
    tap = Tap(("127.0.0.1", uri.port))
    with Pyro5.api.Proxy(f"PYRO:greeter@127.0.0.1:{tap.port}") as proxy:
        for name in ("anna", "bob", "a longer name than before", ""):
            proxy.hello(name)
            proxy.add(len(name), 7)
    by = package("Pyro5")
    passed = tap.connections[0]
    streams = [stream(passed.client, by, size_of), stream(passed.server, by, size_of)]
    save("pyro5", "pyro5", __file__, streams)


main()
