"""Each public name has its blocking wrapper, or stands here with the reason why not."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import sealframe
from sealframe import sync

WITHOUT_A_WRAPPER: dict[str, dict[str, str]] = {
    "Connection": {},
    "Server": {},
    "Group": {},
    "Stream": {"read_chunk": "what it saves is nothing beside the way between two threads"},
}
"""Class, public name: why there is no blocking one."""

OWN_PARAMETERS: dict[str, set[str]] = {
    "connect": {"timeout"},
    "Connection.send": {"timeout"},
    "Connection.send_many": {"timeout"},
    "Connection.open_stream": {"timeout"},
    "Connection.recv": {"timeout"},
    "Connection.send_file": {"timeout"},
    "Connection.recv_many": {"timeout"},
    "Connection.close": {"timeout"},
    "Connection.wait_closed": {"timeout"},
    "Connection.wait_connected": {"timeout"},
    "Server.wait_closed": {"timeout"},
    "Stream.write": {"timeout"},
    "Stream.read": {"timeout"},
    "Stream.end": {"timeout"},
}
"""What the blocking one takes besides."""

NEVER_TIMED_OUT: dict[str, str] = {
    "Server.serve_forever": "its name says for how long; wait_closed() has a timeout",
}
"""Methods that wait and take no ``timeout``, and why."""

MISSING_PARAMETERS: dict[str, set[str]] = {
    # is_fatal is for the loop over connections, which is reconnect(). on_message saves a task,
    # and a thread could not be saved: in order, and where it may block, it is a loop over recv().
    "connect": {"is_fatal", "on_message"},
    "reconnect": {"on_message"},
    # The calls of a cluster belong to the event loop, which programs do not see here.
    "serve": {"on_message", "cluster"},
}

ATTRIBUTES: dict[type, set[str]] = {
    sealframe.Server: {"counters"},
    sealframe.Stream: {"metadata"},
    sealframe.Group: {"name"},
}
"""What stands in no class, since each object sets it: see below."""

FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "connect": (sealframe.connect, sync.connect),
    "reconnect": (sealframe.connect, sync.reconnect),
    "serve": (sealframe.serve, sync.serve),
}

CLASSES: dict[str, tuple[type, type]] = {
    "Connection": (sealframe.Connection, sync.Connection),
    "Server": (sealframe.Server, sync.Server),
    "Group": (sealframe.Group, sync.Group),
    "Stream": (sealframe.Stream, sync.Stream),
}


def public(cls: type) -> set[str]:
    """Return the public names, and what iterates over it and uses it in ``with`` and ``in``."""
    blocking = {
        **{f"__a{name}__": f"__{name}__" for name in ("iter", "next", "enter", "exit")},
        **{f"__{name}__": f"__{name}__" for name in ("iter", "len", "contains")},
    }
    names = {blocking.get(name, name) for name in vars(cls)}
    found = {name for name in names if not name.startswith("_") or name in blocking.values()}
    return found | ATTRIBUTES.get(cls, set())


def methods() -> list[tuple[str, Callable[..., Any], Callable[..., Any]]]:
    """Return all pairs of functions and methods of one name."""
    pairs: list[tuple[str, Callable[..., Any], Callable[..., Any]]]
    pairs = [(name, *pair) for name, pair in FUNCTIONS.items()]
    for kind, (theirs, ours) in CLASSES.items():
        shared = [name for name in public(theirs) & public(ours) if not name.startswith("_")]
        pairs += [
            (f"{kind}.{name}", vars(theirs)[name], vars(ours)[name])
            for name in shared
            if callable(vars(theirs).get(name))
        ]
    return sorted(pairs, key=lambda pair: pair[0])


@pytest.mark.parametrize("kind", CLASSES)
def test_each_public_name_has_a_wrapper(kind: str) -> None:
    theirs, ours = map(public, CLASSES[kind])
    without = WITHOUT_A_WRAPPER[kind].keys()
    assert without <= theirs
    assert theirs - without == ours


@pytest.mark.parametrize("cls", [theirs for theirs, _ in CLASSES.values()])
def test_no_public_attribute_is_forgotten(cls: type) -> None:
    source = inspect.getsource(cls.__init__)  # type: ignore[misc]
    assert set(re.findall(r"self\.([a-z]\w*)(?:: [^=]+)? = ", source)) == ATTRIBUTES.get(cls, set())


@pytest.mark.parametrize(("name", "theirs", "ours"), methods())
def test_a_wrapper_takes_the_same(
    name: str, theirs: Callable[..., Any], ours: Callable[..., Any]
) -> None:
    expected = inspect.signature(theirs).parameters
    found = inspect.signature(ours).parameters
    added = OWN_PARAMETERS.get(name, set())
    common = [p for p in expected if p not in MISSING_PARAMETERS.get(name, set())]
    assert [p for p in found if p not in added] == common
    assert added <= found.keys() - expected.keys()
    for parameter in common:
        assert found[parameter].default == expected[parameter].default
        assert found[parameter].kind == expected[parameter].kind
    for parameter in added:
        assert found[parameter].default is None
        assert found[parameter].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("name", "theirs", "ours"), methods())
def test_what_may_wait_takes_a_timeout(
    name: str, theirs: Callable[..., Any], ours: Callable[..., Any]
) -> None:
    waits = inspect.iscoroutinefunction(theirs) or "Coroutine" in str(
        inspect.signature(theirs).return_annotation
    )
    takes = "timeout" in inspect.signature(ours).parameters
    if waits:
        assert takes is (name not in NEVER_TIMED_OUT)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_wrapper_says_what_it_does(kind: str) -> None:
    for name in public(CLASSES[kind][1]):
        if not name.startswith("_"):
            assert inspect.getdoc(vars(CLASSES[kind][1])[name])
