"""python-openflow, which packs and parses: ``pip install python-openflow==2021.1``."""

from __future__ import annotations

from pyof.v0x04.controller2switch.features_reply import FeaturesReply
from pyof.v0x04.controller2switch.features_request import FeaturesRequest
from pyof.v0x04.symmetric.echo_reply import EchoReply
from pyof.v0x04.symmetric.echo_request import EchoRequest
from pyof.v0x04.symmetric.hello import Hello

from .recording import Sent, package, save, stream


def main() -> None:
    """Messages of version 1.3; the switch connects, the controller listens."""
    by = package("python-openflow")
    switch = [
        Hello(xid=1),
        FeaturesReply(
            xid=2,
            datapath_id="00:00:00:00:00:00:00:01",
            n_buffers=256,
            n_tables=1,
            auxiliary_id=0,
            capabilities=0,
            reserved=0,
        ),
        EchoRequest(xid=3, data=b"ping"),
    ]
    controller = [Hello(xid=1), FeaturesRequest(xid=2), EchoReply(xid=3, data=b"ping")]
    save(
        "openflow",
        "openflow",
        __file__,
        [
            stream(Sent("client", [message.pack() for message in switch]), by),
            stream(Sent("server", [message.pack() for message in controller]), by),
        ],
    )


main()
