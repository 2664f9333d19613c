"""pyubx2, pyrtcm and pysbf2, which pack messages of receivers of satellites.

``pip install pyubx2==1.4.0 pyrtcm==1.2.1 pysbf2==1.0.7``
"""

from __future__ import annotations

from pyrtcm import RTCMMessage
from pysbf2 import SBFMessage
from pyubx2 import GET, POLL, SET, UBXMessage

from .recording import Sent, package, save, stream


def main() -> None:
    """What a receiver is asked, what it tells, and corrections that it is sent."""
    asked = [
        UBXMessage("MON", "MON-VER", POLL),
        UBXMessage("CFG", "CFG-MSG", SET, msgClass=1, msgID=7, rateUART1=1),
        UBXMessage("CFG", "CFG-RATE", SET, measRate=200, navRate=1, timeRef=1),
        UBXMessage.config_set(1, 0, [("CFG_UART1_BAUDRATE", 460_800), ("CFG_RATE_MEAS", 100)]),
    ]
    told = [
        UBXMessage("ACK", "ACK-ACK", GET, clsID=6, msgID=1),
        UBXMessage("NAV", "NAV-PVT", GET, iTOW=345_600_000, lat=52.5, lon=13.4, numSV=17),
        UBXMessage("NAV", "NAV-CLOCK", GET, iTOW=345_600_200, clkB=-77, clkD=5),
        UBXMessage("INF", "INF-NOTICE", GET, payload=b"u-blox AG, " * 40),
        UBXMessage("NAV", "NAV-EOE", GET, iTOW=345_600_200),
    ]
    by = package("pyubx2")
    client = Sent("client", [message.serialize() for message in asked])
    server = Sent("server", [message.serialize() for message in told])
    streams = [stream(client, by), stream(server, by)]
    save("ubx", "ubx", __file__, streams)

    payloads = [
        # 1005, antenna reference point; 1029, text; 1230, biases of GLONASS without any.
        bytes.fromhex("3ed7d30202980edeef34b4bd62ac0941986f33"),
        bytes.fromhex("4050")
        + bytes(6)
        + bytes([40, 40])
        + b"a station among fields and a river here",
        bytes.fromhex("4ce0008000"),
        bytes.fromhex("fa10") + bytes(range(256)) * 3,
        bytes.fromhex("3ed7d30202980edeef34b4bd62ac0941986f33"),
    ]
    station = Sent("server", [RTCMMessage(payload=one).serialize() for one in payloads])
    save("rtcm-3", "rtcm-3", __file__, [stream(station, package("pyrtcm"))])

    blocks = [
        SBFMessage("PVTGeodetic", TOW=345_600_000 + n, WNc=2400, NrSV=17 + n) for n in range(3)
    ]
    blocks += [SBFMessage("ReceiverTime", TOW=345_600_003, WNc=2400, UTCHour=7)]
    blocks += [SBFMessage("EndOfPVT", TOW=345_600_003, WNc=2400)]
    receiver = Sent("server", [one.serialize() for one in blocks])
    save("sbf", "sbf", __file__, [stream(receiver, package("pysbf2"))])


main()
