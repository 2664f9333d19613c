"""impacket, both ends; paramiko with OpenSSH's sftp-server (Debian 12, openssh-sftp-server).

``pip install impacket==0.13.1 paramiko==5.1.0``; the second argument is where sftp-server is.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from impacket.smbconnection import SMBConnection
from impacket.smbserver import SimpleSMBServer
from paramiko.sftp_client import SFTPClient

from .recording import Sent, Tap, free_port, package, save, stream

SERVER = sys.argv[1] if len(sys.argv) > 1 else "/usr/lib/openssh/sftp-server"


def size_of(data: bytes) -> int:
    """Big-endian, it does not count itself; SMB has a zero byte in place of the first."""
    return 4 + int.from_bytes(data[:4], "big")


class Pipe:
    """What paramiko takes for a channel: the pipes of a program, of which all is kept."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.client, self.server = Sent("client"), Sent("server")

    def send(self, data: bytes) -> int:
        """Write."""
        assert self._process.stdin
        self.client.reads.append(bytes(data))
        self._process.stdin.write(data)
        self._process.stdin.flush()
        return len(data)

    def recv(self, size: int) -> bytes:
        """Read."""
        assert self._process.stdout
        data = os.read(self._process.stdout.fileno(), size)
        self.server.reads.append(data)
        return data

    def get_name(self) -> str:
        """Its name in paramiko's log."""
        return "pipe"

    def get_transport(self) -> Pipe:
        """It has none but itself."""
        return self

    def get_log_channel(self) -> str:
        """Where paramiko logs."""
        return "pipe"

    def get_hexdump(self) -> bool:
        """Whether it logs the bytes."""
        return False


def sftp(folder: Path) -> None:
    """List, read, write, and an error."""
    pipes = subprocess.PIPE
    with subprocess.Popen([SERVER], stdin=pipes, stdout=pipes) as process:
        pipe = Pipe(process)
        client = SFTPClient(pipe)
        client.stat(str(folder / "a.txt"))
        with client.open(str(folder / "a.txt")) as file:
            file.read()
        with client.open(str(folder / "new.txt"), "w") as file:
            file.write("some text")
        client.remove(str(folder / "new.txt"))
        try:
            client.stat(str(folder / "nothing"))
        except FileNotFoundError:
            client.mkdir(str(folder / "more"))
        process.kill()
    ends = (pipe.client, package("paramiko")), (pipe.server, "OpenSSH 9.2p1 (Debian)")
    save("sftp", "sftp", __file__, [stream(sent, by, size_of) for sent, by in ends])


def smb(folder: Path) -> None:
    """Read a file and write one."""
    port = free_port()
    server = SimpleSMBServer("127.0.0.1", port)
    server.addShare("S", str(folder))
    server.setSMB2Support(True)
    threading.Thread(target=server.start, daemon=True).start()
    tap = Tap(("127.0.0.1", port))
    client = SMBConnection("127.0.0.1", "127.0.0.1", sess_port=tap.port)
    client.login("", "")
    client.getFile("S", "a.txt", io.BytesIO().write)
    client.putFile("S", "b.txt", io.BytesIO(b"some bytes " * 30).read)
    client.logoff()
    passed = tap.connections[0]
    by = package("impacket")
    streams = [stream(passed.client, by, size_of), stream(passed.server, by, size_of)]
    save("smb", "smb", __file__, streams)


def main() -> None:
    """Both, over one folder."""
    logging.disable()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.txt").write_text("hello\n" * 20, encoding="ascii")
        sftp(folder)
        smb(folder)


main()
