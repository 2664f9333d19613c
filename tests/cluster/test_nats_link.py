"""The link to NATS: what is published arrives, in order, and what nats-py does is held in check."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable

import pytest

from sealframe import (
    ClusterError,
    ClusterUnavailableError,
    ConfigurationError,
    MessageTooLargeError,
)
from sealframe.cluster.events import ProbeOutcome
from sealframe.cluster.nats_client import NatsClient
from sealframe.cluster.nats_writer import HIGH_WATER

from .links import Ear, ears, new_cluster
from .nats_servers import NatsServer


async def test_messages_arrive_in_order(nats_server: NatsServer) -> None:
    """Also those that are over the mark, whose sender waits for room."""
    chunk = bytes(256 * 1024)
    async with ears(nats_server.url, "a", "b") as (a, b):
        sent = [b"%d " % number + (chunk if number % 3 == 0 else b"") for number in range(200)]
        for message in sent:
            await a.link.room()
            a.link.publish(b.subject, message)
        await b.until(lambda: len(b.messages) == len(sent))
        assert b.messages == sent
        assert a.messages == []
        assert a.link.queued == 0
        assert a.link.dropped == 0


async def test_presence_is_heard_by_all_and_by_oneself(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b), ears(nats_server.url, "c") as (c,):
        a.link.publish(a.everybody, b"here")
        for ear in (a, b):
            await ear.until(lambda ear=ear: bool(ear.presence))  # type: ignore[misc]
            assert ear.presence == [b"here"]
        assert c.presence == []
        # Nothing but that, of how the connection was tried.
        assert a.messages == b.messages == c.messages == []
        assert a.changes == b.changes == c.changes == [True]


async def test_probes(nats_server: NatsServer) -> None:
    """Whoever is there answers, without its program; of who is not, NATS knows."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        assert await a.link.probe(b.subject, 5) is ProbeOutcome.ANSWERED
        assert await a.link.probe(a.subject, 5) is ProbeOutcome.ANSWERED
        assert await a.link.probe(f"{a.subject}x", 5) is ProbeOutcome.NO_RESPONDERS
        await b.link.close()
        while await a.link.probe(b.subject, 0.2) is not ProbeOutcome.NO_RESPONDERS:
            pass
        assert b.messages == []
        nats_server.stop()
        assert await a.link.probe(a.subject, 0.1) is ProbeOutcome.SILENCE
        nats_server.kill()
        await a.until(lambda: a.changes[-1] is False)
        assert await a.link.probe(a.subject, 60) is ProbeOutcome.SILENCE


async def test_a_probe_that_comes_before_the_connection_is_in_use(nats_server: NatsServer) -> None:
    """NATS has the subscription by then."""
    async with ears(nats_server.url, "a", cluster=(cluster := new_cluster())) as (a,):
        b = Ear(nats_server.url, cluster, "b")
        find = b.link._dialer.find
        outcomes = []

        async def find_and_be_probed(*, first: bool) -> tuple[NatsClient, str]:
            found = await find(first=first)
            outcomes.append(await a.link.probe(b.subject, 2))
            return found

        b.link._dialer.find = find_and_be_probed  # type: ignore[assignment]
        await b.link.open(10)
        await b.link.close()
        assert outcomes == [ProbeOutcome.ANSWERED]
        assert b.messages == []


async def test_a_cancelled_probe_leaves_the_connection_as_it_was(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        for _ in range(50):
            probe = asyncio.create_task(a.link.probe(b.subject, 5))
            await asyncio.sleep(0)
            probe.cancel()
            with pytest.raises(asyncio.CancelledError):
                await probe
        assert await a.link.probe(b.subject, 5) is ProbeOutcome.ANSWERED
        assert a.changes == [True]


async def test_nats_is_killed_and_comes_back(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        nats_server.kill()
        await a.until(lambda: a.changes == [True, False])
        with pytest.raises(ClusterUnavailableError, match="NATS is away"):
            a.link.publish(b.subject, b"lost")
        with pytest.raises(ClusterUnavailableError):
            await a.link.room()
        await b.until(lambda: b.changes == [True, False])
        nats_server.start()
        for ear in (a, b):
            await ear.until(lambda ear=ear: ear.changes == [True, False, True])  # type: ignore[misc]
        assert a.link.connected
        a.link.publish(b.subject, b"back")
        await b.until(lambda: bool(b.messages))
        assert b.messages == [b"back"]
    levels = [record.levelno for record in caplog.records if record.name == "sealframe.cluster"]
    assert levels.count(logging.WARNING) == 2


async def test_a_hung_nats_is_noticed(nats_server: NatsServer) -> None:
    """Also where it does not read what waits to be written; that is dropped, and counted."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        nats_server.stop()
        with pytest.raises(ClusterUnavailableError):
            while True:
                await a.link.room()
                a.link.publish(b.subject, bytes(256 * 1024))
        assert a.changes == [True, False]
        assert a.link.dropped > 10
        nats_server.go_on()
        await a.until(lambda: a.changes == [True, False, True])
        await b.until(lambda: b.changes[-1] and len(b.changes) in (1, 3))


async def test_what_a_hung_nats_does_not_take_waits_before_the_socket(
    nats_server: NatsServer,
) -> None:
    """Also where the event loop turns meanwhile: it is counted there, and has a limit."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        nats_server.stop()
        for _ in range(80):
            a.link.publish(b.subject, bytes(256 * 1024))
            for _ in range(3):
                await asyncio.sleep(0)
        # The sockets take a few MB, and the one that waits is being written.
        assert a.link.queued > HIGH_WATER
        nats_server.go_on()
        await b.until(lambda: len(b.messages) == 80)
        assert a.link.queued == 0


async def test_a_cancelled_wait_for_room_loses_nothing(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):
        sent = 0
        while a.link.queued <= 4 * HIGH_WATER:
            a.link.publish(b.subject, b"%d" % sent + bytes(100_000))
            sent += 1
        waits = [asyncio.create_task(a.link.room()) for _ in range(3)]
        await asyncio.sleep(0)
        waits[0].cancel()
        await asyncio.wait(waits)
        assert [wait.cancelled() for wait in waits] == [True, False, False]
        assert a.link.queued <= HIGH_WATER
        await b.until(lambda: len(b.messages) == sent)
        assert [int(message.rstrip(b"\0")) for message in b.messages] == list(range(sent))


async def test_too_large_a_message_is_refused_before_nats_sees_it(nats_server: NatsServer) -> None:
    """NATS would end the connection for good."""
    async with ears(nats_server.url, "a", "b") as (a, b):
        limit = a.link.max_payload
        assert limit == 1024 * 1024
        with pytest.raises(MessageTooLargeError) as why:
            a.link.publish(b.subject, bytes(limit + 1))
        assert (why.value.size, why.value.limit) == (limit + 1, limit)
        a.link.publish(b.subject, bytes(limit))
        await b.until(lambda: bool(b.messages))
        assert [len(message) for message in b.messages] == [limit]
        assert a.changes == [True]


@pytest.mark.parametrize(
    "subject", ["", "a..b", "a.", ".a", "a.*", "a.>", "a b", "a\r\nPUB b 0\r\n", "a\n", "ä", "a\0"]
)
async def test_hostile_subjects_are_refused(nats_server: NatsServer, subject: str) -> None:
    """An empty part would be published to nobody, and a line end would be a command."""
    async with ears(nats_server.url, "a") as (a,):
        with pytest.raises(ConfigurationError, match="cannot be a subject"):
            a.link.publish(subject, b"")
        with pytest.raises(ConfigurationError):
            await a.link.probe(subject, 1)
        with pytest.raises(ConfigurationError):
            Ear(nats_server.url, new_cluster(), f"b.{subject}")
        assert a.changes == [True]


async def test_callbacks_that_raise_are_logged_and_stop_nothing(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with ears(nats_server.url, "a", "b") as (a, b):

        def fail(heard: list[object]) -> Callable[[object], None]:
            def callback(what: object) -> None:
                heard.append(what)
                b._heard.set()
                raise ZeroDivisionError

            return callback

        b.link._on_presence = fail(b.presence)  # type: ignore[arg-type]
        b.link._on_message = fail(b.messages)  # type: ignore[arg-type]
        b.link._on_connected = fail(b.changes)  # type: ignore[arg-type]
        for _ in range(2):
            a.link.publish(b.subject, b"one")
            a.link.publish(b.everybody, b"two")
        await b.until(lambda: len(b.messages) == len(b.presence) == 2)
        nats_server.restart()
        await b.until(lambda: b.changes == [True, False, True])
        await a.until(lambda: a.changes == [True, False, True])
        a.link.publish(b.subject, b"three")
        await b.until(lambda: len(b.messages) == 3)
        assert await a.link.probe(b.subject, 5) is ProbeOutcome.ANSWERED
    failures = [record for record in caplog.records if record.exc_info]
    assert len(failures) == 7
    assert all(record.name == "sealframe.cluster" for record in failures)


async def test_nothing_answers_there(port: int) -> None:
    a = Ear(f"nats://127.0.0.1:{port}", new_cluster(), "a")
    with pytest.raises(
        ClusterUnavailableError, match=rf"within 0\.3 s: .*:{port} .*: Connection refused"
    ):
        await a.link.open(0.3)
    assert a.changes == []
    await a.link.close()


async def test_a_hung_nats_at_the_start(nats_server: NatsServer) -> None:
    nats_server.stop()
    a = Ear(nats_server.url, new_cluster(), "a")
    with pytest.raises(ClusterUnavailableError, match=r"within 0\.3 s: no answer"):
        await a.link.open(0.3)
    await a.link.close()


async def test_a_link_is_opened_once(nats_server: NatsServer) -> None:
    async with ears(nats_server.url, "a") as (a,):
        with pytest.raises(ClusterError, match="opened once"):
            await a.link.open(1)
    with pytest.raises(ClusterError, match="opened once"):
        await a.link.open(1)


def test_without_nats_the_extra_is_named() -> None:
    program = """
import asyncio, sys
sys.modules["nats"] = None
import sealframe, sealframe.cluster
from sealframe.cluster.nats_link import NatsLink
from sealframe.cluster.nats_servers import NatsServers
link = NatsLink(NatsServers("nats://localhost"), name="a", presence="p", subject="s",
                on_presence=print, on_message=print, on_connected=print)
try:
    asyncio.run(link.open(1))
except sealframe.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert 'pip install "sealframe[cluster]"' in done.stdout, done.stderr


def test_nats_is_imported_only_once_it_is_used() -> None:
    program = """
import sys
import sealframe.cluster, sealframe.cluster.nats_link, sealframe.cluster.local_nats
print([name for name in sys.modules if name.partition(".")[0] in ("nats", "nkeys")])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
