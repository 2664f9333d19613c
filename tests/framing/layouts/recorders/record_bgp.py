"""BIRD peers with BIRD: ``apt install bird2``."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from pathlib import Path

from .recording import Tap, free_port, save, stream

SETTINGS = """
router id 192.0.2.{number};
protocol device {{}}
protocol static {{
  ipv4;
  {routes}
}}
protocol bgp peer {{
  local 127.0.0.{number} port {port} as 6500{number};
  {neighbour};
  multihop;
  hold time 9;
  connect delay time 1;
  ipv4 {{ import all; export all; }};
}}
"""


def size_of(data: bytes) -> int:
    """RFC 4271, 4.1: a marker of 16 bytes, two bytes of length, which counts all."""
    return int.from_bytes(data[16:18], "big")


def main() -> None:
    """Open, send routes, keep alive, cease."""
    port = free_port()
    tap = Tap(("127.0.0.2", port), host="127.0.0.3")
    neighbours = {
        2: "neighbor 127.0.0.1 as 65001; passive",
        1: f"neighbor 127.0.0.3 port {tap.port} as 65002",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        daemons = {}
        for number, neighbour in neighbours.items():
            places = range(10)
            routes = " ".join(f"route 198.51.{number}{n}.0/24 blackhole;" for n in places)
            text = SETTINGS.format(
                number=number,
                neighbour=neighbour,
                routes=routes,
                port=port if number == 2 else free_port(),
            )
            settings = folder / f"{number}.conf"
            settings.write_text(text)
            control = folder / f"{number}.ctl"
            daemons[number] = subprocess.Popen(
                ["bird", "-f", "-c", str(settings), "-s", str(control)]
            )
            time.sleep(1)
        time.sleep(10)
        for number in (1, 2):
            subprocess.run(["birdc", "-s", str(folder / f"{number}.ctl"), "down"], check=True)
            daemons[number].wait()
            time.sleep(0.5)
    told = subprocess.run(["dpkg", "-s", "bird2"], capture_output=True, text=True, check=True)
    [version] = re.findall(r"^Version: ([\d.]+)", told.stdout, re.MULTILINE)
    by = f"bird {version} (Debian)"
    connection = tap.connections[0]
    save(
        "bgp",
        "bgp",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
