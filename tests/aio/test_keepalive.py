"""Signs of life: what keeps a quiet connection, and what ends a dead one."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

import sealframe
from sealframe import ClientOptions, Connection, PeerTimeoutError, ServerOptions, Stream
from sealframe.aio.connection import protocol_of
from sealframe.wire import CloseCode, Control, Opcode, control

from .ends import PATIENCE, Api, Family, FamilyName, Mode, has_ipv6, open_pair, receive
from .scripted import Role, facing, message, until

pytestmark = pytest.mark.usefixtures("no_leaks")


class TestPing:
    async def test_a_quiet_peer_is_asked(self, control_mode: Mode, role: Role, api: Api) -> None:
        async with facing(role, control_mode, api=api, keepalive_interval=0.02) as (conn, peer):
            for _ in range(3):
                frame = await peer.read()
                assert isinstance(frame, Control)
                assert frame.opcode == Opcode.PING
                await peer.write(control.frame(Opcode.PONG, frame.body))
            await peer.write(message(b"still here"))
            assert await receive(conn) == b"still here"

    async def test_two_sealframes_keep_a_quiet_link(self, control_mode: Mode, api: Api) -> None:
        quick: dict[str, Any] = {"keepalive_interval": 0.01, "keepalive_timeout": PATIENCE}
        async with open_pair(
            control_mode,
            api=api,
            server_options=ServerOptions(**quick),
            client_options=ClientOptions(**quick),
        ) as (client, accepted, _):
            several = 10 * len(control.frame(Opcode.PING))
            for conn in (client, accepted):
                quiet = conn.stats.bytes_received
                await until(lambda c=conn, q=quiet: c.stats.bytes_received > q + several)  # type: ignore[misc]
            assert client.stats.messages_received == accepted.stats.messages_received == 0
            await client.send(b"still here")
            assert await receive(accepted) == b"still here"

    async def test_a_peer_that_stops_answering_is_found(
        self, control_mode: Mode, role: Role, caplog: pytest.LogCaptureFixture, api: Api
    ) -> None:
        options: dict[str, Any] = {"keepalive_interval": 0.02, "keepalive_timeout": 0.1}
        async with facing(role, control_mode, api=api, **options) as (conn, peer):
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(PeerTimeoutError, match=r"keepalive_timeout, 0\.1 s"):
                    await receive(conn)
            with pytest.raises(PeerTimeoutError):
                await conn.send(b"too late")
            assert await conn.close() is False
            # One PING was all; a peer that was only slow reads why it was given up.
            assert isinstance(ping := await peer.read(), Control)
            assert ping.opcode == Opcode.PING
            close = await peer.read_close()
            assert (close.code, await peer.read()) == (CloseCode.TIMEOUT, None)
            assert "keepalive_timeout" in close.reason
        if role == "server":
            records = [r for r in caplog.records if r.levelno > logging.INFO]
            assert len(records) == 1

    async def test_one_that_reads_nothing_either_is_dropped_at_once(
        self, control_mode: Mode, role: Role
    ) -> None:
        """CLOSE would wait behind what it does not read, and the socket with it."""
        options: dict[str, Any] = {
            "keepalive_interval": 0.02,
            "keepalive_timeout": 0.1,
            "close_timeout": 10 * PATIENCE,
        }
        async with facing(role, control_mode, small_buffer=True, **options) as (conn, _):
            writing = asyncio.ensure_future(conn.send(bytes(16 << 20)))
            await until(lambda: protocol_of(conn).sender.write_paused)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(PeerTimeoutError, match="keepalive_timeout"):
                    await conn.recv()
                await conn.wait_closed()
            await asyncio.gather(writing, return_exceptions=True)

    @pytest.mark.parametrize(
        "sign",
        [message(b"a message"), message(b""), control.frame(Opcode.PAD, b"x"), message(b"")[:1]],
        ids=["message", "empty message", "PAD", "one byte"],
    )
    async def test_any_traffic_is_life(
        self, control_mode: Mode, role: Role, sign: bytes, api: Api
    ) -> None:
        """No PONG ever comes, only this, and it comes once after each PING."""
        options: dict[str, Any] = {"keepalive_interval": 0.02, "keepalive_timeout": 5.0}
        async with facing(role, control_mode, api=api, **options) as (conn, peer):
            for _ in range(3):
                # A second PING comes only because the first was answered.
                frame = await peer.read()
                assert isinstance(frame, Control)
                assert frame.opcode == Opcode.PING
                await peer.write(sign)
            assert protocol_of(conn).receiver.error is None

    async def test_no_ping_while_there_is_traffic(
        self, control_mode: Mode, role: Role, api: Api
    ) -> None:
        async with facing(role, control_mode, api=api, keepalive_interval=5.0) as (conn, peer):
            for number in range(10):
                await peer.write(message(b"%d" % number))
                assert await receive(conn) == b"%d" % number
            assert not peer.raw.has_input()

    async def test_none_is_sent_where_it_is_switched_off(
        self, control_mode: Mode, role: Role
    ) -> None:
        options: dict[str, Any] = {"keepalive_interval": None, "keepalive_timeout": 0.01}
        async with facing(role, control_mode, **options) as (conn, peer):
            await asyncio.sleep(0.05)
            assert not peer.raw.has_input()
            await conn.send(b"no timer runs")
            assert await peer.read() == b"no timer runs"
            assert protocol_of(conn).keepalive is None

    async def test_none_is_sent_where_only_packets_flow(self, role: Role) -> None:
        options: dict[str, Any] = {"keepalive_interval": 0.01, "keepalive_timeout": 0.01}
        async with facing(role, Mode("packets"), **options) as (conn, peer):
            await asyncio.sleep(0.05)
            assert not peer.raw.has_input()
            await peer.write(message(b"no timer ran"))
            assert await conn.recv() == b"no timer ran"
            await peer.say_end()


class TestPausedReading:
    """While we do not read, the peer cannot show that it lives."""

    async def _stay_paused(self, holds: Callable[[], bool]) -> None:
        # Many times as long as it takes to give up a peer that is heard.
        await asyncio.sleep(0.15)
        assert holds()

    async def test_no_peer_is_given_up(self, control_mode: Mode, role: Role) -> None:
        options: dict[str, Any] = {
            "keepalive_interval": 0.02,
            "keepalive_timeout": 0.02,
            "inbox_limit": 1000,
        }
        async with facing(role, control_mode, **options) as (conn, peer):
            await peer.write(message(bytes(2000)))
            await until(lambda: protocol_of(conn).receiver.paused)
            await self._stay_paused(lambda: protocol_of(conn).receiver.error is None)
            assert await conn.recv() == bytes(2000)
            # From here on it has to answer again.
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(PeerTimeoutError, match="keepalive_timeout"):
                    await conn.recv()

    async def test_the_idle_limit_waits_too(self, role: Role) -> None:
        options: dict[str, Any] = {"idle_timeout": 0.05, "inbox_limit": 1000}
        async with facing(role, Mode("packets"), **options) as (conn, peer):
            await peer.write(message(bytes(2000)))
            await until(lambda: protocol_of(conn).receiver.paused)
            await self._stay_paused(lambda: protocol_of(conn).receiver.error is None)
            assert await conn.recv() == bytes(2000)
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(PeerTimeoutError, match="idle_timeout"):
                    await conn.recv()


@pytest.mark.skipif(sys.platform == "win32", reason="options have other names there")
class TestTcp:
    """Packets have no PING: the kernel looks after the peer."""

    @pytest.mark.parametrize("name", ["tcp4", "tcp6"])
    async def test_the_options_are_set(self, mode: Mode, name: FamilyName) -> None:
        if name == "tcp6" and not has_ipv6():
            pytest.skip("this machine has no ::1")
        quick: dict[str, Any] = {"keepalive_interval": 7.5, "keepalive_timeout": 12.0}
        async with open_pair(
            mode,
            Family(name),
            server_options=ServerOptions(**quick),
            client_options=ClientOptions(**quick),
        ) as (client, accepted, _):
            idle = getattr(socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None))
            assert idle is not None
            for conn in (client, accepted):
                transport = protocol_of(conn).transport
                assert transport is not None
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
                if sys.platform == "linux":
                    lowat = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
                    assert lowat == 16 * 1024
                    user_timeout = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                    assert user_timeout == 19_500
                # A plain server does not know before whether a client says HELLO.
                if mode.sealed or (mode.has_control and conn is client):
                    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
                    continue
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
                assert sock.getsockopt(socket.IPPROTO_TCP, idle) == 8
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 4
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 3

    @pytest.mark.skipif(sys.platform != "linux", reason="TCP_RTO_MAX_MS is Linux's")
    async def test_a_link_that_is_back_is_used_within_a_second(self, mode: Mode) -> None:
        rto_max_ms = 44
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.IPPROTO_TCP, rto_max_ms, 1000)
            except OSError:
                pytest.skip("this kernel has no TCP_RTO_MAX_MS: it is older than 6.15")
        async with open_pair(mode) as (client, accepted, _):
            for conn in (client, accepted):
                transport = protocol_of(conn).transport
                assert transport is not None
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.IPPROTO_TCP, rto_max_ms) == 1000

    @pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is Linux's")
    async def test_where_little_is_in_flight_the_kernel_takes_little(self, mode: Mode) -> None:
        """After a link was long and fast, see tests/test_links.py; loopback is short."""
        async with open_pair(mode) as (client, accepted, _):
            protocol = protocol_of(client)
            assert protocol.transport is not None
            sock = protocol.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 1 << 20)
            protocol.pause_writing()
            await client.send(b"waits")
            protocol.resume_writing()
            assert await accepted.recv() == b"waits"
            lowat = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
            assert lowat == 16 * 1024

    async def test_they_are_not_where_keepalive_is_off(self, mode: Mode) -> None:
        async with open_pair(
            mode,
            server_options=ServerOptions(keepalive_interval=None),
            client_options=ClientOptions(keepalive_interval=None),
        ) as (client, accepted, _):
            for conn in (client, accepted):
                transport = protocol_of(conn).transport
                assert transport is not None
                sock = transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
                if sys.platform == "linux":
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0


async def test_requests_and_streams_are_no_idleness(control_mode: Mode) -> None:
    async def echo(_: Connection, payload: bytes) -> bytes:
        return payload

    async def swallow(stream: Stream) -> None:
        assert await stream.read() == b"some"

    def is_active(conn: Connection) -> bool:
        keepalive = protocol_of(conn).keepalive
        assert keepalive is not None
        return keepalive.clocks.last_message > 0

    def forget(*conns: Connection) -> None:
        for conn in conns:
            keepalive = protocol_of(conn).keepalive
            assert keepalive is not None
            keepalive.clocks.last_message = 0

    serving = sealframe.serve(
        idle,
        "127.0.0.1",
        0,
        on_request=echo,
        on_stream=swallow,
        options=ServerOptions(idle_timeout=600),
        **control_mode.server,
    )
    async with serving as server:
        options = ClientOptions(idle_timeout=600)
        async with sealframe.connect(
            "127.0.0.1", server.port, options=options, **control_mode.client
        ) as conn:
            (accepted,) = server.clients.values()
            forget(conn, accepted)
            assert await conn.request(b"?") == b"?"
            assert is_active(conn)
            assert is_active(accepted)
            forget(conn, accepted)
            async with await conn.open_stream() as stream:
                await stream.write(b"some")
                await stream.end()
                assert await stream.read() == b""
            assert is_active(conn)
            assert is_active(accepted)


async def idle(conn: Connection) -> None:
    async for _ in conn:
        pass
