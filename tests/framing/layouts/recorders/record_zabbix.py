"""zabbix-utils with the agent of Debian 12.

``apt-get install zabbix-agent; pip install zabbix-utils==2.0.4``


The sender has no server in a package: what answers it here uses the same library.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from zabbix_utils import Getter, ItemValue, Sender
from zabbix_utils.common import ZabbixProtocol

from .recording import Tap, package, save, stream, wait_for

LOG = logging.getLogger("zabbix_utils")


def size_of(data: bytes) -> int:
    """``ZBXD``, flags, two fields of 4 bytes, or of 8 if bit 2 is set; the first is the length."""
    width = 8 if data[4] & 4 else 4
    if len(data) < 5 + 2 * width:
        raise IndexError
    return 5 + 2 * width + int.from_bytes(data[5 : 5 + width], "little")


def answer(listener: socket.socket) -> None:
    """Take one packet of a connection, and say that all of it was well."""
    reply = {"response": "success", "info": "processed: 9; failed: 0; total: 9; seconds spent: 0.1"}
    for _ in range(2):
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as file:
            head = file.read(13)
            file.read(size_of(head) - 13)
            connection.sendall(ZabbixProtocol.create_packet(reply, LOG, compression=False))


def main() -> None:
    """Ask an agent, and send values with and without compression."""
    by = package("zabbix-utils")
    port = 20_050
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "agent.conf"
        config.write_text(
            f"ListenIP=127.0.0.1\nListenPort={port}\nServer=127.0.0.1\nAllowRoot=1\n"
            f"LogFile={folder}/log\nPidFile={folder}/pid\nHostname=recorder\n",
            encoding="ascii",
        )
        process = subprocess.Popen(["zabbix_agentd", "-f", "-c", str(config)])
        try:
            wait_for(port)
            tap = Tap(("127.0.0.1", port))
            getter = Getter("127.0.0.1", tap.port)
            agent = f"zabbix_agentd {getter.get('agent.version').value}"
            for key in ("agent.ping", "system.uname", "no.such.key"):
                getter.get(key)
        finally:
            process.terminate()
            process.wait()
    streams = []
    for connection in tap.connections:
        streams.append(stream(connection.client, by, size_of))
        streams.append(stream(connection.server, agent, size_of))
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    tap = Tap(listener.getsockname())
    values = [ItemValue("recorder", "parts", n, 1_700_000_000 + n) for n in range(9)]
    for compression in (False, True):
        Sender("127.0.0.1", tap.port, compression=compression).send(values)
    for connection in tap.connections:
        streams.append(stream(connection.client, by, size_of))
        streams.append(stream(connection.server, by, size_of))
    save("zabbix", "zabbix", __file__, streams)


main()
