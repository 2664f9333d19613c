"""Real clients and real servers do their work through sealframe, which knows only the layout.

Each message that either end sends is cut out by a sealframe connection and written by another.
What the programs in ``peers`` check is what their users would notice.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sealframe.framing import layouts

from ..programs import running
from .relaying import relaying

ANY_LOOP = True
TESTS = Path(__file__).parents[2]

CASES = [
    ("modbus", "modbus-tcp", "pymodbus", [], 4),
    ("hsms", "hsms", "secsgem", [], 3),
    ("dicom", "dicom", "pynetdicom", [], 4),
    ("opc_ua", "opc-ua", "asyncua", [], 8),
    ("ldap", "ldap", "ldap3 ldaptor", [], 4),
    ("iso_8583", "iso-8583-binary", "iso8583sim", ["2b"], 10),
    ("iso_8583", "iso-8583-binary-4", "iso8583sim", ["4b"], 10),
    ("iso_8583", "iso-8583-ascii", "iso8583sim", ["4a"], 10),
    ("git", "git", "dulwich", [], 8),
    ("remote_python", "rpyc", "rpyc", [], 8),
]


def need(packages: str) -> None:
    """Skip where one of these is not installed."""
    for package in packages.split():
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --group interop")


@pytest.mark.parametrize(
    ("program", "name", "packages", "arguments", "least"), CASES, ids=[case[1] for case in CASES]
)
async def test_real_programs_talk_through_a_relay(
    program: str, name: str, packages: str, arguments: list[str], least: int
) -> None:
    need(packages)
    module = f"interop.layouts.peers.{program}"
    command = (sys.executable, "-W", "ignore", "-m", module, *arguments)
    async with running(*command, folder=TESTS) as peers:
        assert peers.stdout is not None
        port = (await peers.stdout.readline()).decode()
        if not port:
            _, errors = await peers.communicate()
            raise AssertionError(errors.decode())
        async with relaying(layouts.get(name).layout, int(port)) as relay:
            _, errors = await peers.communicate(f"{relay.port}\n".encode())
            assert peers.returncode == 0, errors.decode()
    assert len(relay.from_client) >= least
    assert len(relay.from_server) >= least
