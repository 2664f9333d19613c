"""Processes and connections between them in memory, with a clock that stands still meanwhile.

Each process has an event loop of its own. It runs only when :class:`Network` lets it, until it has
nothing more to do at the present time. What is written waits on its :class:`Link` until the test
has it delivered, whole or in part, late or never. So a schedule is repeated step by step.
"""

from __future__ import annotations

import asyncio
import math
import socket
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable
from enum import Enum
from typing import Any, Final

HIGH: Final = 64 * 1024
"""Bytes on their way at which a transport is full."""
EVERYTHING: Final = 1 << 30
_STEPS: Final = 10_000
"""Turns of event loops at one time after which they are not going to stop."""


class Clock:
    """What all event loops of one network show."""

    def __init__(self) -> None:
        self.now = 1000.0


class _Selector:
    """Stops its loop once that would wait."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None or timeout > 0:
            self._loop.stop()
        return []


class Loop(BaseEventLoop):
    """The event loop of one process."""

    # Of asyncio's own.
    _ready: Any
    _scheduled: list[asyncio.TimerHandle]

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._selector = _Selector(self)
        self._network = network
        self.faults: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.faults.append(context))

    def time(self) -> float:
        return self._network.clock.now

    def _process_events(self, events: list[Any]) -> None:
        assert not events

    def _write_to_self(self) -> None:
        """Nothing wakes it from another thread."""

    @property
    def next_timer(self) -> float | None:
        """When it has something to do, without input."""
        return min((h.when() for h in self._scheduled if not h.cancelled()), default=None)

    @property
    def ready(self) -> bool:
        """Whether it has something to do now."""
        due = self.next_timer
        return bool(self._ready) or (due is not None and due <= self.time())

    async def create_server(  # type: ignore[override]  # of its arguments the library uses these
        self, factory: Any, *, sock: socket.socket, **_: Any
    ) -> Any:
        listening = _Listening(self._network, self, factory, sock)
        self._network.sockets.append(sock)
        return listening

    async def create_connection(  # type: ignore[override]  # the same
        self, factory: Any, *_: Any, **__: Any
    ) -> Any:
        return self._network.connect(self, factory)


class _Listening:
    """What ``create_server`` returns."""

    def __init__(self, network: Network, loop: Loop, factory: Any, sock: socket.socket) -> None:
        self._network, self.loop, self.factory, self._sock = network, loop, factory, sock

    async def start_serving(self) -> None:
        self._network.listening = self

    def close(self) -> None:
        if self._network.listening is self:
            self._network.listening = None
        self._sock.close()

    async def wait_closed(self) -> None:
        pass


class Ending(Enum):
    """How an end of a link learns that it was cut."""

    FIN = "the stream ends"
    RESET = "the socket fails"
    SILENCE = "it does not: nothing comes any more"


class Way:
    """One direction of a link."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ending: Ending | None = None
        """What stands behind the data."""
        self.cut = False
        """Whether nothing that is written arrives any more."""

    def end(self, ending: Ending) -> None:
        if self.ending is None:
            self.ending = ending


class _NoSocket:
    """That of a transport that has none."""

    family = socket.AF_UNIX

    def getsockopt(self, *_: int) -> bytes:
        raise OSError("there is no socket")


_NO_SOCKET: Final = _NoSocket()


class Transport(asyncio.Transport):
    """One end of a link."""

    def __init__(self, link: Link, loop: Loop, *, client: bool) -> None:
        super().__init__()
        self.link, self.loop, self.client = link, loop, client
        self.protocol: Any = None
        self.dead = False
        """Whether its process reads and writes no more, closed it or was killed."""
        self._reading = True
        self._ended = False
        self._writing_paused = False

    @property
    def incoming(self) -> Way:
        return self.link.ways[self.client]

    @property
    def outgoing(self) -> Way:
        return self.link.ways[not self.client]

    @property
    def waits(self) -> bool:
        """Whether there is something to be read, and somebody who does."""
        way = self.incoming
        if self.dead:
            return bool(way.data)
        over = way.ending in (Ending.FIN, Ending.RESET) and not self._ended
        return self._reading and (bool(way.data) or over)

    # What the protocols call

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return _NO_SOCKET
        return "memory" if name in ("peername", "sockname") else default

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.dead

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def write(self, data: Any) -> None:
        way = self.outgoing
        if self.dead or way.cut or way.ending is not None:
            return
        way.data += data
        if len(way.data) > HIGH and not self._writing_paused:
            self._writing_paused = True
            self.protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.outgoing.end(Ending.FIN)

    def close(self) -> None:
        if not self.dead:
            self.dead = True
            self.outgoing.end(Ending.FIN)
            self.loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self.close()

    def _lose(self, error: Exception | None) -> None:
        self.protocol.connection_lost(error)

    # What the network does

    def read(self, count: int) -> None:
        """Let so many bytes come, and the end if it is behind them."""
        way = self.incoming
        if self.dead:
            self.refuse()
        while count > 0 and way.data and self._reading and not self.dead:
            protocol = self.protocol
            buffer = protocol.get_buffer(-1)
            size = min(len(buffer), len(way.data), count)
            buffer[:size] = way.data[:size]
            del way.data[:size]
            count -= size
            protocol.buffer_updated(size)
        self.link.end(not self.client).drained()
        if not way.data and way.ending is not None and not self.dead and not self._ended:
            self._end(way.ending)

    def refuse(self) -> None:
        """Nobody reads here any more: the kernel answers with RST, and what the other end has not
        read by then is gone."""
        if self.incoming.data:
            self.incoming.data.clear()
            self.outgoing.data.clear()
            self.outgoing.ending = Ending.RESET

    def _end(self, ending: Ending) -> None:
        if ending is Ending.RESET:
            self._ended = self.dead = True
            self._lose(ConnectionResetError("reset"))
        elif ending is Ending.FIN and self._reading:
            self._ended = True
            if not self.protocol.eof_received():
                self.close()

    def drained(self) -> None:
        if self._writing_paused and len(self.outgoing.data) < HIGH // 4 and not self.dead:
            self._writing_paused = False
            self.loop.call_soon(self.protocol.resume_writing)


class Link:
    """A connection between two processes."""

    def __init__(self, client: Loop, server: Loop) -> None:
        self.ways = {True: Way(), False: Way()}
        """To the client, and to the server."""
        self._ends = {
            True: Transport(self, client, client=True),
            False: Transport(self, server, client=False),
        }

    def end(self, client: bool) -> Transport:
        return self._ends[client]

    @property
    def over(self) -> bool:
        return all(end.dead for end in self._ends.values())

    def cut(self, left: dict[bool, int], ending: Ending) -> None:
        """Cut it: so much of what is on its way to the client and to the server still arrives."""
        for client, way in self.ways.items():
            if not way.cut and way.ending is None:
                del way.data[left[client] :]
                way.cut = True
                if ending is not Ending.SILENCE:
                    way.end(ending)

    def mend_silence(self) -> None:
        """Where it is silent, let both ends know that it was cut."""
        for way in self.ways.values():
            if way.cut:
                way.end(Ending.FIN)

    def deliver(self, client: bool, count: int) -> None:
        """Let one end read."""
        end = self._ends[client]
        if end.dead:
            end.refuse()
        elif end.waits:
            end.loop.call_soon(end.read, count)

    def kill(self, loop: Loop) -> None:
        """The process at one end is gone; what it has written still arrives."""
        for end in self._ends.values():
            if end.loop is loop and not end.dead:
                end.dead = True
                end.outgoing.end(Ending.FIN)


class Network:
    """All processes and links."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loops: list[Loop] = []
        """Of the processes that live."""
        self.killed: list[Loop] = []
        self.listening: _Listening | None = None
        self.links: list[Link] = []
        self.sockets: list[socket.socket] = []
        """Those of servers, on which nothing comes."""
        self.flowing = False
        """Whether all that is written arrives at once."""

    def process(self) -> Loop:
        loop = Loop(self)
        self.loops.append(loop)
        return loop

    def kill(self, loop: Loop) -> None:
        """End a process: nothing of it runs any more."""
        self.loops.remove(loop)
        self.killed.append(loop)
        if self.listening is not None and self.listening.loop is loop:
            self.listening = None
        for link in self.links:
            link.kill(loop)

    def connect(self, client: Loop, factory: Callable[[], Any]) -> tuple[Transport, Any]:
        listening = self.listening
        if listening is None:
            raise ConnectionRefusedError("nobody listens")
        link = Link(client, listening.loop)
        self.links.append(link)
        server = link.end(False)
        server.protocol = listening.factory()
        listening.loop.call_soon(server.protocol.connection_made, server)
        end = link.end(True)
        end.protocol = factory()
        end.protocol.connection_made(end)
        return end, end.protocol

    def settle(self) -> None:
        """Let all processes run until they wait."""
        for _ in range(_STEPS):
            loops = [loop for loop in self.loops if loop.ready]
            if not loops:
                if not (self.flowing and self._flow()):
                    break
                continue
            for loop in loops:
                if loop in self.loops:
                    loop.run_forever()
        else:
            raise AssertionError("they never wait")
        self.links = [link for link in self.links if not link.over]

    def _flow(self) -> bool:
        """Deliver what has come to an end that reads; return whether there was any."""
        found = False
        for link in self.links:
            for client in link.ways:
                if link.end(client).waits:
                    link.deliver(client, EVERYTHING)
                    found = True
        return found

    def pass_time(self, seconds: float) -> None:
        """Let time pass, from one timer to the next."""
        until = self.clock.now + seconds
        self.settle()
        while (due := self._next_timer()) <= until:
            self.clock.now = max(due, self.clock.now)
            self.settle()
        self.clock.now = until

    def _next_timer(self) -> float:
        timers = (loop.next_timer for loop in self.loops)
        return min((due for due in timers if due is not None), default=math.inf)

    def close(self) -> None:
        """End all, the killed ones too, which then find every link gone."""
        self.flowing = False
        for link in self.links:
            for loop in (*self.loops, *self.killed):
                link.kill(loop)
        for loop in (*self.loops, *self.killed):
            for _ in range(20):
                tasks = asyncio.all_tasks(loop)
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
        for sock in self.sockets:
            sock.close()
