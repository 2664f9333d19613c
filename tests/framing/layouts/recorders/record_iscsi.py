"""libiscsi 1.19.0 and tgt 1.0.85 (Debian 12: libiscsi-bin, tgt), as root.

The second argument is where the two are, if not in PATH.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from .recording import Tap, free_port, save, stream, wait_for

ROOT = sys.argv[1] if len(sys.argv) > 1 else "/"
TARGET = "iqn.2026-11.org.example:disk"


def size_of(data: bytes) -> int:
    """A header of 48 bytes; 4 bytes say the rest, with padding to 4."""
    return 48 + 4 * data[4] + -(-int.from_bytes(data[5:8], "big") // 4) * 4


def admin(*words: str) -> None:
    """Tell tgtd something."""
    command = [f"{ROOT}/usr/sbin/tgtadm", "-C", "77", "--lld", "iscsi", *words]
    subprocess.run(command, check=True)


def main() -> None:
    """An inquiry of a disk."""
    port = free_port()
    Path("/var/run/tgtd").mkdir(parents=True, exist_ok=True)
    command = [f"{ROOT}/usr/sbin/tgtd", "-f", "-C", "77", "--iscsi", f"portal=127.0.0.1:{port}"]
    with tempfile.NamedTemporaryFile() as disk:
        disk.truncate(4 << 20)
        server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_for(port)
        admin("--op", "new", "--mode", "target", "--tid", "1", "-T", TARGET)
        one = "--mode", "logicalunit", "--tid", "1", "--lun", "1"
        admin("--op", "new", *one, "-b", disk.name)
        admin("--op", "bind", "--mode", "target", "--tid", "1", "-I", "ALL")
        tap = Tap(("127.0.0.1", port))
        address = f"iscsi://127.0.0.1:{tap.port}/{TARGET}/1"
        subprocess.run([f"{ROOT}/usr/bin/iscsi-inq", address], check=True)
        server.kill()
        server.wait()
    passed = tap.connections[0]
    ends = (
        (passed.client, "libiscsi 1.19.0 (Debian)"),
        (passed.server, "tgt 1.0.85 (Debian)"),
    )
    save("iscsi", "iscsi", __file__, [stream(sent, by, size_of) for sent, by in ends])


main()
