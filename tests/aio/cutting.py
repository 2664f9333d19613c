"""A TCP proxy that breaks the connections which go through it, in ways that a seed says.

What becomes of a connection is its :class:`Plan`: one fault, after so many bytes in one
direction. Unless a test gives it, it is drawn from the seed and the number of the connection, so
that the same seed breaks the same connections at the same bytes.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self, TypeAlias

from mitm.middle import Outlet, Way

HELD: Final = 65536
"""Bytes that wait in one direction of a connection before its source is read no further."""
PIECES_END: Final = 2048
"""Bytes of each direction that come in pieces, where they do: enough for every introduction."""


class Fault(Enum):
    """What happens to a connection."""

    NONE = "nothing: it is only carried"
    RESET = "both ends get RST; what they have not read by then is lost too"
    FIN = "both ends get what came until then, and FIN"
    HALF_CLOSE = "one direction ends with FIN; the other goes on"
    STALL = "one direction stands still for a while, and then goes on"
    STALL_BOTH = "both do"
    STRAND = "the source gets RST; the other end keeps its socket, and gets what was sent later"

    @property
    def breaks(self) -> bool:
        """Whether no connection outlives it."""
        return self not in (Fault.NONE, Fault.STALL, Fault.STALL_BOTH)


_AT_ONCE: Final = frozenset({Fault.RESET, Fault.FIN, Fault.HALF_CLOSE})
"""These come right behind the byte that they wait for. The others need a byte that they hold."""


@dataclass(frozen=True)
class Plan:
    """What becomes of one connection."""

    fault: Fault = Fault.NONE
    way: Way = Way.UP
    """The direction whose bytes count; where one is broken, this one."""
    after: int = 0
    """Bytes that go on before it happens. Where that is 0, it happens once the first has come."""
    hold: float | None = None
    """Seconds after which what stood still goes on; None: not before :meth:`CuttingProxy.calm`."""
    newer: int | None = None
    """It goes on earlier, once a later connection has carried so many bytes to the client."""
    then: Plan | None = None
    """What comes next, where the connection outlives the fault; its bytes count from the first."""
    turns: int = 0
    """Turns of the event loop between the last byte and RST, in which it may still be read."""
    piece: int = 0
    """The first bytes go on in pieces of so many, one for each turn of the event loop; 0: as
    they came."""


Plans: TypeAlias = Callable[[int], Plan]
"""Says what becomes of a connection, by its number from 0."""

_WEIGHTS: Final = {
    Fault.RESET: 30,
    Fault.FIN: 20,
    Fault.HALF_CLOSE: 10,
    Fault.STALL: 8,
    Fault.STALL_BOTH: 4,
    Fault.STRAND: 28,
}


def always(plan: Plan) -> Plans:
    """Break every connection in the same way."""
    return lambda _: plan


def drawn(seed: int, *, reach: int = 200_000, hold: float = 0.3) -> Plans:
    """Return plans that a seed says.

    :param reach: the most bytes after which a fault comes; a third come within the first 400
    :param hold: the most seconds that something is held
    """

    def plan(number: int) -> Plan:
        rng = random.Random(f"{seed} {number}")
        (fault,) = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))
        early = rng.random() < 1 / 3
        after = rng.randrange(400) if early else int(math.exp(rng.uniform(0, math.log(reach))))
        waits = rng.random()
        newer = int(math.exp(rng.uniform(0, 8))) if waits < 0.5 else None
        # A connection that stands still for ever is one that its ends have to find out.
        for_ever = waits > 0.9 and fault is Fault.STRAND
        then = None
        if not fault.breaks:
            cut = rng.choice([Fault.RESET, Fault.FIN])
            then = Plan(cut, rng.choice(list(Way)), after + rng.randrange(reach // 10), turns=4)
        return Plan(
            fault=fault,
            way=rng.choice(list(Way)),
            after=after,
            then=then,
            hold=None if for_ever else rng.uniform(0, hold),
            newer=newer if fault is Fault.STRAND else None,
            turns=rng.choice([0, 4, 4]),
            piece=rng.choice([1, 2, 7, 40, 300]) if rng.random() < 0.25 else 0,
        )

    return plan


class CuttingProxy:
    """Listens on loopback, and carries what comes to a server, until a fault ends that.

    :param target: the port of the server, on 127.0.0.1; None: there is none
    :param seed: what becomes of each connection is drawn from it
    :param plans: or is said by this
    """

    def __init__(self, target: int | None, seed: int = 0, *, plans: Plans | None = None) -> None:
        self.plans = drawn(seed) if plans is None else plans
        """For each connection that begins from now on."""
        self.faults: Counter[Fault] = Counter()
        """How often each happened."""
        self.connections = 0
        """How many began."""
        self.target = target
        """Where the server of each connection is that begins from now on."""
        self._listener: asyncio.Server | None = None
        self._passages: set[_Passage] = set()
        self._holding: set[_Passage] = set()
        self._dialling: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._listener is not None
        port: int = self._listener.sockets[0].getsockname()[1]
        return port

    @property
    def cuts(self) -> int:
        """How many connections it has ended."""
        return sum(times for fault, times in self.faults.items() if fault.breaks)

    @property
    def open(self) -> int:
        """How many connections it carries now, one whose ends are not both gone included."""
        return len(self._passages)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        # What the event loop has accepted is a connection a turn later.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for task in self._dialling:
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        for passage in list(self._passages):
            passage.reset()
        while self._passages:
            self._emptied.clear()
            await self._emptied.wait()
        await self._listener.wait_closed()

    def calm(self) -> None:
        """Only carry from now on, what stood still too."""
        self.plans = always(Plan())
        for passage in list(self._passages):
            passage.calm()

    # Called by the connections

    def hold(self, passage: _Passage) -> None:
        """Tell a connection from now on what later ones carry."""
        self._holding.add(passage)

    def release(self, passage: _Passage) -> None:
        """Tell it no more."""
        self._holding.discard(passage)

    def carried_down(self, number: int, count: int) -> None:
        """Take in that a connection has carried so many bytes to its client."""
        if self._holding:
            for passage in list(self._holding):
                if passage.number < number:
                    passage.newer_carried(count)

    def ended(self, passage: _Passage) -> None:
        """Take in that both sockets of a connection are gone."""
        self._passages.discard(passage)
        self._holding.discard(passage)
        self._emptied.set()

    def _accept(self) -> asyncio.Protocol:
        passage = _Passage(self, self.connections, self.plans(self.connections))
        self.connections += 1
        self._passages.add(passage)
        task = asyncio.get_running_loop().create_task(self._dial(passage))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)
        return passage.sides[Way.UP]

    async def _dial(self, passage: _Passage) -> None:
        loop = asyncio.get_running_loop()
        try:
            if self.target is None:
                raise ConnectionRefusedError
            await loop.create_connection(lambda: passage.sides[Way.DOWN], "127.0.0.1", self.target)
        except BaseException as error:
            passage.sides[Way.DOWN].never_there()
            if not isinstance(error, OSError):
                raise


class _Passage:
    """One connection, from both ends."""

    def __init__(self, proxy: CuttingProxy, number: int, plan: Plan) -> None:
        self.number = number
        self.plan = plan
        self.sides = {way: _Side(self, way) for way in Way}
        """The socket that the bytes of a direction come from."""
        self.directions = {way: _Direction(self, way) for way in Way}
        self._proxy = proxy
        self._holding = False
        self._newer: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def strike(self) -> None:
        """Do what the plan says."""
        plan = self.plan
        self.plan = plan.then or Plan(piece=plan.piece)
        self._proxy.faults[plan.fault] += 1
        direction = self.directions[plan.way]
        if plan.fault is Fault.RESET:
            for each in self.directions.values():
                each.discard()
            self._reset_after(plan.turns)
        elif plan.fault is Fault.FIN:
            for each in self.directions.values():
                each.discard()
            for side in self.sides.values():
                side.close()
        elif plan.fault is Fault.HALF_CLOSE:
            direction.discard()
            self.sides[plan.way.back].finish()
        else:
            direction.stands = True
            self.directions[plan.way.back].stands = plan.fault is Fault.STALL_BOTH
            self._hold(plan.hold, plan.newer)
            if plan.fault is Fault.STRAND:
                self.sides[plan.way].reset()

    def _reset_after(self, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._reset_after, turns - 1)
        else:
            self.reset()

    def _hold(self, seconds: float | None, newer: int | None) -> None:
        self._holding = True
        self._newer = newer
        self._proxy.hold(self)
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._release)

    def _release(self) -> None:
        if not self._holding:
            return
        self._holding = False
        self._proxy.release(self)
        self._stop_timer()
        for direction in self.directions.values():
            direction.stands = False
            direction.move()

    def newer_carried(self, count: int) -> None:
        """Take in that a later connection has carried so many bytes to its client."""
        if self._holding and self._newer is not None and count >= self._newer:
            self._release()

    def calm(self) -> None:
        """Have no fault from now on."""
        self.plan = Plan()
        self._release()

    def reset(self) -> None:
        """Send RST to both ends."""
        for direction in self.directions.values():
            direction.discard()
        for side in self.sides.values():
            side.reset()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Called by its parts

    def carried(self, way: Way, count: int) -> None:
        """Take in that a direction has carried so many bytes by now."""
        if way is Way.DOWN:
            self._proxy.carried_down(self.number, count)

    @property
    def over(self) -> bool:
        """Whether nothing goes on any more, in either direction."""
        return all(direction.over for direction in self.directions.values())

    def finished(self) -> None:
        """Take in that a direction has carried its end; close once both have."""
        if self.over:
            for side in self.sides.values():
                side.close()

    def lost(self, way: Way, error: Exception | None) -> None:
        """Take in that the socket is gone from which that direction comes."""
        self.directions[way.back].discard()
        self.directions[way].end_behind(_End.LOST if error is None else _End.RESET)
        self.finished()
        if all(side.gone for side in self.sides.values()):
            self._stop_timer()
            self._proxy.ended(self)


class _End(Enum):
    """How a direction ends, behind all that is held of it."""

    FIN = "its source sends no more"
    LOST = "its source is closed"
    RESET = "its source was lost"


class _Direction:
    """What goes one way through a connection."""

    def __init__(self, passage: _Passage, way: Way) -> None:
        self.stands = False
        """Whether what comes is held."""
        self.over = False
        """Whether nothing more goes this way."""
        self._passage = passage
        self._way = way
        self._source = passage.sides[way]
        self._target = passage.sides[way.back]
        self._held = bytearray()
        self._carried = 0
        self._end: _End | None = None
        self._piece_due = False

    def arrived(self, data: bytes) -> None:
        """Take in what the source sent."""
        if not self.over:
            self._held += data
            self.move()

    def end_behind(self, end: _End) -> None:
        """Take in that nothing follows."""
        if not self.over:
            self._end = end
            self.move()

    def discard(self) -> None:
        """Carry nothing any more; what still comes is dropped."""
        self.over = True
        self._held.clear()
        self._source.pause("held", False)

    def move(self) -> None:
        """Carry on what may go."""
        while self._held and self._may_move():
            size = len(self._held)
            plan = self._passage.plan
            if plan.fault is not Fault.NONE and plan.way is self._way:
                left = plan.after - self._carried
                if left <= 0:
                    self._passage.strike()
                    continue
                size = min(size, left)
            in_pieces = plan.piece and self._carried < PIECES_END
            if in_pieces:
                size = min(size, plan.piece)
            self._carry(size)
            if in_pieces:
                self._piece_due = True
                asyncio.get_running_loop().call_soon(self._next_piece)
        if self._end is not None and not self._held and self._may_move():
            self._finish(self._end)
        self._source.pause("held", len(self._held) >= HELD)

    def _may_move(self) -> bool:
        return not (self.over or self.stands or self._piece_due) and self._target.there

    def _next_piece(self) -> None:
        self._piece_due = False
        self.move()

    def _carry(self, size: int) -> None:
        data = bytes(self._held[:size])
        del self._held[:size]
        self._carried += size
        self._target.write(data)
        self._passage.carried(self._way, self._carried)
        plan = self._passage.plan
        if plan.fault in _AT_ONCE and plan.way is self._way and self._carried >= plan.after:
            self._passage.strike()

    def _finish(self, end: _End) -> None:
        self.over = True
        if end is _End.FIN:
            self._target.finish()
        elif end is _End.LOST:
            self._target.close()
        else:
            self._target.reset()
        self._passage.finished()


class _Side(Outlet):
    """One socket of a connection; ``way`` is the direction of what comes from it."""

    def __init__(self, passage: _Passage, way: Way) -> None:
        super().__init__()
        self.gone = False
        self._passage = passage
        self._way = way
        self._pauses: set[str] = set()

    @property
    def there(self) -> bool:
        """Whether it is connected."""
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._passage.over:
            self.reset()
        self._passage.directions[self._way.back].move()

    def never_there(self) -> None:
        """Take in that there is no server."""
        self.connection_lost(ConnectionRefusedError())

    def data_received(self, data: bytes) -> None:
        self._passage.directions[self._way].arrived(data)

    def eof_received(self) -> bool:
        if self._passage.sides[self._way.back].gone:
            # Neither has anybody to talk to.
            self.close()
        else:
            self._passage.directions[self._way].end_behind(_End.FIN)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.gone = True
        self._passage.lost(self._way, exc)

    def pause_writing(self) -> None:
        self._passage.sides[self._way.back].pause("full", True)

    def resume_writing(self) -> None:
        self._passage.sides[self._way.back].pause("full", False)

    def pause(self, reason: str, pausing: bool) -> None:
        """Read no further while there is any reason not to."""
        before = bool(self._pauses)
        if pausing:
            self._pauses.add(reason)
        else:
            self._pauses.discard(reason)
        transport = self._transport
        if transport is None or transport.is_closing() or bool(self._pauses) is before:
            return
        if pausing:
            transport.pause_reading()
        else:
            transport.resume_reading()
