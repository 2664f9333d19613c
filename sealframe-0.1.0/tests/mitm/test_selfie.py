"""A program that is server and client under one shared key, led back to its own listener."""

from __future__ import annotations

import pytest
from aio.ends import Family

import sealframe

from .credentials import CONTEXT, make
from .holder import REFUSED
from .middle import Way, carry
from .scene import BEFORE_WELCOME, scene

OTHER = b"the other program"


async def test_distinct_contexts_show_it(
    family: Family, tmp_path_factory: pytest.TempPathFactory, no_leaks: None
) -> None:
    """The client means a server of another name, and nothing else differs."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    credentials = make("NNpsk0", tmp_path_factory.getbasetemp())
    async with scene(credentials, family) as program:
        tapped, _ = await program.suffer(carry, BEFORE_WELCOME, context=OTHER)
        assert tapped.sent(Way.DOWN) == REFUSED


async def test_one_context_for_all_does_not(
    family: Family, tmp_path_factory: pytest.TempPathFactory, no_leaks: None
) -> None:
    """What contexts are there for: without them the program talks to itself."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    credentials = make("NNpsk0", tmp_path_factory.getbasetemp())
    async with scene(credentials, family) as program:
        async with sealframe.connect(
            **program.middle.address, security=credentials.client, context=CONTEXT
        ) as conn:
            await program.exchange()
            await conn.send(b"question 0")
            assert await conn.recv() == b"answer to question 0"
            assert conn.id in program.server.clients


async def test_a_route_is_no_identity_where_keys_are(
    family: Family, tmp_path_factory: pytest.TempPathFactory, no_leaks: None
) -> None:
    """A client that has pinned one server's key is led to another server with the same list."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    meant = make("XK", tmp_path_factory.getbasetemp())
    other = make("XK", tmp_path_factory.getbasetemp())
    async with scene(other, family) as elsewhere:
        tapped, _ = await elsewhere.suffer(carry, BEFORE_WELCOME, security=meant.client)
        assert tapped.sent(Way.DOWN) == REFUSED
