"""secsgem, host and equipment: ``pip install secsgem==0.3.0``."""

from __future__ import annotations

import struct
import time

import secsgem.common
import secsgem.gem
import secsgem.hsms

from .recording import Tap, free_port, package, save, stream


def size_of(data: bytes) -> int:
    """SEMI E37, 8.2: four bytes of length, then so many."""
    return 4 + int(struct.unpack_from(">I", data)[0])


def settings(
    port: int, mode: secsgem.hsms.HsmsConnectMode, device: secsgem.common.DeviceType
) -> secsgem.hsms.HsmsSettings:
    """Describe one end."""
    return secsgem.hsms.HsmsSettings(
        address="127.0.0.1", port=port, connect_mode=mode, device_type=device, session_id=10
    )


def main() -> None:
    """Select, establish communication, ask for status variables, separate."""
    modes, devices = secsgem.hsms.HsmsConnectMode, secsgem.common.DeviceType
    port = free_port()
    equipment = secsgem.gem.GemEquipmentHandler(settings(port, modes.PASSIVE, devices.EQUIPMENT))
    equipment.enable()
    time.sleep(1)
    tap = Tap(("127.0.0.1", port))
    host = secsgem.gem.GemHostHandler(settings(tap.port, modes.ACTIVE, devices.HOST))
    host.enable()
    host.waitfor_communicating(20)
    host.are_you_there()
    host.list_svs()
    host.list_ecs()
    host.disable()
    equipment.disable()
    by = package("secsgem")
    connection = tap.connections[0]
    save(
        "hsms",
        "hsms",
        __file__,
        [stream(connection.client, by, size_of), stream(connection.server, by, size_of)],
    )


main()
