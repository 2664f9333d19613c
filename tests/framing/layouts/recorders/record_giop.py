"""omniORB's nameclt with its omniNames: ``apt-get install omniorb omniorb-nameserver``."""

from __future__ import annotations

import subprocess
import tempfile

from .helping import debian, running
from .recording import Tap, free_port, save, stream, wait_for


def size_of(data: bytes) -> int:
    """GIOP, two bytes of version, flags, kind, size of what follows; the last flag is the order."""
    if len(data) < 12:
        raise IndexError
    order: str = "little" if data[6] & 1 else "big"
    return 12 + int.from_bytes(data[8:12], order)  # type: ignore[arg-type]


def main() -> None:
    """Make a context, and list it."""
    port = free_port()
    tap = Tap(("127.0.0.1", port))
    with tempfile.TemporaryDirectory() as folder:
        # References that the server hands out lead to the proxy.
        command = ["omniNames", "-start", str(port), "-datadir", folder, "-always"]
        command += ["-ORBendPoint", f"giop:tcp:127.0.0.1:{port}"]
        command += ["-ORBendPointPublish", f"giop:tcp:127.0.0.1:{tap.port}"]
        with running(*command):
            wait_for(port)
            root = f"corbaname::127.0.0.1:{tap.port}"
            for words in (
                ["bind_new_context", "house"],
                ["bind_new_context", "house/attic"],
                ["list"],
                ["list", "house"],
                ["resolve", "house/attic"],
            ):
                client = ["nameclt", "-ORBInitRef", f"NameService={root}", *words]
                subprocess.run(client, check=True, stdout=subprocess.DEVNULL)
    by = debian("omniorb", "omniORB")
    streams = []
    for passed in tap.connections:
        streams += [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("giop", "giop", __file__, streams)


main()
