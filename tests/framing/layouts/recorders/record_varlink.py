"""varlink, both ends: ``pip install varlink==31.0.0``."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import varlink

from .recording import package, save, stream
from .unix_tap import UnixTap

INTERFACE = """interface com.example.bolts
method Turn(times: int, word: string) -> (said: string)
method Count(most: int) -> (number: int)
error NoBolt (why: string)
"""


def size_of(data: bytes) -> int:
    """NUL behind each."""
    return data.index(b"\0") + 1


def main() -> None:
    """Calls with one answer, with several, and without any."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "com.example.bolts.varlink").write_text(INTERFACE)
        service = varlink.Service(vendor="example", product="bolts", interface_dir=folder)

        @service.interface("com.example.bolts")
        class Bolts:
            """What is called."""

            def Turn(self, times: int, word: str) -> Any:  # noqa: N802
                """Say it so often."""
                return {"said": word * times}

            def Count(self, most: int, _more: bool = True) -> Any:  # noqa: N802
                """Say numbers."""
                for number in range(most):
                    yield {"number": number, "_continues": number + 1 < most}

        class Handler(varlink.RequestHandler):  # type: ignore[misc,unused-ignore]
            """What a connection is served by."""

        Handler.service = service
        server = varlink.ThreadingServer(f"unix:{folder}/bolts", Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tap = UnixTap(f"{folder}/bolts")
        with varlink.Client.new_with_address(f"unix:{tap.path}") as client:
            with client.open("com.example.bolts") as link:
                for times in (1, 0, 700):
                    link.Turn(times, "turn ")
                list(link.Count(3, _more=True))
                link.Turn(2, "silently ", _oneway=True)
                link.Turn(2, "end ")
        server.shutdown()
    by = package("varlink")
    streams = []
    for passed in tap.connections:
        streams += [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("varlink", "varlink", __file__, streams)


main()
