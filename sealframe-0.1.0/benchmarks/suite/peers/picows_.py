"""picows, WebSocket in C: its core API of callbacks, over the transport that it takes by default.

A receiver copies each payload to ``bytes``, since a view of the read buffer is void after the
callback; an echo, which ends in the callback, sends that view. A sender waits while it is asked
to pause, as its example of back-pressure does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Final

from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
    ws_create_server,
)

from ..descriptors import allow_many_connections
from ..job import HOST, Job
from ..memory import ALL_OPEN, IdleMemory
from ..tls import client_context, server_context
from ..turns import in_turns

SEALED: Final = True

# To look up a member of this enumeration takes longer than to parse a frame.
BINARY: Final = WSMsgType.BINARY
CLOSE: Final = WSMsgType.CLOSE


async def listen(job: Job, factory: Callable[[], WSListener]) -> asyncio.Server:
    """Start a server that makes a listener for each connection."""
    allow_many_connections()
    ssl = server_context(job.directory) if job.sealed else None
    server: asyncio.Server = await ws_create_server(
        lambda _: factory(), HOST, 0, ssl=ssl, backlog=1024
    )
    job.listening(server.sockets[0].getsockname()[1])
    return server


class Connector:
    """Makes connections."""

    def __init__(self, job: Job) -> None:
        allow_many_connections()
        self.url = f"{'wss' if job.sealed else 'ws'}://{HOST}:{job.port}/"
        self.context = client_context(job.directory) if job.sealed else None

    async def connect(self, factory: Callable[[], WSListener]) -> WSTransport:
        """Connect, and return when messages can be sent."""
        transport, _ = await ws_connect(factory, self.url, ssl_context=self.context)
        return transport


def end(transport: WSTransport) -> None:
    """Answer the closing handshake."""
    transport.send_close(WSCloseCode.OK)
    transport.disconnect()


async def close(transport: WSTransport) -> None:
    """Begin the closing handshake and wait until the server has read all and closed."""
    transport.send_close(WSCloseCode.OK)
    await transport.wait_disconnected()


def one_way_server(job: Job) -> None:
    """Receive the messages and check them."""

    async def main() -> None:
        done = asyncio.Event()
        server = await listen(job, lambda: Receiver(job, done))
        await done.wait()
        server.close()

    job.run(main())


class Receiver(WSListener):
    """Checks messages."""

    def __init__(self, job: Job, done: asyncio.Event) -> None:
        self.job, self.done = job, done
        self.check, self.checksum = job.check, 0
        self.timed, self.missing = job.count, job.warm_up + job.count

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Start to measure, in case that there is no warm-up."""
        self.job.meter.start()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a message, or what comes after the last one."""
        if not self.missing:
            end(transport)
            return
        self.checksum = self.check(frame.get_payload_as_bytes(), self.checksum)
        self.missing -= 1
        if self.missing == self.timed:
            self.job.meter.start()
        elif not self.missing:
            self.job.meter.stop()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """End."""
        self.job.checksum = self.checksum
        self.done.set()


def one_way_client(job: Job) -> None:
    """Send the messages."""

    async def main() -> None:
        payloads, different, pause = job.payloads, len(job.payloads), Pause()
        transport = await Connector(job).connect(lambda: pause)
        for number in range(job.warm_up):
            if pause.waiter:
                await pause.waiter
            transport.send(BINARY, payloads[number % different])
        job.meter.start()
        for number in range(job.warm_up, job.warm_up + job.count):
            if pause.waiter:
                await pause.waiter
            transport.send(BINARY, payloads[number % different])
        await close(transport)
        job.meter.stop()

    job.run(main())


class Pause(WSListener):
    """Knows whether a sender is to wait."""

    def __init__(self) -> None:
        self.waiter: asyncio.Future[None] | None = None

    def pause_writing(self) -> None:
        """Too much is waiting to be sent."""
        self.waiter = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """It has been sent."""
        if self.waiter:
            self.waiter.set_result(None)
            self.waiter = None


class Calm(WSListener):
    """Need not pause: it sends no message before the last one was answered."""

    def pause_writing(self) -> None:
        """Send on; by default this would be logged as a warning."""

    def resume_writing(self) -> None:
        """Send on."""


def round_trip_server(job: Job) -> None:
    """Echo."""
    job.run(echo(job, job.connections))


async def echo(job: Job, connections: int) -> None:
    """Echo until so many connections have come and gone."""
    first, done = True, asyncio.Event()

    class Echo(Calm):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal first
            if frame.msg_type == CLOSE:
                end(transport)
                return
            if first:
                first = False
                job.meter.start()
            transport.send(BINARY, frame.get_payload_as_memoryview())

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            nonlocal connections
            job.meter.stop()
            connections -= 1
            if not connections:
                done.set()

    server = await listen(job, Echo)
    await done.wait()
    server.close()


class Requester(Calm):
    """Sends the next request when the echo of the last one is there."""

    def __init__(self, job: Job) -> None:
        self.payloads: Iterator[bytes] = cycle(job.payloads)
        self.check, self.checksum = job.check, 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def exchange(self, count: int) -> asyncio.Future[None]:
        """Begin ``count`` exchanges; the result comes when they are done."""
        self.missing, self.done = count, asyncio.get_running_loop().create_future()
        self.transport.send(BINARY, next(self.payloads))
        return self.done

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take an echo."""
        if frame.msg_type == CLOSE:
            return
        self.checksum = self.check(frame.get_payload_as_bytes(), self.checksum)
        self.missing -= 1
        if self.missing:
            transport.send(BINARY, next(self.payloads))
        else:
            self.done.set_result(None)


async def make_requester(job: Job, connector: Connector) -> Requester:
    """Connect."""
    requester = Requester(job)
    await connector.connect(lambda: requester)
    return requester


def round_trip_client(job: Job) -> None:
    """Ask, wait for the echo, ask again."""

    async def main() -> None:
        connector = Connector(job)
        requesters = [await make_requester(job, connector) for _ in range(job.connections)]

        async def exchange(count: int) -> None:
            if each := count // job.connections:
                await asyncio.gather(*(requester.exchange(each) for requester in requesters))

        await exchange(job.warm_up)
        job.meter.start()
        await exchange(job.count)
        job.meter.stop()
        job.checksum = requesters[0].checksum
        await asyncio.gather(*(close(requester.transport) for requester in requesters))

    job.run(main())


def connect_server(job: Job) -> None:
    """Echo, on many connections one after another."""
    job.run(echo(job, job.warm_up + job.count))


def connect_client(job: Job) -> None:
    """Connect, ask, wait for the echo, close, again and again."""

    class Once(WSListener):
        def __init__(self, message: bytes) -> None:
            self.message, self.echo = message, b""

        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(BINARY, self.message)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type != CLOSE:
                self.echo = frame.get_payload_as_bytes()
                transport.send_close(WSCloseCode.OK)

    async def main() -> None:
        payloads, different, connector = job.payloads, len(job.payloads), Connector(job)

        async def connect(number: int) -> None:
            once = Once(payloads[number % different])
            transport = await connector.connect(lambda: once)
            await transport.wait_disconnected()
            if once.echo != once.message:
                raise RuntimeError("the echo is another message")

        await in_turns(connect, job.warm_up, job.connections)
        job.meter.start()
        await in_turns(connect, job.count, job.connections)
        job.meter.stop()

    job.run(main())


def idle_server(job: Job) -> None:
    """Echo, and measure the memory when all is quiet."""

    async def main() -> None:
        memory, tasks = IdleMemory(job), set[asyncio.Task[None]]()

        class Echo(Calm):
            def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
                message = frame.get_payload_as_bytes()
                if frame.msg_type == CLOSE:
                    end(transport)
                elif message == ALL_OPEN:
                    tasks.add(asyncio.create_task(measure(transport)))
                else:
                    transport.send(BINARY, message)

        async def measure(transport: WSTransport) -> None:
            await memory.measure()
            transport.send(BINARY, ALL_OPEN)

        server = await listen(job, Echo)
        await memory.done.wait()
        await asyncio.gather(*tasks)
        server.close()

    job.run(main())


def idle_client(job: Job) -> None:
    """Open connections, use each once, and keep quiet."""

    async def main() -> None:
        connector, requesters = Connector(job), list[Requester]()

        async def connect(number: int) -> None:
            requesters.append(await make_requester(job, connector))
            await requesters[-1].exchange(1)

        async def all_open() -> None:
            requesters[0].payloads = iter([ALL_OPEN])
            await requesters[0].exchange(1)

        await in_turns(connect, job.warm_up, job.connections)
        await all_open()
        await in_turns(connect, job.count, job.connections)
        await all_open()

    job.run(main())
