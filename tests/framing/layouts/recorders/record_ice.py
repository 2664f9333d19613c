"""ZeroC Ice, both ends: ``apt-get install python3-zeroc-ice``.

Run with Debian's own Python.
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import Ice

from .helping import debian
from .recording import Tap, save, stream

SLICE = """module Demo {
 exception NoBolt { string why; }
 interface Bolts {
  string turn(int times, string word) throws NoBolt;
  void note(string what);
 }
}
"""


def size_of(data: bytes) -> int:
    """IceP, versions, kind, compression, length of all in 4 bytes, little-endian."""
    if len(data) < 14:
        raise IndexError
    return int.from_bytes(data[10:14], "little")


def main() -> None:
    """Calls of all kinds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "Demo.ice"
        path.write_text(SLICE)
        os.chdir(folder)
        Ice.loadSlice("", ["-I/usr/share/ice/slice", str(path)])
        Demo: Any = import_module("Demo")  # noqa: N806

        class Bolts(Demo.Bolts):  # type: ignore[misc,name-defined,unused-ignore]
            """What is called."""

            def turn(self, times: int, word: str, current: Any = None) -> str:
                """Say it so often."""
                if not times:
                    raise Demo.NoBolt("none is there")
                return word * times

            def note(self, what: str, current: Any = None) -> None:
                """Hear it."""

        arguments = ["--Ice.ACM.Heartbeat=3", "--Ice.ACM.Timeout=1"]
        with Ice.initialize([*sys.argv, *arguments]) as near, Ice.initialize(sys.argv) as far:
            adapter = far.createObjectAdapterWithEndpoints("bolts", "tcp -h 127.0.0.1")
            adapter.add(Bolts(), Ice.stringToIdentity("bolts"))
            adapter.activate()
            described = str(adapter.getEndpoints()[0]).split()
            port = int(described[described.index("-p") + 1])
            tap = Tap(("127.0.0.1", port))
            proxy = near.stringToProxy(f"bolts:tcp -h 127.0.0.1 -p {tap.port}")
            bolts = Demo.BoltsPrx.checkedCast(proxy)
            for times in (1, 3, 400):
                bolts.turn(times, "turn ")
            with suppress(Demo.NoBolt):
                bolts.turn(0, "turn")
            batch = bolts.ice_batchOneway()
            for what in ("one", "two"):
                batch.note(what)
            batch.ice_flushBatchRequests()
            bolts.ice_oneway().note("three")
            bolts.ice_ping()
            bolts.ice_getConnection().close(Ice.ConnectionClose.GracefullyWithWait)
    by = debian("python3-zeroc-ice", "Ice")
    passed = tap.connections[0]
    streams = [stream(sent, by, size_of) for sent in (passed.client, passed.server)]
    save("ice", "ice", __file__, streams)


main()
