"""Looks at a cluster from outside: who is there, and how they are. Its servers do not notice."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self

from .chunks import ID_SIZE, UnknownVersionError
from .messages import MalformedFrameError
from .nats_link import NatsLink
from .nats_servers import NatsServers
from .numbers import HEARTBEAT_INTERVAL
from .presence import Presence, decode_presence
from .status import QUESTION, ServerStatus
from .subjects import Subjects

_OPEN_TIMEOUT: Final = 5.0
"""Seconds for the connection to NATS."""
_HEAR_ALL: Final = 4 * HEARTBEAT_INTERVAL
"""Seconds in which every server says at least once that it is there."""
_ANSWER_TIMEOUT: Final = 1.0
"""Seconds for the answers of all servers together."""
_REMEMBERED: Final = 30.0
"""Seconds for which a server is shown that is gone."""


class State(Enum):
    """How a server seems to be."""

    HERE = "here"
    LEAVING = "leaving"
    """It hands its sessions over, and ends."""
    HANGS = "hangs"
    """It does not answer, and NATS has its subscription still: it is stopped or too busy, or has
    lost NATS a moment ago."""
    GONE = "gone"
    """It has said goodbye, or NATS says that nobody listens."""


@dataclass(frozen=True, slots=True)
class SeenServer:
    """One server, as it was seen.

    :ivar figures: those of its last heartbeat
    :ivar silent_for: seconds since it was heard last
    :ivar status: None where there was no answer, or none that is understood
    :ivar round_trip: seconds that the answer took, None where there was none
    """

    id: str
    label: str
    started: float
    figures: Mapping[str, float]
    state: State
    silent_for: float
    status: ServerStatus | None
    round_trip: float | None


@dataclass(slots=True)
class _Heard:
    presence: Presence
    when: float
    gone: bool = False


class Observer:
    """A look at a cluster, within ``async with``.

    :param urls: nodes of NATS, as for :class:`~.cluster.Cluster`
    :param name: of the cluster
    :ivar versions: of the protocol between servers that were heard and are not understood
    :raises ConfigurationError: a URL is none, or the name will not do
    """

    def __init__(self, urls: str | Iterable[str], *, name: str = "default") -> None:
        self._subjects = Subjects(name)
        self._heard: dict[str, _Heard] = {}
        self.versions: set[int] = set()
        id = secrets.token_hex(ID_SIZE)
        self._link = NatsLink(
            NatsServers(urls),
            name=f"sealframe status {id}",
            presence=self._subjects.presence,
            subject=self._subjects.of(id),
            on_presence=self._take,
            on_message=lambda _: None,
            on_connected=lambda _: None,
        )

    async def __aenter__(self) -> Self:
        """Connect, and hear who is there.

        :raises ClusterError: NATS cannot be reached, or does not let us in
        """
        try:
            await self._link.open(_OPEN_TIMEOUT)
            await asyncio.sleep(_HEAR_ALL)
        except BaseException:
            await self._link.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._link.close()

    @property
    def connected(self) -> bool:
        """Whether NATS is there."""
        return self._link.connected

    async def look(self) -> list[SeenServer]:
        """Ask all servers at once; return them all by when they started, a second later at most.
        Those that are gone are among them for half a minute."""
        now = time.monotonic()
        for id, heard in list(self._heard.items()):
            if now - heard.when > _REMEMBERED:
                del self._heard[id]
        servers = sorted(self._heard.values(), key=lambda one: one.presence.started)
        return list(await asyncio.gather(*map(self._ask, servers)))

    async def _ask(self, heard: _Heard) -> SeenServer:
        presence = heard.presence
        answer: bytes | None = None
        state, round_trip = State.GONE, None
        if not heard.gone:
            asked = time.monotonic()
            try:
                subject = self._subjects.of(presence.server)
                answer = await self._link.ask(subject, QUESTION, _ANSWER_TIMEOUT)
            except TimeoutError:
                state = State.HANGS
            else:
                round_trip = None if answer is None else time.monotonic() - asked
        silent_for = time.monotonic() - heard.when
        if answer is not None and not heard.gone:
            state = State.LEAVING if heard.presence.figures.get("leaving") else State.HERE
        return SeenServer(
            presence.server,
            presence.label,
            presence.started,
            heard.presence.figures,
            state,
            silent_for,
            ServerStatus.decode(answer) if answer else None,
            round_trip,
        )

    def _take(self, data: bytes) -> None:
        try:
            presence = decode_presence(data)
        except UnknownVersionError as error:
            self.versions.add(error.version)
            return
        except MalformedFrameError:
            return  # servers log it
        self._heard[presence.server] = _Heard(presence, time.monotonic(), presence.bye)
