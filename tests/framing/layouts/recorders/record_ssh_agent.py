"""paramiko with OpenSSH's ssh-agent.

``apt-get install openssh-client; pip install paramiko==5.1.0``
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

import paramiko

from .recording import package, save, stream
from .unix_tap import UnixTap


def size_of(data: bytes) -> int:
    """4 bytes of length, big-endian, before each message."""
    return 4 + int.from_bytes(data[:4], "big")


def main() -> None:
    """List keys, and sign."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "agent")
        process = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        try:
            while not Path(path).exists():
                pass
            key = f"{folder}/key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
            environment = {**os.environ, "SSH_AUTH_SOCK": path}
            subprocess.run(["ssh-add", "-q", key], check=True, env=environment)
            tap = UnixTap(path)
            os.environ["SSH_AUTH_SOCK"] = tap.path
            agent = paramiko.Agent()
            [found] = agent.get_keys()
            found.sign_ssh_data(b"bolt" * 20)
            agent.close()
        finally:
            process.terminate()
            process.wait()
    told = subprocess.run(["ssh", "-V"], check=True, capture_output=True, text=True).stderr
    server = re.match(r"\S+", told)
    assert server
    [passed] = tap.connections
    save(
        "ssh-agent",
        "ssh-agent",
        __file__,
        [
            stream(passed.client, package("paramiko"), size_of),
            stream(passed.server, server[0].strip(",").replace("_", " "), size_of),
        ],
    )


main()
