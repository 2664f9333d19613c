"""smpplib asks smpp for Node.js: ``pip install smpplib==2.2.4``; ``npm install smpp@0.5.1``.

The program below is the server; NODE_PATH says where npm has put it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import smpplib.client
import smpplib.consts
import smpplib.gsm

from .recording import Tap, free_port, package, save, stream

SERVER = """
const smpp = require("smpp");
smpp.createServer((session) => {
  session.on("pdu", (pdu) => {
    if (pdu.isResponse()) return;
    session.send(pdu.response(pdu.command === "submit_sm" ? { message_id: "42" } : {}));
    if (pdu.command === "submit_sm" && pdu.short_message.message.length < 100)
      session.deliver_sm({ source_addr: "1", destination_addr: "2", short_message: "done" });
    if (pdu.command === "unbind") session.close();
  });
}).listen(Number(process.argv[1]), "127.0.0.1");
"""


def size_of(data: bytes) -> int:
    """SMPP 3.4, 3.2: four bytes of length, which count all."""
    return int.from_bytes(data[:4], "big")


def main() -> None:
    """Bind, ask whether it is alive, submit, be delivered to, unbind."""
    port = free_port()
    server = subprocess.Popen(["node", "-e", SERVER, "--", str(port)])
    time.sleep(1.5)
    tap = Tap(("127.0.0.1", port))
    client = smpplib.client.Client("127.0.0.1", tap.port)
    client.connect()
    client.bind_transceiver(system_id="login", password="secret")
    client.send_pdu(smpplib.smpp.make_pdu("enquire_link", client=client))
    client.read_once()
    for text in ("hello", "long " * 30):
        client.send_message(
            source_addr="1", destination_addr="2", short_message=text.encode("ascii")
        )
        client.read_once()
        if text == "hello":
            client.read_once()
    client.unbind()
    client.disconnect()
    server.kill()
    folder = Path(os.environ["NODE_PATH"]) / "smpp" / "package.json"
    version = json.loads(folder.read_text(encoding="utf-8"))["version"]
    [connection] = tap.connections
    save(
        "smpp",
        "smpp",
        __file__,
        [
            stream(connection.client, package("smpplib"), size_of),
            stream(connection.server, f"smpp {version} (npm)", size_of),
        ],
    )


main()
