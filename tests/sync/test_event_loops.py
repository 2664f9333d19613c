"""Blocking connections over transports that only the event loop's thread may ask."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import warnings
import aiofastnet
with warnings.catch_warnings():
    # Policies of event loops are deprecated in newer Pythons.
    warnings.simplefilter("ignore")
    aiofastnet.install_policy()
from sealframe import sync

def echo(conn):
    assert conn.remote_address[0] == "127.0.0.1"
    for message in conn:
        conn.send(message)

with sync.serve(echo, "127.0.0.1", 0) as server:
    with sync.connect("127.0.0.1", server.port) as conn:
        assert conn.remote_address == ("127.0.0.1", server.port)
        assert str(server.port) in repr(conn)
        local = conn.local_address
        conn.send(b"x")
        assert conn.recv(timeout=10) == b"x"
    assert conn.local_address == local
"""


def test_addresses_over_aiofastnet() -> None:
    pytest.importorskip("aiofastnet", reason="aiofastnet is not installed")
    # The policy holds for a whole process.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
