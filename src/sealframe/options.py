"""Limits and time-outs: frozen, checked when they are made, with sane defaults.

Sizes are bytes, times are seconds. The cost of a message in a queue is its
length plus 64 (:data:`sealframe.wire.MESSAGE_OVERHEAD`), so that tiny and empty
messages count too.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from . import wire
from .errors import ConfigurationError

KIB = 1024
MIB = 1024 * KIB

_MAX_KEEP = 2**32 - 1
"""WELCOME has a u32 for it."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What holds for every connection, on either side.

    :raises ConfigurationError: a value is of the wrong type or out of range
    """

    max_message_size: int = 16 * MIB
    """The largest message accepted from the peer. On a connection that speaks
    packets alone, a foreign framing's included, it bounds what is sent too; an
    extended or sealed peer announces its own limit, which holds for sending."""

    inbox_limit: int | None = None
    """Cost of received messages that may wait to be taken. The peer of an extended or
    sealed connection is told how much room there is and sends no more: 128 KiB at first (1 MiB
    where this end is a client), and more, up to this, while the program takes in a round trip
    what came in one. The windows of all streams together grow by no more than this too. Where
    packets flow, reading pauses until half are taken. ``None``: 16 MiB, and 1 MiB where packets
    flow."""

    outbox_limit: int = 1 * MIB
    """Cost of messages waiting to be written at which ``send`` waits. A session keeps up to twice
    as much that its peer has not acknowledged."""

    max_streams: int = 128
    """How many streams the peer may have open at a time (see ``on_stream``); it waits
    with any further one. File transfers are streams too."""

    stream_window: int = 256 * KIB
    """Bytes that the peer may send on a stream before the program has read any. It grows as
    that of messages does (see ``inbox_limit``)."""

    max_requests: int = 64
    """How many requests the peer may have running at a time (see ``on_request``); it
    waits with any further one."""

    detailed_errors: bool = True
    """Whether the peer whose request makes ``on_request`` raise an exception is told its type and
    text. ``False`` keeps both from it: it gets a :exc:`RemoteError` of type ``InternalError``. A
    ``RemoteError`` that the program raises is told as it is, either way."""

    handshake_timeout: float = 10.0
    """From the open socket to the finished handshake (extended and sealed)."""

    close_timeout: float = 10.0
    """How long ``close`` waits for what is unsent and for the peer's own close; a server's
    ``close`` waits as long for its handlers, where it is told no time."""

    idle_timeout: float | None = None
    """Close a connection on which no message went either way for so long, and nothing of
    a stream, file or request."""

    keepalive_interval: float | None = 20.0
    """Silence after which the peer is probed: PING when extended or sealed, TCP
    keepalive for packets. ``None`` sends no probe, and what is sent may stay
    unacknowledged for as long as the system lets it."""

    keepalive_timeout: float = 20.0
    """Silence after a probe that ends the connection. Any byte counts as life. A
    peer whose program leaves its inbox full answers PING all the same, unless it is
    one that announced no window: that one reads nothing meanwhile. Over TCP a
    connection also ends once data was not acknowledged for both times together, a
    second at least (``TCP_USER_TIMEOUT``, RFC 5482; Linux and macOS)."""

    @property
    def pause_limit(self) -> int:
        """``inbox_limit`` where packets flow. TCP has windows of its own, so more is of no use."""
        return MIB if self.inbox_limit is None else self.inbox_limit

    @property
    def window_limit(self) -> int:
        """``inbox_limit`` where the peer is told how much room there is."""
        limit = 16 * MIB if self.inbox_limit is None else self.inbox_limit
        return min(limit, wire.MAX_WINDOW)

    def __post_init__(self) -> None:
        _check_size("max_message_size", self.max_message_size, maximum=wire.MAX_LENGTH)
        if self.inbox_limit is not None:
            _check_size("inbox_limit", self.inbox_limit)
        _check_size("outbox_limit", self.outbox_limit)
        _check_size("max_streams", self.max_streams, maximum=wire.MAX_LENGTH)
        _check_size("stream_window", self.stream_window, maximum=wire.MAX_WINDOW)
        _check_size("max_requests", self.max_requests, maximum=wire.MAX_LENGTH)
        if not isinstance(self.detailed_errors, bool):
            raise ConfigurationError(
                f"detailed_errors is {self.detailed_errors!r}; use True or False"
            )
        _check_time("handshake_timeout", self.handshake_timeout)
        _check_time("close_timeout", self.close_timeout)
        _check_time("keepalive_timeout", self.keepalive_timeout)
        if self.idle_timeout is not None:
            _check_time("idle_timeout", self.idle_timeout)
        if self.keepalive_interval is not None:
            _check_time("keepalive_interval", self.keepalive_interval)


@dataclass(frozen=True, kw_only=True)
class ServerOptions(Options):
    """What a server adds.

    :raises ConfigurationError: a value is of the wrong type or out of range
    """

    max_connections: int = 1000
    """Connections in total; a further one is turned away (BUSY when sealed). On a
    sealed server a handshake that is not finished makes room for it instead."""

    max_pending: int | None = None
    """Connections of a sealed server whose handshake is not finished. When a further
    one comes, a random one of them is dropped. ``None``: as ``max_connections``."""

    max_pending_per_address: int = 512
    """Unfinished handshakes of one address: an IPv4 address, the /64 network of an IPv6
    one, or the user at the other end of a Unix socket. When a further one comes, a random
    one of them is dropped."""

    connection_rate: float | None = None
    """New connections per second from one such address; a further one is closed at
    once. ``None``: no limit."""

    connection_burst: int = 100
    """How many may come at once before ``connection_rate`` holds them back."""

    inbox_budget: int = 256 * MIB
    """Cost of received messages of all clients together. It is shared out evenly: an
    inbox is full at ``inbox_limit`` or at its share, whichever is less."""

    slow_client: Literal["drop", "disconnect"] = "disconnect"
    """What ``broadcast`` does with a client whose outbox is full: drop the
    message for that client and count it, or disconnect that client."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_size("max_connections", self.max_connections)
        if self.max_pending is not None:
            _check_size("max_pending", self.max_pending)
        _check_size("max_pending_per_address", self.max_pending_per_address)
        if self.connection_rate is not None:
            _check_rate("connection_rate", self.connection_rate)
        _check_size("connection_burst", self.connection_burst)
        _check_size("inbox_budget", self.inbox_budget)
        if self.slow_client not in ("drop", "disconnect"):
            raise ConfigurationError(
                f"slow_client is {self.slow_client!r}; use 'drop' or 'disconnect'"
            )


@dataclass(frozen=True, kw_only=True)
class ClientOptions(Options):
    """What a client adds.

    :raises ConfigurationError: a value is of the wrong type or out of range
    """

    connect_timeout: float = 10.0
    """For name look-up and the TCP or Unix connection together, whatever the number of
    addresses that the name has."""

    backoff_initial: float = 0.1
    """Mean delay before the first attempt to reconnect."""

    backoff_factor: float = 2.0
    """By how much each further mean delay is longer than the one before."""

    backoff_maximum: float = 30.0
    """No delay is longer than this, jitter included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_time("connect_timeout", self.connect_timeout)
        _check_time("backoff_initial", self.backoff_initial)
        _check_time("backoff_maximum", self.backoff_maximum)
        if not _is_number(self.backoff_factor) or not 1.0 <= self.backoff_factor <= 100.0:
            raise ConfigurationError(
                f"backoff_factor is {self.backoff_factor!r}; use a number from 1 to 100"
            )
        if self.backoff_maximum < self.backoff_initial:
            raise ConfigurationError("backoff_maximum is less than backoff_initial")


LoadPosition: TypeAlias = Callable[[Any], Awaitable[int | tuple[int, str | None] | None]]
"""What :attr:`Sessions.position` is."""


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """That a server keeps sessions, and what those without a link may take up.

    A session outlives its link: its client comes back over another one and goes on. Until
    then the session is *detached*. Whatever bound is passed, the client that has most gives way
    first, sessions that were never used before others, then the longest detached.

    :raises ConfigurationError: a value is of the wrong type or out of range
    """

    keep: float = 120.0
    """How long a detached session waits for its client, at most 4,294,967,295 seconds. Time for
    which the server's event loop stood still does not count. How a session ended is remembered
    for as long."""

    memory: int = 64 * MIB
    """Bytes that all detached sessions together may hold: sent and not acknowledged, received and
    not taken, of messages and streams alike."""

    max_detached: int = 10_000
    """How many sessions may be detached at a time. 0: a session ends with its link."""

    position: LoadPosition | None = None
    """``async def position(session)`` returns how many messages of a session the program has
    taken for good: the number that it has stored, from :attr:`Connection.position`, in the
    transaction that stored what the message did. It gets a :class:`SessionInfo`. So a session
    outlives the server: its client sends again what comes behind that number. None is 0: nothing
    of this session is stored. Where it returns the pair ``(number, writer)`` instead, with what
    :attr:`SessionInfo.writer` of :attr:`Connection.session` was in that transaction, two copies of
    one :class:`Outbox` that take turns are told apart. A client to whom more was acknowledged ends
    its session then, with :exc:`SessionLostError`. It is asked when a client comes whose session
    this server does not have, and not while a handler of that session still runs; and where the
    session here has messages of which that :class:`Outbox` knows nothing. What it raises,
    or another answer, is logged as an error, and its client tries again later."""

    acknowledge: Literal["received", "taken"] | None = None
    """When a client need not keep its messages any more: when they have come (``"received"``), or
    when the handler asks for the next one, and so is done with them (``"taken"``). ``None``:
    ``"taken"`` with a ``position``, else ``"received"``."""

    store: Literal["cluster"] | None = None
    """Where sessions are kept so that they outlive their server: ``"cluster"``, in a log that the
    nodes of NATS replicate (JetStream), with ``serve(cluster=...)``. A message is acknowledged to
    its client, and what the program sends is given to it, once the log has it. What a handler sends
    for a message, before it asks for the next one, is in the log together with the word that it is
    done with that: after ``kill -9`` of the server another one has both or neither, and where it is
    neither, the next handler gets the message again. So nothing between client and program is lost
    or doubled, and all is in order. What the program does elsewhere, as in a database, is its own
    affair, and may be done twice. A handler that is not done with a message within a second, or
    fills its outbox meanwhile, has what it has sent go out before; that much may be sent twice.
    While JetStream has no leader, messages wait: see the guide to clusters."""

    @property
    def redelivers(self) -> bool:
        """Whether what a handler has not finished comes again, to the next one."""
        return self.position is not None or self.store is not None

    @property
    def counts_taken(self) -> bool:
        """Whether what the program has taken is acknowledged."""
        return self.acknowledge == "taken" or self.redelivers

    @property
    def keep_seconds(self) -> int:
        """``keep`` as the client is told it (docs/PROTOCOL.md section 12): whole seconds, rounded
        up."""
        return math.ceil(self.keep)

    def __post_init__(self) -> None:
        _check_time("keep", self.keep, maximum=_MAX_KEEP)
        _check_size("memory", self.memory, minimum=0)
        _check_size("max_detached", self.max_detached, minimum=0)
        if self.position is not None and not callable(self.position):
            raise ConfigurationError(
                f"position is {self.position!r}; use an async function that takes a SessionInfo"
            )
        if self.acknowledge not in (None, "received", "taken"):
            raise ConfigurationError(
                f"acknowledge is {self.acknowledge!r}; use 'received', 'taken' or None"
            )
        if self.store not in (None, "cluster"):
            raise ConfigurationError(f"store is {self.store!r}; use 'cluster' or None")
        if self.store is not None and self.position is not None:
            raise ConfigurationError(
                "with store= the log has the position, and nobody asks for it: give position= or "
                "store=, not both"
            )
        if self.redelivers and self.acknowledge == "received":
            raise ConfigurationError(
                "with position= or store= a message is acknowledged when it is taken: what has "
                "only come would be lost with this server. Leave acknowledge away"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_size(name: str, value: object, *, minimum: int = 1, maximum: int = 2**62) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value <= maximum:
        raise ConfigurationError(
            f"{name} is {value!r}; use a whole number from {minimum} to {maximum}"
        )


def _check_time(name: str, value: object, *, maximum: float = math.inf) -> None:
    if not _is_number(value) or not (0 < value < math.inf and value <= maximum):  # type: ignore[operator]
        limit = "" if maximum == math.inf else f", at most {maximum}"
        raise ConfigurationError(f"{name} is {value!r}; use a positive number of seconds{limit}")


def _check_rate(name: str, value: object) -> None:
    if not _is_number(value) or not 0.001 <= value <= 1e6:  # type: ignore[operator]
        raise ConfigurationError(f"{name} is {value!r}; use a number from 0.001 to 1000000")
