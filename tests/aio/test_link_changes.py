"""What a program sees of the links of a session: the properties, wait_connected() and on_link."""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import gc
import logging
import os
from typing import Any
from weakref import WeakSet

import pytest

import sealframe
from sealframe import (
    ClientOptions,
    CloseCode,
    ConfigurationError,
    Connection,
    ConnectionClosed,
    ConnectionClosedError,
    Disconnect,
    DisconnectKind,
    LinkChange,
    NonceExhaustedError,
    ProtocolError,
    ServerOptions,
    SessionLostError,
    Sessions,
    TruncatedError,
    WrongLoopError,
)
from sealframe.aio import session_protocol
from sealframe.aio.connection import protocol_of
from sealframe.aio.session_protocol import SessionProtocol

from .cutting import CuttingProxy, Fault, Plan
from .ends import PATIENCE, Api, Mode, open_pair, take
from .links import cut, open_session
from .scripted import until

EAGER = True

pytestmark = pytest.mark.usefixtures("no_leaks")

EXTENDED = Mode("extended")


class Changes:
    """An ``on_link`` that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[LinkChange] = []

    def __call__(self, conn: Connection, change: LinkChange) -> None:
        assert conn.connected is change.connected
        assert (change.error is None) is change.connected
        assert (change.after is None) is not change.connected
        self.told.append(change)

    @property
    def seen(self) -> list[bool]:
        """Whether there was a link, after each."""
        return [change.connected for change in self.told]


async def test_a_link_is_lost_and_another_comes(control_mode: Mode, api: Api) -> None:
    ours, theirs = Changes(), Changes()
    async with open_session(
        control_mode, api=api, at_client={"on_link": ours}, at_server={"on_link": theirs}
    ) as pair:
        client, accepted = pair.client, pair.accepted
        ends = (client, accepted)
        assert all(conn.connected for conn in ends)
        await asyncio.gather(*(conn.wait_connected() for conn in ends))
        before = client.local_address
        pair.lose_link()
        await until(lambda: not any(conn.connected for conn in ends))
        assert [conn.closed for conn in ends] == [False, False]
        assert all(" detached " in repr(conn) for conn in ends)
        assert (client.local_address, accepted.remote_address) == (before, before)
        assert ours.seen == theirs.seen == [False]
        assert {type(told.error) for told in ours.told + theirs.told} == {TruncatedError}
        waiting = [asyncio.create_task(conn.wait_connected()) for conn in ends * 2]
        await client.send(b"from the client")
        await accepted.send(b"from the server")
        waiting.pop().cancel()
        pair.road.open()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*waiting)
        assert all(conn.connected for conn in ends)
        assert all(" open " in repr(conn) for conn in ends)
        assert await take(accepted, 1) == [b"from the client"]
        assert await take(client, 1) == [b"from the server"]
        assert client.local_address == accepted.remote_address != before
        assert ours.seen == theirs.seen == [False, True]
        assert all(change.after is None or change.after >= 0 for change in ours.told + theirs.told)
    assert ours.seen == theirs.seen == [False, True]
    assert not any(conn.connected for conn in ends)
    for conn in ends:
        with pytest.raises(ConnectionClosed):
            await conn.wait_connected()


async def test_a_link_is_lost_but_once(control_mode: Mode) -> None:
    """Also where a write fails, and the read in which it did has a fault behind that: to look
    twice for the next link would give two of them, which take the session from each other."""
    ours = Changes()
    async with open_session(control_mode, at_client={"on_link": ours}) as pair:
        protocol = protocol_of(pair.client)
        assert isinstance(protocol, SessionProtocol)
        protocol.socket_failed(errno.EPIPE)
        protocol.fail(ProtocolError("behind it"))
        await pair.client.wait_connected()
        await pair.client.send(b"on the next link")
        assert await take(pair.accepted, 1) == [b"on the next link"]
        await pair.accepted.send(b"and back")
        assert await take(pair.client, 1) == [b"and back"]
        assert ours.seen == [False, True]
        [lost, _] = ours.told
        assert os.strerror(errno.EPIPE) in str(lost.error)


async def test_pings_without_a_link_are_not_queued() -> None:
    async with open_session(EXTENDED) as pair:
        pair.lose_link()
        await until(lambda: not pair.client.connected)
        before = protocol_of(pair.client).machine
        for _ in range(20):
            with pytest.raises(TimeoutError):
                await pair.client.ping(timeout=0.001)
        output = before.output
        # The first may have found no link that was told of yet.
        assert output is None or output.frames <= 1
        waiting = asyncio.create_task(pair.client.ping(timeout=PATIENCE))
        pair.road.open()
        assert await waiting < PATIENCE


def session_protocols() -> WeakSet[SessionProtocol]:
    """Return which there are in this process."""
    gc.collect()
    return WeakSet(found for found in gc.get_objects() if type(found) is SessionProtocol)


async def test_a_link_leaves_no_timer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """That for a client which says nothing would hold the protocol that shook hands."""
    monkeypatch.setattr(session_protocol, "SILENCE", 2 * PATIENCE)
    before = session_protocols()
    async with open_session(EXTENDED) as (client, accepted, _, _):
        for _ in range(2):
            cut(client)
            await client.ping(timeout=PATIENCE)
        ends = {protocol_of(client), protocol_of(accepted)}
        await until(lambda: set(session_protocols() - before) == ends)


async def test_how_long_there_was_no_link() -> None:
    ours, theirs = Changes(), Changes()
    async with open_session(
        EXTENDED, at_client={"on_link": ours}, at_server={"on_link": theirs}
    ) as pair:
        begun = protocol_of(pair.client).loop.time()
        pair.lose_link()
        await until(lambda: bool(theirs.told))
        await asyncio.sleep(0.05)
        pair.road.open()
        await until(lambda: len(ours.told + theirs.told) == 4)
        # The clocks of event loops may count whole milliseconds.
        most = protocol_of(pair.client).loop.time() - begun + 0.002
        for changes in (ours, theirs):
            after = changes.told[1].after
            assert after is not None
            assert 0.04 < after <= most


async def test_what_comes_over_a_link_comes_after_on_link() -> None:
    order: list[str] = []

    def on_link(conn: Connection, change: LinkChange) -> None:
        order.append("resumed" if change.connected else "lost")

    def on_message(conn: Connection, message: bytes) -> None:
        order.append(message.decode())

    options: dict[str, Any] = {"on_link": on_link}
    async with open_session(
        EXTENDED, api=Api.ON_MESSAGE, at_server={**options, "on_message": on_message}
    ) as pair:
        await pair.client.send(b"before")
        await until(lambda: order == ["before"])
        pair.lose_link()
        await until(lambda: not pair.accepted.connected)
        await pair.client.send(b"after")
        pair.road.open()
        await until(lambda: len(order) == 4)
    assert order == ["before", "lost", "resumed", "after"]


async def test_the_server_learns_of_a_loss_by_the_next_link() -> None:
    theirs = Changes()

    def plan(number: int) -> Plan:
        # The client's socket is lost; the server's stays, and says nothing.
        return Plan(Fault.STRAND, after=300) if number == 0 else Plan()

    told: list[LinkChange] = []
    got: list[bytes] = []
    arrived: list[Connection] = []

    async def handler(conn: Connection) -> None:
        arrived.append(conn)
        got.extend([message async for message in conn])

    def on_link(conn: Connection, change: LinkChange) -> None:
        # In one step: there is a link already.
        assert conn.connected
        told.append(change)

    async with (
        asyncio.timeout(PATIENCE),
        sealframe.serve(handler, "127.0.0.1", 0, sessions=Sessions(), on_link=on_link) as server,
        CuttingProxy(server.port, plans=plan) as proxy,
        sealframe.connect("127.0.0.1", proxy.port, session=True, on_link=theirs) as conn,
    ):
        while len(theirs.told) < 2:
            await conn.send(bytes(100))
            await asyncio.sleep(0)
        await until(lambda: len(told) == 2)
        assert [change.connected for change in told] == [False, True]
        assert "has come back over another connection" in str(told[0].error)
        after = told[1].after
        assert after is not None
        assert 0 <= after < PATIENCE
    assert len(got) == conn.stats.messages_sent
    assert len(arrived) == 1


class TestOrder:
    async def test_one_after_the_other(self) -> None:
        """What was lost and came back while a hook ran is left out; on_disconnect is the last."""
        order: list[str] = []
        going_on = asyncio.Event()

        async def hook(what: str) -> None:
            order.append(f"{what} begins")
            await going_on.wait()
            await asyncio.sleep(0)
            order.append(f"{what} ends")

        async def on_connect(conn: Connection) -> None:
            await hook("on_connect")

        async def on_link(conn: Connection, change: LinkChange) -> None:
            await hook("resumed" if change.connected else "lost")

        async def on_disconnect(conn: Connection, reason: Disconnect) -> None:
            await hook("on_disconnect")

        hooks = {"on_connect": on_connect, "on_link": on_link, "on_disconnect": on_disconnect}
        # The server is not told of the end, which comes without a link.
        options = ServerOptions(close_timeout=0.1)
        async with open_session(EXTENDED, at_client=hooks, server_options=options) as pair:
            client = pair.client
            for _ in range(3):
                cut(client)
                await until(lambda: not client.connected)
                await client.wait_connected()
            await until(lambda: order == ["on_connect begins"])
            going_on.set()
            await until(lambda: len(order) == 2)
            going_on.clear()
            # Nothing has changed since on_connect.
            pair.lose_link()
            await until(lambda: len(order) == 3)
            going_on.set()
            assert order[2] == "lost begins"
            await until(lambda: len(order) == 4)
            going_on.clear()
            pair.road.open()
            await client.wait_connected()
            await until(lambda: len(order) == 5)
            # Nobody is told of this one any more.
            pair.lose_link()
            await until(lambda: not client.connected)
            closing = asyncio.create_task(client.close(CloseCode.KICKED))
            await client.wait_closed()
            assert len(order) == 5
            going_on.set()
            await closing
        names = ("on_connect", "lost", "resumed", "on_disconnect")
        assert order == [f"{name} {what}" for name in names for what in ("begins", "ends")]

    @pytest.mark.parametrize("is_async", [False, True])
    async def test_what_it_raises_is_logged(
        self, is_async: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise LookupError("of the program")

        async def fail_later(*_: object) -> None:
            await asyncio.sleep(0)
            fail()

        hook = {"on_link": fail_later if is_async else fail}
        async with open_session(EXTENDED, at_client=hook, at_server=hook) as pair:
            cut(pair.client)
            await pair.client.send(b"hello")
            assert await take(pair.accepted, 1) == [b"hello"]
        failed = [record.getMessage() for record in caplog.records if record.exc_info]
        assert len(failed) == 4
        assert {text.split()[0] for text in failed} == {"on_link"}

    async def test_it_may_put_the_client_out(self) -> None:
        """In each call: with a link, and without one."""
        for connected in (True, False):

            def on_link(conn: Connection, change: LinkChange, when: bool = connected) -> None:
                if change.connected is when:
                    pair.server.kick(conn.id, "enough")

            async with open_session(EXTENDED, at_server={"on_link": on_link}) as pair:
                cut(pair.accepted)
                async with asyncio.timeout(PATIENCE):
                    await pair.accepted.wait_closed()
                    # Who was put out without a link finds out when it comes back.
                    with pytest.raises(ConnectionClosed):
                        await pair.client.recv()

    async def test_what_cannot_be_called(self) -> None:
        wrong: Any = {"on_link": "hello"}
        with pytest.raises(ConfigurationError, match="on_link is 'hello'"):
            sealframe.connect("127.0.0.1", 1, session=True, **wrong)

    async def test_never_without_a_session(self, mode: Mode) -> None:
        changes = Changes()
        async with open_pair(mode) as (client, accepted, _):
            assert client.connected
            await client.wait_connected()
            cut(client)
            await accepted.close()
            await client.wait_closed()
            for conn in (client, accepted):
                assert not conn.connected
                with pytest.raises(ConnectionClosed):
                    await conn.wait_connected()
        assert changes.told == []


async def test_waiting_ends_with_the_session(api: Api) -> None:
    reasons: list[Disconnect] = []
    options = ClientOptions(backoff_initial=0.001, backoff_maximum=0.01, close_timeout=0.1)
    async with open_session(
        EXTENDED,
        api=api,
        sessions=Sessions(keep=0.1),
        client_options=options,
        at_server={"on_disconnect": lambda conn, reason: reasons.append(reason)},
        at_client={"on_disconnect": lambda conn, reason: reasons.append(reason)},
    ) as pair:
        pair.lose_link()
        await until(lambda: not pair.accepted.connected)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(SessionLostError, match=r"within keep, 0\.1 s"):
                await pair.accepted.wait_connected()
            waiting = asyncio.create_task(pair.client.wait_connected())
            pair.road.open()
            with pytest.raises(SessionLostError):
                await waiting
        await until(lambda: len(reasons) == 2)
    assert {reason.kind for reason in reasons} == {DisconnectKind.LOST}


async def test_who_waits_is_cancelled_in_any_order() -> None:
    async with open_session(EXTENDED) as pair:
        pair.lose_link()
        await until(lambda: not pair.client.connected)
        waiting = [asyncio.create_task(pair.client.wait_connected()) for _ in range(5)]
        await asyncio.sleep(0)
        for task in (waiting[3], waiting[0], waiting[4]):
            task.cancel()
        done, _ = await asyncio.wait([waiting[3], waiting[0], waiting[4]])
        assert all(task.cancelled() for task in done)
        pair.road.open()
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(waiting[1], waiting[2])


async def test_only_in_its_event_loop() -> None:
    async with open_session(EXTENDED) as pair:
        with pytest.raises(WrongLoopError):
            await asyncio.to_thread(asyncio.run, pair.client.wait_connected())


async def test_the_latency_is_that_of_the_present_link(
    control_mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    seen: list[float | None] = []

    def on_link(conn: Connection, change: LinkChange) -> None:
        seen.append(conn.latency)

    monkeypatch.setattr("sealframe.aio.pings.perf_counter", lambda: clock[0])
    async with open_session(control_mode, at_client={"on_link": on_link}) as pair:
        assert await pair.client.ping() == pair.client.latency == 0
        pair.lose_link()
        await until(lambda: not pair.client.connected)
        asked = asyncio.create_task(pair.client.ping())
        await asyncio.sleep(0)
        clock[0] = 1000.0
        pair.road.open()
        async with asyncio.timeout(PATIENCE):
            # It is measured from when the next link was there.
            assert await asked == 0
        assert pair.client.latency == 0
        assert seen == [0, None]


def test_a_change_cannot_be_changed() -> None:
    change = LinkChange.resumed(1.0)
    assert change == LinkChange(True, None, 1.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        change.connected = False  # type: ignore[misc]


async def test_a_server_that_closes_tells_what_a_client_without_a_link_has_not_got() -> None:
    # Nobody is there any more to whom the client could say CLOSE.
    hasty = ClientOptions(close_timeout=0.1)
    async with open_session(EXTENDED, client_options=hasty) as (client, accepted, server, road):
        await accepted.send(b"arrives")
        assert await client.recv() == b"arrives"
        road.shut()
        cut(client)
        await until(lambda: not accepted.connected)
        for _ in range(3):
            await accepted.send(b"does not")
        await server.close()
        with pytest.raises(SessionLostError, match="had no link") as lost:
            await accepted.recv()
        assert (lost.value.code, lost.value.unsent) == (CloseCode.GOING_AWAY, 3)
        road.open()


@pytest.mark.parametrize("mode", [EXTENDED, Mode("sealed")], ids=lambda mode: mode.name)
async def test_a_server_that_goes_away_has_nothing_to_complain_of(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """Its clients drop their links at once, and look for the next server."""
    hasty = ClientOptions(close_timeout=0.1)
    async with open_session(mode, client_options=hasty) as (client, accepted, server, road):
        await client.send(b"all is well")
        assert await accepted.recv() == b"all is well"
        road.shut()
        report = await server.close()
        assert (report.clients, report.unsent) == (1, 0)
        road.open()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def send_without_nonces(conn: Connection, count: int) -> list[bytes]:
    """Send one message that can be sealed, and so many that cannot: one at once, more of them with
    the next batch. Return the latter."""
    await conn.ping()
    conn.send_nowait(b"before")
    if count < 2:
        # What has come since may be answered at once.
        await conn.ping()
    records = protocol_of(conn).machine.records
    assert records is not None
    assert records.sender is not None
    records.sender.set_nonce(2**64 - 1)
    messages = [b"%d" % number for number in range(count)]
    for message in messages:
        conn.send_nowait(message)
    # At the end of this turn they are written.
    await asyncio.sleep(0)
    return messages


@pytest.mark.parametrize("count", [1, 5])
async def test_a_link_whose_nonces_are_used_is_given_up(sealed: Mode, count: int) -> None:
    """What could not be sealed goes over the next one: it would be missing without a word if
    anything followed it."""
    ours = Changes()
    async with open_session(sealed, at_client={"on_link": ours}) as pair:
        messages = await send_without_nonces(pair.client, count)
        assert not pair.client.connected
        await pair.client.send(b"after")
        assert await take(pair.accepted, count + 2) == [b"before", *messages, b"after"]
        assert ours.seen == [False, True]
        assert isinstance(ours.told[0].error, ConnectionClosedError)
        assert isinstance(ours.told[0].error.__cause__, NonceExhaustedError)


async def test_a_request_that_cannot_be_sealed_goes_over_the_next_link(sealed: Mode) -> None:
    async def echo(_: Connection, payload: bytes) -> bytes:
        return payload

    async with open_session(sealed, at_server={"on_request": echo}) as pair:
        await send_without_nonces(pair.client, 0)
        await pair.client.wait_connected()
        assert await pair.client.request(b"this", timeout=PATIENCE) == b"this"


@pytest.mark.parametrize("count", [1, 5])
async def test_a_connection_whose_nonces_are_used_ends(sealed: Mode, count: int) -> None:
    async with open_pair(sealed) as (client, accepted, _):
        await send_without_nonces(client, count)
        with pytest.raises(ConnectionClosedError) as caught:
            client.send_nowait(b"refused")
        assert isinstance(caught.value.__cause__, NonceExhaustedError)
        assert await client.close() is False
        assert client.stats.unsent == count
        assert await accepted.recv() == b"before"
        with pytest.raises(ConnectionClosed):
            await accepted.recv()
