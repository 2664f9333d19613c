"""Before: a server on Twisted's Int32StringReceiver."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.protocol import ServerFactory
from twisted.protocols.basic import Int32StringReceiver


class Shout(Int32StringReceiver):
    def stringReceived(self, string: bytes) -> None:  # noqa: N802
        self.sendString(string.upper())


def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    listening = reactor.listenTCP(int(port), ServerFactory.forProtocol(Shout), interface=host)
    print(f"listening on {host}:{listening.getHost().port}")
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
