"""xknx, which packs and parses: ``pip install xknx==4.0.0``."""

from __future__ import annotations

from xknx.cemi import CEMIFrame, CEMILData, CEMIMessageCode
from xknx.knxip import (
    HPAI,
    ConnectionStateRequest,
    ConnectionStateResponse,
    ConnectRequest,
    ConnectRequestInformation,
    ConnectRequestType,
    DisconnectRequest,
    HostProtocol,
    KNXIPFrame,
    TunnellingRequest,
)
from xknx.telegram import GroupAddress, IndividualAddress, Telegram
from xknx.telegram.apci import GroupValueRead

from .recording import Sent, package, save, stream


def main() -> None:
    """What a tunnel over TCP sends, as the package packs it."""
    nat = HPAI(protocol=HostProtocol.IPV4_TCP)
    telegram = Telegram(destination_address=GroupAddress("1/2/3"), payload=GroupValueRead())
    cemi = CEMIFrame(
        code=CEMIMessageCode.L_DATA_REQ,
        data=CEMILData.init_from_telegram(telegram, src_addr=IndividualAddress("1.1.4")),
    )
    information = ConnectRequestInformation(connection_type=ConnectRequestType.TUNNEL_CONNECTION)
    client = [
        ConnectRequest(control_endpoint=nat, data_endpoint=nat, cri=information),
        TunnellingRequest(1, 0, cemi.to_knx()),
        ConnectionStateRequest(communication_channel_id=1, control_endpoint=nat),
        DisconnectRequest(communication_channel_id=1, control_endpoint=nat),
    ]
    server = [TunnellingRequest(1, 0, cemi.to_knx()), ConnectionStateResponse(1)]
    by = package("xknx")

    def packed(bodies: list[object]) -> list[bytes]:
        return [KNXIPFrame.init_from_body(body).to_knx() for body in bodies]

    save(
        "knxnet-ip",
        "knxnet-ip",
        __file__,
        [
            stream(Sent("client", packed(client)), by),
            stream(Sent("server", packed(server)), by),
        ],
    )


main()
