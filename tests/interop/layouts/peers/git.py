"""dulwich, as server and as client of git's own protocol."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from io import BytesIO
from pathlib import Path

from dulwich import porcelain
from dulwich.repo import Repo
from dulwich.server import DictBackend, TCPGitServer


def main() -> None:
    """Clone what needs more than one packet, and fetch what was added."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        repository = porcelain.init(str(source))

        def commit(content: bytes) -> bytes:
            (source / "bolt").write_bytes(content)
            porcelain.add(repository, [str(source / "bolt")])
            who = b"A <a@example.com>"
            made: bytes = porcelain.commit(repository, message=b"turn", author=who, committer=who)
            return made

        commit(os.urandom(200_000))
        server = TCPGitServer(DictBackend({"/source": repository}), "127.0.0.1", 0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        url = f"git://127.0.0.1:{int(input())}/source"
        copy = porcelain.clone(url, f"{folder}/copy", errstream=BytesIO())
        assert (Path(folder) / "copy" / "bolt").read_bytes() == (source / "bolt").read_bytes()
        last = commit(b"turned")
        found = porcelain.fetch(copy, url, outstream=sys.stderr, errstream=BytesIO())
        assert last in found.refs.values(), found.refs
        assert Repo(f"{folder}/copy")[last].message == b"turn"
        server.shutdown()


if __name__ == "__main__":
    main()
