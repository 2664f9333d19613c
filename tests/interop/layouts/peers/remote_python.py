"""RPyC."""

from __future__ import annotations

import threading

import rpyc
from rpyc.utils.server import ThreadedServer


class Greeter(rpyc.Service):  # type: ignore[misc,unused-ignore]
    """What is called."""

    def exposed_twice(self, text: str) -> str:
        """Return it two times."""
        return text * 2

    def exposed_call(self, function: rpyc.BaseNetref) -> int:
        """Call what the other end has."""
        return int(function(3)) + 1


def main() -> None:
    """Call, with short and with compressed arguments, and be called back."""
    server = ThreadedServer(Greeter, hostname="127.0.0.1", port=0)
    threading.Thread(target=server.start, daemon=True).start()
    print(server.port, flush=True)
    link = rpyc.connect("127.0.0.1", int(input()))
    for text in ("", "bolt", "long " * 40_000):
        assert link.root.twice(text) == 2 * text
    assert link.root.call(lambda number: 7 * number) == 22
    link.close()
    server.close()


if __name__ == "__main__":
    main()
