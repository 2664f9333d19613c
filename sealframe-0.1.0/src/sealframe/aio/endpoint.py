"""Where to listen or connect: host and port, or the path of a Unix socket."""

from __future__ import annotations

import errno
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ..errors import ConfigurationError
from .addresses import show


@dataclass(frozen=True)
class Endpoint:
    """A host and port, or a path; :meth:`of` checks what a program gave."""

    host: str = ""
    port: int = 0
    path: str = ""
    """Empty for TCP."""

    @classmethod
    def of(cls, host: object, port: object, path: object) -> Self:
        """Return the endpoint.

        :raises ConfigurationError: neither or both were given, or of wrong types
        """
        if path is not None:
            if host is not None or port is not None:
                raise ConfigurationError("give either host and port, or path, not both")
            text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
            if not isinstance(text, str) or not text or "\0" in text:
                raise ConfigurationError(f"path is {path!r}; use the path of a Unix socket")
            if not hasattr(socket, "AF_UNIX"):
                raise ConfigurationError("this platform has no Unix sockets: use host and port")
            return cls(path=text)
        if not isinstance(host, str) or not host:
            raise ConfigurationError(
                f"host is {host!r}; use a name or an address, '0.0.0.0' for every IPv4 network, "
                "or give path=... for a Unix socket"
            )
        if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65535:
            raise ConfigurationError(f"port is {port!r}; use a number from 0 to 65535")
        return cls(host=host, port=port)

    @property
    def name(self) -> str:
        """The name in files of known servers: ``host:port``, or the absolute path."""
        return str(Path(self.path).absolute()) if self.path else str(self)

    def __str__(self) -> str:
        return self.path or show((self.host, self.port))


def reason(error: OSError) -> tuple[int | None, str]:
    """Return errno, None if there is none, and the error's text without the address.

    Event loops write the address into the text, which the caller does too. Where a name has
    several addresses, asyncio joins the texts of all failures and sets no errno: if the joined
    texts name one number, it is that.
    """
    number = error.errno
    if number is None and len(numbers := set(re.findall(r"\[Errno (\d+)\]", str(error)))) == 1:
        number = int(numbers.pop())
    if number is None and str(error).startswith("could not bind on any address"):
        # asyncio from 3.13 on skips what is not this machine's, and gives no number.
        number = errno.EADDRNOTAVAIL
    if number is None or isinstance(error, socket.gaierror):
        return number, error.strerror or str(error)
    return number, os.strerror(number)
