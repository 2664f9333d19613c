"""Before: a client on Twisted's Int32StringReceiver."""

from __future__ import annotations

import sys

from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory
from twisted.protocols.basic import Int32StringReceiver


class Ask(Int32StringReceiver):
    words = (b"one", b"", b"three")

    def connectionMade(self) -> None:  # noqa: N802
        self.asked = iter(self.words)
        self.sendString(next(self.asked))

    def stringReceived(self, string: bytes) -> None:  # noqa: N802
        print(string)
        word = next(self.asked, None)
        if word is None:
            self.transport.loseConnection()
        else:
            self.sendString(word)

    def connectionLost(self, reason: object) -> None:  # noqa: N802
        reactor.stop()


def main(host: str = "127.0.0.1", port: str = "1234") -> None:
    reactor.connectTCP(host, int(port), ClientFactory.forProtocol(Ask))
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
