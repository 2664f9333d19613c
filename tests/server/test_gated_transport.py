"""What is written to a link while the log of its session has not got it yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from sealframe.aio import writing
from sealframe.server import gated_transport
from sealframe.server.gated_transport import GatedTransport


class Recording(asyncio.Transport):
    """Keeps what is written, and by which call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, bytes]] = []
        self.closing = False

    def write(self, data: Any) -> None:
        self.calls.append(("write", bytes(data)))

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.calls.append(("writelines", b"".join(list_of_data)))

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True

    def get_write_buffer_size(self) -> int:
        return 0


# As those of asyncio are known.
Recording.__module__ = "asyncio.selector_events"


@pytest.mark.parametrize("sound", [True, False])
def test_a_writelines_that_is_not_sound_is_not_used(
    sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_SOUND", sound)
    below = Recording()
    gate = GatedTransport(below, lambda: 0)
    assert writing.write_buffers(gate, [b"a", b"bc"]) == 3
    assert below.calls == [("writelines" if sound else "write", b"abc")]


class Reset(Recording):
    """The peer has reset the connection, and the event loop does not know yet."""

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.calls.append(("write_eof", b""))
        raise OSError("Transport endpoint is not connected")

    def close(self) -> None:
        self.closing = True


def test_an_end_that_was_held_back_comes_last_and_fails_without_a_word() -> None:
    below = Reset()
    gate = GatedTransport(below, lambda: 0)
    gate.hold()
    gate.write(b"last")
    gate.write_eof()
    gate.close()
    assert (below.calls, below.closing) == ([], False)
    gate.release()
    assert below.calls == [("write", b"last"), ("write_eof", b"")]
    assert below.closing


def test_what_is_held_back_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the session keeps for its next link anyway does not count."""
    monkeypatch.setattr(gated_transport, "LIMIT", 10)
    below = Recording()
    gate = GatedTransport(below, lambda: 5)
    gate.hold()
    gate.write(b"x" * 9)
    gate.writelines([b"yy", b"yyyy"])
    assert (gate.get_write_buffer_size(), gate.is_closing()) == (15, False)
    gate.write(b"z")
    assert (gate.get_write_buffer_size(), gate.is_closing()) == (0, True)
    gate.write(b"z")
    assert gate.get_write_buffer_size() == 0
    gate.release()
    assert not below.calls


@pytest.mark.parametrize("end", ["abort", "close"])
async def test_what_was_held_back_for_a_link_that_is_gone_is_dropped(end: str) -> None:
    """uvloop raises RuntimeError where asyncio drops it, and the session would lose its log."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accepted.put(writer)

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        lost = loop.create_future()

        class Link(asyncio.Protocol):
            def connection_lost(self, _: Exception | None) -> None:
                lost.set_result(None)

        port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(Link, "127.0.0.1", port)
        peer = await accepted.get()
        gate = GatedTransport(transport, lambda: 0)
        gate.hold()
        gate.write_eof()
        if end == "abort":
            gate.write(b"x")
            gate.abort()
        else:
            gate.close()
        await lost
        try:
            gate.release()
            assert gate.get_write_buffer_size() == 0
        finally:
            peer.close()
            await peer.wait_closed()
