"""Limits and time-outs are checked when they are made, and then frozen."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from sealframe.errors import ConfigurationError
from sealframe.options import ClientOptions, Options, ServerOptions, Sessions

SIZES = ("max_message_size", "inbox_limit", "outbox_limit")
TIMES = (
    *("handshake_timeout", "close_timeout", "idle_timeout"),
    *("keepalive_interval", "keepalive_timeout"),
)
CLIENT_TIMES = ("connect_timeout", "backoff_initial", "backoff_maximum")

SERVER_SIZES = (
    *("max_connections", "max_pending", "max_pending_per_address"),
    *("connection_burst", "inbox_budget"),
)

BAD_SIZES: tuple[Any, ...] = (0, -1, 1.0, "1", None, True, 2**62 + 1, math.inf)
BAD_TIMES: tuple[Any, ...] = (0, 0.0, -1, -0.5, math.inf, math.nan, "1", True, 1j)


def test_the_defaults_are_what_the_documentation_says() -> None:
    assert dataclasses.asdict(Options()) == {
        "max_message_size": 16 * 1024 * 1024,
        "inbox_limit": None,
        "outbox_limit": 1024 * 1024,
        "max_streams": 128,
        "stream_window": 256 * 1024,
        "max_requests": 64,
        "handshake_timeout": 10.0,
        "close_timeout": 10.0,
        "detailed_errors": True,
        "idle_timeout": None,
        "keepalive_interval": 20.0,
        "keepalive_timeout": 20.0,
    }
    server, client = ServerOptions(), ClientOptions()
    assert (server.max_connections, server.slow_client) == (1000, "disconnect")
    assert (server.max_pending, server.max_pending_per_address) == (None, 512)
    assert (server.connection_rate, server.connection_burst) == (None, 100)
    assert server.inbox_budget == 256 * 1024 * 1024
    assert (client.connect_timeout, client.backoff_initial) == (10.0, 0.1)
    assert (client.backoff_factor, client.backoff_maximum) == (2.0, 30.0)
    assert dataclasses.asdict(Sessions()) == {
        "keep": 120.0,
        "memory": 64 * 1024 * 1024,
        "max_detached": 10_000,
        "position": None,
        "acknowledge": None,
        "store": None,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in (*SIZES, *SERVER_SIZES)
        for value in BAD_SIZES
        # These may be None: as many as max_connections, and as the kind of connection needs.
        if (name, value) not in {("max_pending", None), ("inbox_limit", None)}
    ],
    ids=repr,
)
def test_a_bad_size_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        ServerOptions(**{name: value})


@pytest.mark.parametrize(
    "value", [0, 0.0009, -1, 1_000_001, math.inf, math.nan, "1", True, 1j], ids=repr
)
def test_a_bad_rate_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^connection_rate is "):
        ServerOptions(connection_rate=value)


@pytest.mark.parametrize("value", BAD_TIMES, ids=repr)
@pytest.mark.parametrize("name", [*TIMES, *CLIENT_TIMES])
def test_a_bad_time_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} is "):
        ClientOptions(**{name: value})


@pytest.mark.parametrize("name", ["handshake_timeout", "close_timeout", "keepalive_timeout"])
def test_only_idle_and_keepalive_can_be_switched_off(name: str) -> None:
    """There is no way to wait for ever in a handshake or a close."""
    off: dict[str, Any] = {name: None}
    with pytest.raises(ConfigurationError, match=rf"^{name} is None"):
        Options(**off)
    Options(idle_timeout=None, keepalive_interval=None)


@pytest.mark.parametrize("value", [*BAD_TIMES, None, 2**32, 2**32 - 0.5], ids=repr)
def test_a_session_is_kept_for_what_the_wire_can_say(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"(?m)^keep is .*, at most 4294967295$"):
        Sessions(keep=value)


@pytest.mark.parametrize(
    ("keep", "told"), [(1e-9, 1), (120.0, 120), (120.25, 121), (2**32 - 1,) * 2]
)
def test_a_client_is_told_whole_seconds_and_never_too_few(keep: float, told: int) -> None:
    assert Sessions(keep=keep).keep_seconds == told


@pytest.mark.parametrize("value", [size for size in BAD_SIZES if size != 0], ids=repr)
@pytest.mark.parametrize("name", ["memory", "max_detached"])
def test_detached_sessions_may_be_given_nothing_but_not_less(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name} is .* from 0 to "):
        Sessions(**{name: value})
    none: dict[str, Any] = {name: 0}
    assert dataclasses.asdict(Sessions(**none))[name] == 0


async def _load(session: object) -> int:
    return 0


def _told(value: object) -> str:
    # A function shows its address, which is another one in each process of a run.
    return ", ".join(value) or "nothing" if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({}, False),
        ({"acknowledge": "received"}, False),
        ({"acknowledge": "taken"}, True),
        ({"position": _load}, True),
        ({"position": _load, "acknowledge": "taken"}, True),
    ],
    ids=_told,
)
def test_a_position_counts_what_is_taken(values: dict[str, Any], counts: bool) -> None:
    assert Sessions(**values).counts_taken is counts


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"position": _load, "acknowledge": "received"}, "^with position= or store= a message is"),
        ({"position": 7}, "^position is 7"),
        ({"acknowledge": "sent"}, "^acknowledge is 'sent'"),
    ],
    ids=_told,
)
def test_sessions_whose_arguments_do_not_fit_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Sessions(**values)


@pytest.mark.parametrize("value", [0.99, 100.5, math.nan, math.inf, "2", True, None], ids=repr)
def test_a_bad_factor_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^backoff_factor is "):
        ClientOptions(backoff_factor=value)


def test_a_maximum_below_the_initial_delay_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="backoff_maximum is less than backoff_initial"):
        ClientOptions(backoff_initial=2.0, backoff_maximum=1.0)
    ClientOptions(backoff_initial=2.0, backoff_maximum=2.0)


@pytest.mark.parametrize("value", ["no", 0, None], ids=repr)
def test_a_bad_switch_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"detailed_errors is .*; use True"):
        Options(detailed_errors=value)


@pytest.mark.parametrize("value", ["wait", "", None, True], ids=repr)
def test_a_bad_policy_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="use 'drop' or 'disconnect'"):
        ServerOptions(slow_client=value)


def test_the_edges_are_accepted() -> None:
    """One byte to 2^31 - 1 for a message, any positive finite time, whole or not."""
    assert Options(max_message_size=2**31 - 1).max_message_size == 2**31 - 1
    assert Options(max_message_size=1, inbox_limit=1, outbox_limit=1).inbox_limit == 1
    assert Options(close_timeout=1).close_timeout == 1
    assert Options(close_timeout=1e-9).close_timeout == 1e-9
    assert ServerOptions(slow_client="drop", max_connections=1).slow_client == "drop"
    assert ServerOptions(connection_rate=0.001, max_pending=1).connection_rate == 0.001
    assert ServerOptions(connection_rate=1_000_000, max_pending_per_address=1).max_pending is None
    with pytest.raises(ConfigurationError, match=f"from 1 to {2**31 - 1}"):
        Options(max_message_size=2**31)


@pytest.mark.parametrize("kind", [Options, ServerOptions, ClientOptions])
def test_they_are_frozen_and_take_keywords_only(kind: type[Options]) -> None:
    options = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.inbox_limit = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        kind(1)  # type: ignore[call-arg]
    assert dataclasses.replace(options, inbox_limit=7).inbox_limit == 7


def test_the_same_holds_for_sessions() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sessions().keep = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        Sessions(1.0)  # type: ignore[call-arg]
