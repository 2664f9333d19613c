"""Tells a service manager how far this process is: sd_notify(3), for systemd's ``Type=notify``."""

from __future__ import annotations

import os
import socket
from typing import Final

from .errors import complain

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"


def notify(state: str) -> None:
    """Tell it, if there is one: systemd names its socket in NOTIFY_SOCKET.

    What cannot be told is no reason to stop; it is said, as systemd then waits in vain.
    """
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    # One in the abstract namespace is written with @.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(state.encode(), address)
    except OSError as error:
        complain(f"cannot tell {path} {state}: {error.strerror or error}")
