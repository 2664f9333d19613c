"""secsgem."""

from __future__ import annotations

import socket

import secsgem.common
import secsgem.gem
import secsgem.hsms


def settings(
    port: int, mode: secsgem.hsms.HsmsConnectMode, device: secsgem.common.DeviceType
) -> secsgem.hsms.HsmsSettings:
    """Describe one end."""
    return secsgem.hsms.HsmsSettings(
        address="127.0.0.1", port=port, connect_mode=mode, device_type=device, session_id=10
    )


def main() -> None:
    """Select, establish communication, ask what the equipment is."""
    modes, devices = secsgem.hsms.HsmsConnectMode, secsgem.common.DeviceType
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    equipment = secsgem.gem.GemEquipmentHandler(settings(port, modes.PASSIVE, devices.EQUIPMENT))
    equipment.enable()
    print(port, flush=True)
    towards = int(input())
    host = secsgem.gem.GemHostHandler(settings(towards, modes.ACTIVE, devices.HOST))
    host.enable()
    assert host.waitfor_communicating(30)
    answer = host.settings.streams_functions.decode(host.are_you_there())
    assert (answer.stream, answer.function) == (1, 2)
    host.disable()
    equipment.disable()


if __name__ == "__main__":
    main()
