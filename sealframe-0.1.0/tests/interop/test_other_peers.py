"""The same packet spoken by sockets, asyncio streams, Twisted and Go, in both directions.

Every peer does one thing: it echoes, whether it listens or connects, and closes
its side once it has echoed all that came before our end of the stream.
"""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import sealframe
from sealframe.framing import INT32_BE

from .programs import running

if TYPE_CHECKING:
    from pathlib import Path

    from sealframe import Connection
    from sealframe.framing import Framing

MESSAGES = [
    b"plain",
    b"",
    "жук 🐞".encode(),
    bytes(range(256)) * 2000,
    *(b"%d" % number for number in range(2000)),
    b"",
]

SOCKET_TIMEOUT = 60.0

# How a head is packed, and the framing that speaks it; None is the native packet.
LAYOUTS = [
    pytest.param("<i", None, id="int32_le"),
    pytest.param(">i", INT32_BE, id="int32_be"),
]


async def exchange(conn: Connection) -> None:
    """Send all messages while reading them back, close, and see a clean end."""

    async def send_all() -> None:
        for message in MESSAGES:
            await conn.send(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(send_all())
        assert [await conn.recv() for _ in MESSAGES] == MESSAGES
    await conn.close()
    assert [message async for message in conn] == []


class Exchange:
    """A handler that does the exchange with its only client and keeps the outcome."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, conn: Connection) -> None:
        try:
            await exchange(conn)
        except BaseException as error:
            self.done.set_exception(error)
            raise
        self.done.set_result(None)


# Blocking sockets


def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            break
        data += chunk
    return bytes(data)


def echo_blocking(sock: socket.socket, head: str) -> int:
    """Echo until the end of the stream; return how many packets came."""
    count = 0
    sock.settimeout(SOCKET_TIMEOUT)
    while first := read_exactly(sock, 4):
        (length,) = struct.unpack(head, first)
        sock.sendall(first + read_exactly(sock, length))
        count += 1
    return count


@pytest.mark.parametrize(("head", "framing"), LAYOUTS)
async def test_blocking_socket_connects(head: str, framing: Framing | None) -> None:
    def peer(port: int) -> int:
        with socket.create_connection(("127.0.0.1", port), SOCKET_TIMEOUT) as sock:
            return echo_blocking(sock, head)

    handler = Exchange()
    async with sealframe.serve(handler, "127.0.0.1", 0, framing=framing) as server:
        assert await asyncio.to_thread(peer, server.port) == len(MESSAGES)
        await handler.done


@pytest.mark.parametrize(("head", "framing"), LAYOUTS)
async def test_blocking_socket_listens(head: str, framing: Framing | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SOCKET_TIMEOUT)

        def peer() -> int:
            sock, _ = listener.accept()
            with sock:
                return echo_blocking(sock, head)

        echoing = asyncio.create_task(asyncio.to_thread(peer))
        port = listener.getsockname()[1]
        async with sealframe.connect("127.0.0.1", port, framing=framing) as conn:
            await exchange(conn)
        assert await echoing == len(MESSAGES)


@pytest.mark.parametrize(("head", "framing"), LAYOUTS)
async def test_blocking_socket_reads_only_after_its_half_close(
    head: str, framing: Framing | None
) -> None:
    async def echo(conn: Connection) -> None:
        async for message in conn:
            await conn.send(message)

    messages = [b"%d" % number for number in range(1000)]
    stream = b"".join(struct.pack(head, len(message)) + message for message in messages)

    def peer(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), SOCKET_TIMEOUT) as sock:
            sock.sendall(stream)
            sock.shutdown(socket.SHUT_WR)
            return read_exactly(sock, len(stream) + 1)

    async with sealframe.serve(echo, "127.0.0.1", 0, framing=framing) as server:
        assert await asyncio.to_thread(peer, server.port) == stream


# asyncio streams


async def echo_streams(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str
) -> None:
    while first := await reader.read(1):
        first += await reader.readexactly(3)
        (length,) = struct.unpack(head, first)
        writer.write(first + await reader.readexactly(length))
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(("head", "framing"), LAYOUTS)
async def test_asyncio_streams_connect(head: str, framing: Framing | None) -> None:
    handler = Exchange()
    async with sealframe.serve(handler, "127.0.0.1", 0, framing=framing) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        await echo_streams(reader, writer, head)
        await handler.done


@pytest.mark.parametrize(("head", "framing"), LAYOUTS)
async def test_asyncio_streams_listen(head: str, framing: Framing | None) -> None:
    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await echo_streams(reader, writer, head)

    listener = await asyncio.start_server(peer, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        async with sealframe.connect("127.0.0.1", port, framing=framing) as conn:
            await exchange(conn)


# Programs that take "listen", and print their port, or "connect PORT"


async def program_connects(command: list[object], framing: Framing | None) -> None:
    handler = Exchange()
    async with (
        sealframe.serve(handler, "127.0.0.1", 0, framing=framing) as server,
        running(*command, "connect", server.port) as process,
    ):
        output, errors = await process.communicate()
        assert (process.returncode, output, errors) == (0, b"", b"")
        await handler.done


async def program_listens(command: list[object], framing: Framing | None) -> None:
    async with running(*command, "listen") as process:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        async with sealframe.connect("127.0.0.1", port, framing=framing) as conn:
            await exchange(conn)
        output, errors = await process.communicate()
        assert (process.returncode, output, errors) == (0, b"", b"")


TWISTED_PEER = """
import sys
from twisted.internet import reactor
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.protocols.basic import Int32StringReceiver
from zope.interface import implementer

@implementer(IHalfCloseableProtocol)
class Echo(Int32StringReceiver):
    MAX_LENGTH = 1 << 24

    def stringReceived(self, string):
        self.sendString(string)

    def readConnectionLost(self):
        self.transport.loseConnection()

    def writeConnectionLost(self):
        pass

    def connectionLost(self, reason):
        reactor.stop()

if sys.argv[1] == "listen":
    listening = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
    print(listening.getHost().port, flush=True)
else:
    reactor.connectTCP("127.0.0.1", int(sys.argv[2]), ClientFactory.forProtocol(Echo))
reactor.run()
"""

needs_twisted = pytest.mark.skipif(
    importlib.util.find_spec("twisted") is None, reason="Twisted is not installed"
)


@needs_twisted
async def test_twisted_connects() -> None:
    await program_connects([sys.executable, "-c", TWISTED_PEER], INT32_BE)


@needs_twisted
async def test_twisted_listens() -> None:
    await program_listens([sys.executable, "-c", TWISTED_PEER], INT32_BE)


GO_PEER = """package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
)

func open() (net.Conn, error) {
	if os.Args[1] == "connect" {
		return net.Dial("tcp", "127.0.0.1:"+os.Args[2])
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	return listener.Accept()
}

func echo(conn net.Conn) error {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for {
		var length int32
		err := binary.Read(reader, binary.LittleEndian, &length)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		packet := make([]byte, 4+length)
		binary.LittleEndian.PutUint32(packet, uint32(length))
		if _, err := io.ReadFull(reader, packet[4:]); err != nil {
			return err
		}
		if _, err := conn.Write(packet); err != nil {
			return err
		}
	}
}

func main() {
	conn, err := open()
	if err == nil {
		err = echo(conn)
	}
	if err != nil {
		log.Fatal(err)
	}
}
"""

GO = shutil.which("go")


@pytest.fixture(scope="module")
def go_peer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if GO is None:
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    source = folder / "peer.go"
    source.write_text(GO_PEER)
    program = folder / "peer"
    subprocess.run([GO, "build", "-o", program, source], check=True, timeout=100)
    return program


async def test_go_connects(go_peer: Path) -> None:
    await program_connects([go_peer], None)


async def test_go_listens(go_peer: Path) -> None:
    await program_listens([go_peer], None)
