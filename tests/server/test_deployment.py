"""What docs/guides/deployment.md begins with: a service with a key, and whether it is well."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import documents
import pytest

import sealframe

ANY_LOOP = True

PAGE = documents.read("docs/guides/deployment.md")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no SIGTERM to handle, and no systemd"
)


def test_the_service_is_well_and_ends_in_order(tmp_path: Path, port: int) -> None:
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    sealframe.SharedKey.generate().save(tmp_path / "key")
    for name, part in (("server.py", "CREDENTIALS_DIRECTORY"), ("healthy.py", "conn.ping")):
        program = documents.program_with(PAGE, part)
        (tmp_path / name).write_text(program.replace("1234", str(port)))
    asking = [sys.executable, str(tmp_path / "healthy.py"), str(tmp_path / "key")]
    environment = os.environ | {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    command = [sys.executable, str(tmp_path / "server.py")]
    with subprocess.Popen(command, env=environment) as service:
        try:
            documents.wait_until_listening(port, service)
            subprocess.run(asking, timeout=60, check=True)
            service.send_signal(signal.SIGTERM)
            assert service.wait(20) == 0
        finally:
            service.kill()
    gone = subprocess.run(asking, timeout=60, check=False, stderr=subprocess.PIPE)
    assert gone.returncode == 1
