"""Keepalive on a connection: its machine, the shared timer, and what is done when it is due."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from ..core.keepalive import Keepalive, KeepaliveAction, resolution_of
from ..errors import PeerTimeoutError
from ..options import Options
from ..wire import CloseCode
from ..wire.control import Close
from .timer_wheel import Bucket, TimerWheel

if TYPE_CHECKING:
    from .connection_protocol import ConnectionProtocol


class KeepaliveTimer:
    """The keepalive of one connection; made once the connection is established.

    :param wheel: calls it when a check is due, shared by connections of the same options
    """

    __slots__ = ("_protocol", "_wheel", "bucket", "clocks", "idle")

    def __init__(self, protocol: ConnectionProtocol, wheel: KeepaliveWheel) -> None:
        self._protocol = protocol
        self._wheel = wheel
        self.bucket: Bucket[KeepaliveTimer] | None = None
        """What it is in until the next check, None while none is due."""
        self.idle = protocol.options.idle_timeout is not None
        """Whether messages are timed too, and not only signs of life."""
        self.clocks = Keepalive(protocol.options, now=protocol.loop.time())

    def answered(self) -> None:
        """Set the timer anew: a PING was out, and something came."""
        # The next silence begins here, maybe long before the probe's time-out.
        if self.bucket is not None:
            self.start()

    def sent(self) -> None:
        """Count messages that went."""
        if self.idle:
            self.clocks.sent(self._protocol.loop.time())

    def restart(self) -> None:
        """Restart all clocks: reading was paused until now."""
        self.clocks.restart(self._protocol.loop.time())

    def probe(self) -> None:
        """Send PING now: the peer may be gone, though the clock tells of no silence. Nothing
        happens once CLOSE was sent, which no PING may follow."""
        probing = self.bucket is not None and self._protocol.machine.extended
        if probing and self.clocks.probe(self._protocol.loop.time()):
            self._protocol.send_ping()
            self.start()

    def start(self) -> None:
        """Set the timer for the next check."""
        self.stop()
        due = self.clocks.next_check(probing=self._protocol.machine.extended)
        if due < math.inf:
            self.bucket = self._wheel.add(self, max(due, self._protocol.loop.time()))

    def stop(self) -> None:
        """Set no timer any more."""
        if self.bucket is not None:
            self.bucket.leave(self)
            self.bucket = None

    def check(self) -> None:
        """Do what is due: send PING, give the peer up, or wait on."""
        protocol = self._protocol
        now = protocol.loop.time()
        if protocol.receiver.paused:
            self.clocks.restart(now)
        self.stop()
        match self.clocks.check(now, probing=protocol.machine.extended):
            case KeepaliveAction.SEND_PING:
                if protocol.trace is not None:
                    interval = protocol.options.keepalive_interval
                    protocol.trace("keepalive: nothing came for %g s, sending PING", interval)
                protocol.send_ping()
            case KeepaliveAction.GIVE_UP:
                timeout = protocol.options.keepalive_timeout
                text = f"the peer gave no sign of life within keepalive_timeout, {timeout:g} s"
                protocol.give_up(PeerTimeoutError(text, code=CloseCode.TIMEOUT))
                return
            case KeepaliveAction.DISCONNECT:
                text = f"no message within idle_timeout, {protocol.options.idle_timeout:g} s"
                error = PeerTimeoutError(protocol.machine.explain(text), code=CloseCode.TIMEOUT)
                protocol.closer.disconnect(error, Close(CloseCode.TIMEOUT, "idle"))
                return
        self.start()


KeepaliveWheel: TypeAlias = TimerWheel[KeepaliveTimer]


def keepalive_wheel(options: Options) -> KeepaliveWheel:
    """Return what calls the keepalive of connections with these options."""
    return TimerWheel(KeepaliveTimer.check, resolution_of(options))
