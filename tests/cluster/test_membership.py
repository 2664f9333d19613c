"""The clock of a roster, over a real NATS."""

from __future__ import annotations

import asyncio
import time

from aio.ends import PATIENCE

from sealframe.cluster.events import Event
from sealframe.cluster.membership import Membership
from sealframe.cluster.numbers import SLICE
from sealframe.cluster.roster import Roster
from sealframe.cluster.subjects import Subjects

from .links import ears, new_cluster
from .nats_servers import NatsServer

ANY_LOOP = True
OWN, LARGE, LOUD = "0" * 16, "1" * 16, "2" * 16


def roster(id: str) -> Roster:
    """Return one whose server starts now."""
    return Roster(id, id, wall=time.time(), now=time.monotonic())


async def test_a_storm_of_presence_does_not_put_off_what_is_due(nats_server: NatsServer) -> None:
    """Neither the heartbeats, nor the slices of a large roster that came before."""
    large, loud = roster(LARGE), roster(LOUD)
    for number in range(4 * SLICE):
        large.join(str(number), None, time.time())
    async with ears(nats_server.url, "a") as (a,), asyncio.timeout(PATIENCE):
        subjects = Subjects(new_cluster())
        handled: list[Event] = []
        ticks: list[int] = []
        own = Membership(roster(OWN), a.link, subjects, handled.append, lambda: ticks.append(1))
        starting = asyncio.create_task(own.start())
        await asyncio.sleep(0)
        for data in large.take_presence(time.monotonic()):
            own.take_presence(data)
        for part in large.roster_parts():
            own.take_roster(LARGE, part)
        before = len(ticks)
        while len(own.roster.clients) < 4 * SLICE or len(ticks) < before + 3:
            loud.announce(time.monotonic())
            for data in loud.take_presence(time.monotonic()):
                own.take_presence(data)
            await asyncio.sleep(0)
        await starting
        await own.stop()
