"""Twisted's netstrings, echoed. Prints the port on which it listens."""

from __future__ import annotations

from typing import Any

from twisted.internet import protocol, reactor
from twisted.protocols.basic import NetstringReceiver


class Echo(NetstringReceiver):  # type: ignore[misc,unused-ignore]
    """Sends back what came."""

    def stringReceived(self, string: bytes) -> None:  # noqa: N802 (Twisted's name)
        """Send it back."""
        self.sendString(string)


loop: Any = reactor
factory = protocol.Factory.forProtocol(Echo)
print(loop.listenTCP(0, factory, interface="127.0.0.1").getHost().port, flush=True)
loop.run()
