"""Twisted's ``Int32StringReceiver`` over TCP, under the reactor that Twisted chooses itself.

A sender is a push producer: it goes on until the transport asks it to pause.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from itertools import cycle
from typing import Any

import twisted.internet.reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import Int32StringReceiver
from twisted.python.failure import Failure

from ..job import HOST, Job

reactor: Any = twisted.internet.reactor


def run(main: Coroutine[Deferred[Any], Any, None]) -> None:
    """Run under the reactor."""
    failures: list[Failure] = []
    done = ensureDeferred(main)
    done.addErrback(failures.append)
    done.addBoth(lambda _: reactor.stop())
    reactor.run()
    for failure in failures:
        failure.raiseException()


class Peer(Int32StringReceiver):
    """One end of a connection."""

    transport: Any
    sendString: Callable[[bytes], None]  # noqa: N815

    def __init__(self, job: Job) -> None:
        self.job = job
        self.lost: Deferred[None] = Deferred()
        # Above this, which is 99,999 otherwise, it takes a message for a mistake.
        self.MAX_LENGTH = job.size

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's names, here and below
        """Send what is there at once."""
        self.transport.setTcpNoDelay(True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
        """Tell that all has come."""
        self.lost.callback(None)


def listen(job: Job, protocol: Callable[[], Peer]) -> None:
    """Start a server, and tell the other side where."""
    factory = Factory.forProtocol(protocol)
    job.listening(reactor.listenTCP(0, factory, interface=HOST).getHost().port)


async def connect(job: Job, peer: Peer) -> None:
    """Connect to the server."""
    endpoint = TCP4ClientEndpoint(reactor, HOST, job.port)
    factory: Any = Factory.forProtocol(lambda: peer)
    await endpoint.connect(factory)


async def close(peer: Peer) -> None:
    """Close when all is sent."""
    peer.transport.loseConnection()
    await peer.lost


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""

    async def main() -> None:
        receiver = Receiver(job)
        listen(job, lambda: receiver)
        await receiver.lost
        job.checksum = receiver.checksum

    run(main())


class Receiver(Peer):
    """Checks messages."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.check, self.checksum = job.check, 0
        self.timed, self.missing = job.count, job.warm_up + job.count

    def connectionMade(self) -> None:  # noqa: N802
        """Start to measure, in case that there is no warm-up."""
        self.job.meter.start()

    def stringReceived(self, message: bytes) -> None:  # noqa: N802
        """Take a message."""
        self.checksum = self.check(message, self.checksum)
        self.missing -= 1
        if self.missing == self.timed:
            self.job.meter.start()
        elif not self.missing:
            self.job.meter.stop()


def one_way_client(job: Job) -> None:
    """Send the messages."""

    async def main() -> None:
        sender = Sender(job)
        await connect(job, sender)
        await sender.send(job.warm_up)
        job.meter.start()
        await sender.send(job.count)
        await close(sender)
        job.meter.stop()

    run(main())


class Sender(Peer):
    """Sends as fast as its transport allows."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.payloads = cycle(job.payloads)

    def send(self, count: int) -> Deferred[None]:
        """Begin to send ``count`` messages; the result comes when they are handed over."""
        self.left, self.sent = count, Deferred[None]()
        self.transport.registerProducer(self, True)
        self.resumeProducing()
        return self.sent

    def resumeProducing(self) -> None:  # noqa: N802
        """Send until it is enough, or all."""
        self.producing = True
        while self.left and self.producing:
            self.left -= 1
            self.sendString(next(self.payloads))
        if not self.left:
            self.stopProducing()

    def pauseProducing(self) -> None:  # noqa: N802
        """Send no more: the transport's buffer is full."""
        self.producing = False

    def stopProducing(self) -> None:  # noqa: N802
        """End."""
        self.transport.unregisterProducer()
        self.sent.callback(None)


def round_trip_server(job: Job) -> None:
    """Echo."""
    first, connections, done = True, job.connections, Deferred[None]()

    class Echo(Peer):
        def stringReceived(self, message: bytes) -> None:  # noqa: N802
            nonlocal first
            if first:
                first = False
                job.meter.start()
            self.sendString(message)

        def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: N802
            nonlocal connections
            job.meter.stop()
            connections -= 1
            if connections == 0:
                done.callback(None)

    async def main() -> None:
        listen(job, lambda: Echo(job))
        await done

    run(main())


class Requester(Peer):
    """Sends the next request when the echo of the last one is there."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.payloads, self.check, self.checksum = cycle(job.payloads), job.check, 0

    def exchange(self, count: int) -> Deferred[None]:
        """Begin ``count`` exchanges; the result comes when they are done."""
        self.missing, self.done = count, Deferred[None]()
        self.sendString(next(self.payloads))
        return self.done

    def stringReceived(self, message: bytes) -> None:  # noqa: N802
        """Take an echo."""
        self.checksum = self.check(message, self.checksum)
        self.missing -= 1
        if self.missing:
            self.sendString(next(self.payloads))
        else:
            self.done.callback(None)


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        requesters = [Requester(job) for _ in range(job.connections)]
        for requester in requesters:
            await connect(job, requester)

        async def exchange(count: int) -> None:
            if each := count // job.connections:
                await gatherResults([requester.exchange(each) for requester in requesters])

        await exchange(job.warm_up)
        job.meter.start()
        await exchange(job.count)
        job.meter.stop()
        job.checksum = requesters[0].checksum
        for requester in requesters:
            await close(requester)

    run(main())
