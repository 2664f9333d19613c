"""ipfix, which writes messages to a stream: ``pip install ipfix==0.9.7``."""

from __future__ import annotations

import datetime
from ipaddress import ip_address

import ipfix.ie
import ipfix.template
import ipfix.writer

from .recording import Sent, package, save, stream


class Writer:
    """What is written to: a message at a time."""

    def __init__(self) -> None:
        self.sent = Sent("client")

    def write(self, data: bytes) -> None:
        """Keep a message."""
        self.sent.reads.append(bytes(data))


def main() -> None:
    """Templates, and records of two flows and of many."""
    ipfix.ie.use_iana_default()
    writer = Writer()
    exporter = ipfix.writer.to_stream(writer, mtu=1400)
    exporter.set_domain(7)
    names = ("flowStartSeconds", "sourceIPv4Address", "destinationIPv4Address", "octetDeltaCount")
    template = ipfix.template.for_specs(261, *names)
    exporter.add_template(template)
    exporter.flush()
    exporter.set_export_template(261)
    for most in (2, 1, 90):
        for number in range(most):
            exporter.export_namedict(
                {
                    "flowStartSeconds": datetime.datetime(2026, 1, 1, 0, 0, number % 60),  # noqa: DTZ001
                    "sourceIPv4Address": ip_address("192.0.2.7"),
                    "destinationIPv4Address": ip_address("198.51.100.9"),
                    "octetDeltaCount": 100 * number,
                }
            )
        exporter.flush()
    save("ipfix", "ipfix", __file__, [stream(writer.sent, package("ipfix"))])


main()
