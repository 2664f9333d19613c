"""git with its own daemon, and dulwich with it.

``apt-get install git; pip install dulwich==1.2.21``
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from dulwich import porcelain

from .helping import debian, running
from .recording import Tap, free_port, package, save, stream, wait_for

NOBODY = {
    **os.environ,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
}


def git(*words: str) -> str:
    """Run git, and return what it prints."""
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True, env=NOBODY)
    return done.stdout


def size_of(data: bytes) -> int:
    """Four hexadecimal digits, which count themselves; 0000, 0001 and 0002 stand alone."""
    return max(4, int(data[:4], 16))


def main() -> None:
    """List and fetch, with both."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        git("init", "-q", "-b", "main", str(source))
        for number in range(3):
            (source / "bolt").write_text("turned\n" * 2000 * number + os.urandom(300).hex())
            git("-C", str(source), "add", "bolt")
            git("-C", str(source), "commit", "-q", "-m", f"turn {number}")
        command = ["git", "daemon", "--export-all", f"--base-path={folder}", "--reuseaddr"]
        command += ["--listen=127.0.0.1", f"--port={port}"]
        with running(*command, env=NOBODY):
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            url = f"git://127.0.0.1:{tap.port}/source"
            git("clone", "-q", "--depth=2", url, f"{folder}/shallow")
            porcelain.ls_remote(url)
            porcelain.clone(url, f"{folder}/copy", errstream=porcelain.NoneStream())
    by = debian("git")
    streams = []
    for number, passed in enumerate(tap.connections):
        peer = package("dulwich") if number else by
        streams += [stream(passed.client, peer, size_of), stream(passed.server, by, size_of)]
    save("git", "git", __file__, streams)


main()
