"""What is stored is read in order, and forgotten once it is acknowledged."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

import sealframe
from sealframe import ConfigurationError, OutboxClosedError, OutboxLockedError, WrongLoopError
from sealframe.outbox import Outbox
from sealframe.outbox.store import OutboxStore

from .conftest import Open
from .reading import ALL, numbered, read_all, until_idle


async def test_a_new_file_begins_a_session(open_store: Open, path: Path) -> None:
    store = await open_store()
    assert len(store.token) == 16
    assert any(store.token)
    assert (store.start, store.known, store.begun) == (1, False, False)
    assert (store.acknowledged, store.numbered, store.kept, store.nbytes) == (0, 0, 0, 0)
    if os.name == "posix":
        for name in ("", "-wal", "-shm", ".lock"):
            mode = path.with_name(path.name + name).stat().st_mode
            assert stat.S_IMODE(mode) == 0o600, name


async def test_each_opening_is_one_more_start_of_the_same_session(open_store: Open) -> None:
    store = await open_store()
    token = store.token
    await store.close()
    store = await open_store()
    assert (store.token, store.start, store.known) == (token, 2, False)
    await store.begin(0)
    await store.close()
    store = await open_store()
    assert (store.token, store.start, store.known) == (token, 3, True)


async def test_the_token_is_in_no_repr(open_store: Open) -> None:
    store = await open_store()
    for shown in (repr(store), repr(Outbox("x"))):
        assert repr(store.token) not in shown
        assert store.token.hex() not in shown


async def test_messages_are_read_in_the_order_of_the_calls(open_store: Open) -> None:
    store = await open_store()
    await store.begin(0)
    async with asyncio.TaskGroup() as group:
        for first in range(0, 300, 3):
            group.create_task(store.append(numbered(range(first, first + 3))))
    assert await read_all(store, 300) == numbered(range(300))
    assert store.numbered == store.kept == 300


async def test_reading_waits_for_the_numbering_and_for_messages(open_store: Open) -> None:
    store = await open_store()
    await store.append([b"early"])
    reading = asyncio.create_task(store.read(ALL))
    await asyncio.sleep(0.05)
    assert not reading.done()
    await store.begin(0)
    assert await reading == [b"early"]
    reading = asyncio.create_task(store.read(ALL))
    await store.append([b"late"])
    assert await reading == [b"late"]


async def test_a_read_returns_about_as_much_as_is_asked_for(open_store: Open) -> None:
    store = await open_store()
    await store.append([bytes(1000)] * 10)
    await store.begin(0)
    assert len(await store.read(1)) == 1
    assert len(await store.read(3 * 1064)) == 3


@pytest.mark.parametrize("count", [1, 50_000], ids=["in memory", "from the file"])
async def test_a_cancelled_read_has_read_nothing(open_store: Open, count: int) -> None:
    store = await open_store()
    await store.append(numbered(range(count)))
    await store.begin(0)
    for _ in range(3):
        reading = asyncio.create_task(store.read(1))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        if not reading.cancelled():
            # It had nothing to wait for.
            assert reading.result() == numbered([0])
            return
    assert (await store.read(1))[0] == b"message 0"


async def test_what_is_not_acknowledged_is_there_at_the_next_start(open_store: Open) -> None:
    store = await open_store()
    await store.begin(0)
    await store.append(numbered(range(1, 11)))
    store.acknowledge(4)
    assert (store.acknowledged, store.kept) == (4, 6)
    await store.close()
    store = await open_store()
    assert (store.acknowledged, store.numbered, store.kept) == (4, 10, 6)
    await store.begin(6)
    assert await read_all(store, 4) == numbered(range(7, 11))


async def test_a_later_numbering_sends_again_what_is_not_taken(open_store: Open) -> None:
    store = await open_store()
    await store.begin(0)
    await store.append(numbered(range(1, 11)))
    assert await read_all(store, 10) == numbered(range(1, 11))
    store.acknowledge(3)
    await store.begin(5)
    assert store.acknowledged == 5
    assert await read_all(store, 5) == numbered(range(6, 11))
    for wrong in (4, 11):
        with pytest.raises(ValueError, match="messages are taken"):
            await store.begin(wrong)


async def test_only_numbered_messages_are_acknowledged(open_store: Open) -> None:
    store = await open_store()
    await store.append([b"one"])
    with pytest.raises(ValueError, match="message 1 is acknowledged, of 0"):
        store.acknowledge(1)
    await store.begin(0)
    store.acknowledge(1)
    store.acknowledge(0)
    assert store.acknowledged == 1
    await until_idle(store)


async def test_what_no_welcome_came_for_has_no_number(open_store: Open) -> None:
    """However often the program starts (docs/PROTOCOL.md, section 12)."""
    store = await open_store()
    await store.begin(0)
    await store.append(numbered([1, 2]))
    for number in (3, 4):
        await store.close()
        store = await open_store()
        await store.append(numbered([number]))
        assert (store.numbered, store.kept) == (2, number)
    await store.begin(1)
    assert store.numbered == 4
    assert await read_all(store, 3) == numbered([2, 3, 4])


async def test_the_server_knows_more_than_the_file(open_store: Open) -> None:
    """The file went back: what has no number comes behind what the server has taken."""
    store = await open_store()
    await store.begin(0)
    await store.append(numbered([1, 2]))
    await store.close()
    store = await open_store()
    await store.append([b"new"])
    await store.begin(7)
    assert (store.acknowledged, store.numbered, store.kept) == (7, 8, 1)
    assert await store.read(ALL) == [b"new"]
    await store.append([b"newer"])
    store.acknowledge(8)
    await store.close()
    store = await open_store()
    assert (store.acknowledged, store.numbered) == (8, 9)
    await store.begin(8)
    assert await store.read(ALL) == [b"newer"]


async def test_a_new_session_for_what_is_left(open_store: Open) -> None:
    store = await open_store()
    token = store.token
    await store.begin(0)
    await store.append(numbered(range(1, 6)))
    store.acknowledge(2)
    with pytest.raises(ValueError, match="message 6 is not from 2 to 5"):
        await store.renew(6)
    await store.renew(3)
    assert store.token != token
    assert (store.start, store.known, store.begun) == (1, False, False)
    assert (store.acknowledged, store.numbered, store.kept) == (0, 0, 2)
    token = store.token
    await store.close()
    store = await open_store()
    assert (store.token, store.start) == (token, 2)
    await store.begin(0)
    assert await read_all(store, 2) == numbered([4, 5])
    assert store.numbered == 2


# The bound, and cancellation


async def test_at_the_bound_messages_wait_for_acknowledgements(open_store: Open) -> None:
    store = await open_store(max_bytes=1000)
    await store.begin(0)
    await store.append([bytes(1000)])
    waiting = [asyncio.create_task(store.append([b"%d" % number])) for number in range(3)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in waiting)
    waiting[1].cancel()
    store.acknowledge(1)
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [False, True, False]
    assert await read_all(store, 2) == [b"0", b"2"]


async def test_cancelled_before_it_is_handed_over_nothing_is_stored(open_store: Open) -> None:
    store = await open_store()
    await store.begin(0)
    task = asyncio.create_task(store.append([b"not this"]))
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.append([b"this"])
    assert await store.read(ALL) == [b"this"]


async def test_cancelled_after_that_its_end_is_awaited(open_store: Open) -> None:
    """Whether it was stored is certain when CancelledError comes."""
    store = await open_store()
    await store.begin(0)
    kept, cancelled = 0, 0
    for turns in range(60):
        task = asyncio.create_task(store.append([b"%d" % turns]))
        for _ in range(turns % 12):
            await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        await asyncio.wait([task])
        cancelled += task.cancelled() and store.kept > kept
        assert store.kept > kept or task.cancelled()
        kept = store.kept
    assert cancelled, "none was cancelled after it was handed over"
    await store.append([b"last"])
    assert store.kept == kept + 1
    assert len(await read_all(store, kept + 1)) == kept + 1


async def test_a_buffer_may_be_changed_once_append_waits(open_store: Open) -> None:
    store = await open_store()
    buffer = bytearray(b"before")
    task = asyncio.create_task(store.append([buffer, memoryview(buffer)]))
    await asyncio.sleep(0)
    buffer[:] = b"after!"
    await task
    await store.begin(0)
    assert await store.read(ALL) == [b"before", b"before"]
    with pytest.raises(TypeError):
        await store.append([1])  # type: ignore[list-item]


# Ends


async def test_after_the_close_everything_is_refused(open_store: Open) -> None:
    store = await open_store(max_bytes=100)
    await store.begin(0)
    await store.append([bytes(100)])
    assert await store.read(ALL) == [bytes(100)]
    appending = asyncio.create_task(store.append([b"no room"]))
    reading = asyncio.create_task(store.read(ALL))
    await asyncio.sleep(0.01)
    await asyncio.gather(store.close(), store.close())
    for task in (appending, reading):
        with pytest.raises(OutboxClosedError):
            await task
    for call in (store.append([b""]), store.read(1), store.begin(0), store.renew(0)):
        with pytest.raises(OutboxClosedError):
            await call
    with pytest.raises(OutboxClosedError):
        store.acknowledge(1)
    store = await open_store()
    assert store.kept == 1


async def test_what_was_handed_over_is_stored_at_the_close(open_store: Open) -> None:
    store = await open_store()
    tasks = [asyncio.create_task(store.append([b"x"])) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    stored = results.count(None)
    assert stored + sum(isinstance(result, OutboxClosedError) for result in results) == 10
    store = await open_store()
    assert store.kept == stored


async def test_one_at_a_time(open_store: Open, path: Path) -> None:
    await open_store()
    with pytest.raises(OutboxLockedError, match="this program uses"):
        await open_store()
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(OutboxLockedError, match="this program uses"):
        await OutboxStore.open(Outbox(link))


async def test_one_that_closes_soon_is_waited_for(open_store: Open) -> None:
    store = await open_store()
    store.close_soon()
    opening, given_up = (asyncio.ensure_future(open_store()) for _ in range(2))
    await store.append([b"x"])
    assert not opening.done()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await store.close()
    assert (await opening).kept == 1


async def test_another_loop_is_told_so(open_store: Open) -> None:
    store = await open_store()

    def elsewhere() -> None:
        with pytest.raises(WrongLoopError, match="another event loop"):
            asyncio.run(store.append([b"x"]))

    await asyncio.to_thread(elsewhere)


async def test_a_cancelled_opening_leaves_nothing_open(open_store: Open, path: Path) -> None:
    opening = asyncio.create_task(OutboxStore.open(Outbox(path)))
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert (await open_store()).start == 2


# The log


async def test_the_log_stays_small_and_the_file_too(open_store: Open, path: Path) -> None:
    store = await open_store()
    await store.begin(0)
    payload = [bytes(250_000)] * 4
    largest = 0
    for number in range(4, 241, 4):
        await store.append(payload)
        store.acknowledge(number)
        largest = max(largest, path.with_name(path.name + "-wal").stat().st_size)
    # 16 MiB, and what one transaction adds.
    assert largest < 20 << 20
    await store.close()
    assert path.stat().st_size < 32 << 20
    assert not path.with_name(path.name + "-wal").exists()


# The argument


def test_what_an_outbox_may_be(tmp_path: Path) -> None:
    assert sealframe.Outbox is Outbox
    outbox = Outbox(tmp_path / "x", durable="power", max_bytes=1)
    assert (outbox.path, outbox.durable, outbox.max_bytes) == (str(tmp_path / "x"), "power", 1)
    for path in ("", "a\0b", b"x"):
        with pytest.raises(ConfigurationError, match="path is"):
            Outbox(path)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="durable is"):
        Outbox("x", durable="disk")  # type: ignore[arg-type]
    for size in (0, True, 1.5):
        with pytest.raises(ConfigurationError, match="max_bytes is"):
            Outbox("x", max_bytes=size)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="keep_free is"):
        Outbox("x", keep_free=-1)
    assert not (tmp_path / "x").exists()


async def test_what_was_given_to_no_link_is_known_over_a_restart(open_store: Open) -> None:
    store = await open_store()
    await store.append(numbered(range(3)))
    await store.begin(0)
    await store.close()
    store = await open_store()
    assert (store.given, store.kept) == (0, 3)
    await store.begin(0)
    # What is read may be given at once.
    assert await read_all(store, 3) == numbered(range(3))
    assert store.given == 3
    # Somebody waits for what comes next: it is given as it is stored.
    reading = asyncio.create_task(store.read(ALL))
    await asyncio.sleep(0)
    await store.append(numbered(range(3, 4)))
    assert store.given == 4
    await reading
    await store.append(numbered(range(4, 6)))
    assert store.given == 4
    # The link was lost before the last one was given to it.
    store.settle(3)
    await store.close()
    store = await open_store()
    assert (store.given, store.kept) == (3, 6)
    await store.renew(after=store.given)
    assert (store.given, store.kept) == (0, 3)


async def test_that_there_is_a_copy_is_remembered_until_another_session(open_store: Open) -> None:
    store = await open_store()
    await store.supersede()
    await store.close()
    store = await open_store()
    assert store.superseded
    await store.renew(after=0)
    await store.close()
    store = await open_store()
    assert not store.superseded
