"""Sockets that a service manager has opened: systemd's socket activation, sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from typing import Final

from ..errors import ConfigurationError

_FIRST: Final = 3
"""The descriptor of the first one (SD_LISTEN_FDS_START)."""


def activated_sockets(name: str | None = None) -> list[socket.socket]:
    """Return the sockets that systemd has opened for this process, for ``serve(sock=...)``.

    LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES in the environment tell of them. Each call returns
    new objects for the same sockets. systemd keeps them too, so clients that come while the
    service is restarted wait.

    :param name: those of this name alone: ``FileDescriptorName=``, by default that of the socket
        unit
    :return: empty where the process was started in another way, or none has that name
    :raises ConfigurationError: the environment is wrong, or what was passed is no socket
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        # None, or those of the process that has started this one.
        return []
    text = os.environ.get("LISTEN_FDS", "")
    if not (text.isascii() and text.isdecimal()):
        raise ConfigurationError(f"LISTEN_FDS is {text!r}; systemd writes a number there")
    count = int(text)
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    names += [""] * (count - len(names))
    found: list[socket.socket] = []
    try:
        for number in range(count):
            descriptor = _FIRST + number
            # Programs that this one starts are not to hold them.
            os.set_inheritable(descriptor, False)
            if name is None or names[number] == name:
                found.append(_open(descriptor))
    except OSError as error:
        for sock in found:
            sock.close()
        raise ConfigurationError(
            f"descriptor {descriptor} of LISTEN_FDS is no socket: {error.strerror}"
        ) from error
    return found


def _open(descriptor: int) -> socket.socket:
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except BaseException:
        os.close(copy)
        raise
