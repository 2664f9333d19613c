"""Who is there, and what a :class:`~.roster.Roster` says is to be done or to be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from .messages import MalformedFrameError

__all__ = [
    "AskRoster",
    "ClusterClient",
    "ClusterServer",
    "Event",
    "GoneReason",
    "Joined",
    "LeaveReason",
    "Left",
    "MalformedRoster",
    "Moved",
    "OwnHeartbeatSeen",
    "Probe",
    "ProbeOutcome",
    "Renamed",
    "ServerGone",
    "ServerJoined",
    "Superseded",
    "UnknownVersion",
]


@dataclass(frozen=True, slots=True)
class ClusterClient:
    """A client of one of the servers.

    :ivar id: what its server calls it
    :ivar name: what it calls itself, None if it has not
    :ivar server: the id of its server
    :ivar since: when it came or took its name, in seconds of the Unix epoch by its server's
        clock, and later than whoever of that name was known there
    """

    id: str
    name: str | None
    server: str
    since: float


@dataclass(frozen=True, slots=True)
class ClusterServer:
    """Another server.

    :ivar id: 16 hexadecimal digits, new for each process
    :ivar label: for people: host and process
    :ivar started: in seconds of the Unix epoch, by its own clock
    :ivar figures: those that it has published last
    """

    id: str
    label: str
    started: float
    figures: Mapping[str, float]


class LeaveReason(Enum):
    """Why a client is there no more."""

    LEFT = auto()
    """Its server says so."""
    SERVER_GONE = auto()
    """Its server is there no more."""


class GoneReason(Enum):
    """Why a server is there no more."""

    BYE = auto()
    """It has said so."""
    NO_RESPONDERS = auto()
    """NATS knows nobody who listens on its subject: the process is dead, or cut off."""
    SILENT = auto()
    """Nothing was heard of it for 3 seconds: the process is stopped, or NATS is away."""


class ProbeOutcome(Enum):
    """What came of a probe."""

    ANSWERED = auto()
    NO_RESPONDERS = auto()
    SILENCE = auto()
    """No answer within ``PROBE_TIMEOUT``, or NATS is away."""


# Changes of the mapping of clients. Each of them is of what a look-up by id gives.


@dataclass(frozen=True, slots=True)
class Joined:
    """A client is there that was not."""

    client: ClusterClient


@dataclass(frozen=True, slots=True)
class Left:
    """A client is there no more."""

    client: ClusterClient
    reason: LeaveReason


@dataclass(frozen=True, slots=True)
class Renamed:
    """A client has another name than before."""

    client: ClusterClient
    before: ClusterClient


@dataclass(frozen=True, slots=True)
class Moved:
    """A client is at another server than before, as one whose session goes on there."""

    client: ClusterClient
    before: ClusterClient


@dataclass(frozen=True, slots=True)
class Superseded:
    """A client of this server is to be kicked.

    :ivar id: of that client
    :ivar by: who is newer: a client of that name, or the same client at another server
    """

    id: str
    by: ClusterClient


@dataclass(frozen=True, slots=True)
class ServerJoined:
    """A server is there that was not, or that was gone."""

    server: ClusterServer


@dataclass(frozen=True, slots=True)
class ServerGone:
    """A server is there no more. Its clients have left before this event."""

    server: ClusterServer
    reason: GoneReason


@dataclass(frozen=True, slots=True)
class AskRoster:
    """Send a :class:`~.messages.RosterRequest` to that server."""

    server: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Send a NATS request to that server's subject, and hand the outcome to ``probe_result``."""

    server: str


@dataclass(frozen=True, slots=True)
class OwnHeartbeatSeen:
    """What this server publishes goes through NATS and comes back."""


@dataclass(frozen=True, slots=True)
class MalformedRoster:
    """A part of a server's roster is none: the rest of it is asked for again.

    :ivar error: says what is wrong
    """

    error: MalformedFrameError


@dataclass(frozen=True, slots=True)
class UnknownVersion:
    """Another server speaks a version that this one does not know; told once for each version."""

    version: int


Event: TypeAlias = (
    Joined
    | Left
    | Renamed
    | Moved
    | Superseded
    | ServerJoined
    | ServerGone
    | AskRoster
    | Probe
    | OwnHeartbeatSeen
    | MalformedRoster
    | UnknownVersion
)
