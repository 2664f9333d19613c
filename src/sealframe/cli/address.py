"""Addresses as they are typed: HOST:PORT, or the path of a Unix socket."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from .. import activated_sockets
from .errors import CommandError, Exit
from .sealing import Command

if TYPE_CHECKING:
    from ..srv import Service

_SRV: Final = "srv:"
"""Before the name of SRV records."""
_SYSTEMD: Final = "systemd:"
"""Before the name of sockets that systemd has opened, which may be empty."""
_NO_PORT: Final = 1
"""In place of the port that each of several servers has."""
LOOPBACK = "127.0.0.1"
DEFAULT = f"{LOOPBACK}:1234"

HELP = """\b
ADDRESS is one of
  HOST:PORT          192.0.2.7:1234, example.org:1234
  [IPV6]:PORT        [2001:db8::7]:1234
  :PORT              the same machine, 127.0.0.1:PORT
  PATH               a Unix socket; it has a slash in it: ./relay.sock
  @NAME              a Unix socket without a file, in Linux's abstract namespace"""

LISTENING = f"""{HELP}
  systemd:[NAME]     the sockets that systemd has opened, or those of one name"""
"""For the end of a server's help page."""

SEVERAL = """\b
ADDRESS may be a list of HOST:PORT, as in 192.0.2.7:1234,example.org:1234. A client
begins with a random one, and goes on to the next where one does not let it in.
srv:_NAME._tcp.DOMAIN is the servers that the SRV records of that name tell, by
priority and weight; it needs the extra sealframe[srv]."""
"""For the end of a client's help page, behind :data:`HELP`."""


@dataclass(frozen=True)
class Address:
    """Either host and port, or a path, or several hosts; the others are None or empty."""

    host: str | None = None
    port: int | None = None
    path: str | None = None
    hosts: tuple[str, ...] = ()
    """Each ``host:port``."""
    service: str | None = None
    """The name of SRV records; host and port beside it only name the service."""
    activated: str | None = None
    """The name of sockets that systemd has opened; empty for all of them."""

    @property
    def where(self) -> str | tuple[str, ...] | None:
        """What ``connect()`` takes as ``host``."""
        return self.hosts or self.host

    @property
    def each(self) -> tuple[Address, ...]:
        """The addresses of which this is a list; itself where it is none."""
        return tuple(map(Address.parse, self.hosts)) or (self,)

    @property
    def sock(self) -> Service | None:
        """What ``connect()`` takes as ``sock``.

        :raises ConfigurationError: this cannot be the name of SRV records
        :raises MissingExtraError: the extra is not installed
        """
        if self.service is None:
            return None
        from ..srv import Service

        return Service(self.service)

    def activated_sockets(self) -> list[socket.socket] | None:
        """Return what ``serve()`` takes as ``sock``.

        :raises CommandError: systemd has opened none of that name
        :raises ConfigurationError: what it says is wrong
        """
        if self.activated is None:
            return None
        found = activated_sockets(self.activated or None)
        if not found:
            name = f" with the name {self.activated}" if self.activated else ""
            raise CommandError(
                f"systemd has passed no socket{name}: start the socket's unit, as in "
                "systemctl start sealframe.socket, or give HOST:PORT",
                Exit.FAILED,
            )
        return found

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that a text names.

        :raises ValueError: it names none; the text says what to write instead
        """
        if text.startswith("@"):
            return cls(path="\0" + text[1:])
        if "/" in text:
            return cls(path=text)
        host, colon, port = text.rpartition(":")
        if not colon:
            raise ValueError(f"{text!r} has no port: write HOST:PORT, or ./{text} for a socket")
        if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
            raise ValueError(f"{port!r} in {text!r} is not a port: use 1 to 65535")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"write an IPv6 address in brackets: [{host}]:{port}")
        return cls(host=host or LOOPBACK, port=int(port))

    def __str__(self) -> str:
        if self.path is not None:
            return shown(self.path)
        if self.hosts:
            return ",".join(self.hosts)
        if self.service is not None:
            return f"{_SRV}{self.service}"
        if self.activated is not None:
            return f"{_SYSTEMD}{self.activated}"
        return shown((self.host or "", self.port or 0))


def listening_address(ctx: click.Context, param: click.Parameter, value: str) -> Address:
    """Parse the ADDRESS argument of a server; port 0 takes a free port."""
    if value.startswith(_SRV):
        text = f"{_SRV} is for clients, which look a server up: write HOST:PORT to listen at"
        raise click.BadParameter(text, ctx, param)
    if value.startswith(_SYSTEMD):
        return Address(activated=value.removeprefix(_SYSTEMD))
    try:
        return Address.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def http_address(ctx: click.Context, param: click.Parameter, value: str | None) -> Address | None:
    """Parse where a page is served: HOST:PORT; port 0 takes a free port."""
    if value is None:
        return None
    address = listening_address(ctx, param, value)
    if address.path is not None or address.activated is not None:
        raise click.BadParameter("write HOST:PORT: nothing else is for a browser", ctx, param)
    return address


def server_address(ctx: click.Context, param: click.Parameter, value: str) -> Address:
    """Parse the ADDRESS argument of a client, which may be a list."""
    if value.startswith(_SYSTEMD):
        text = f"{_SYSTEMD} is for servers, which systemd gives a socket: write HOST:PORT"
        raise click.BadParameter(text, ctx, param)
    if value.startswith(_SRV):
        name = value.removeprefix(_SRV)
        return Address(host=name, port=_NO_PORT, service=name)
    texts = [value]
    if "/" not in value and not value.startswith("@"):
        texts = value.split(",")
    addresses = [listening_address(ctx, param, text) for text in texts]
    if any(address.port == 0 for address in addresses):
        raise click.BadParameter("port 0 is none: use the port the server listens on", ctx, param)
    if len(addresses) == 1:
        return addresses[0]
    return Address(hosts=tuple(map(str, addresses)))


def _balancers(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    for name in value:
        if name == "unix":
            continue
        try:
            ipaddress.ip_network(name)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None
    return value


def proxy_option(command: Command) -> Command:
    """Add ``--proxy-protocol`` to a server; the command gets it as ``balancers``."""
    return click.option(
        "--proxy-protocol",
        "balancers",
        metavar="NETWORK",
        multiple=True,
        callback=_balancers,
        help="Clients come through a load balancer in NETWORK (127.0.0.1, 10.0.0.0/8, or "
        '"unix" for Unix sockets), which tells their addresses by the PROXY protocol. Whoever '
        "connects without one is refused. May be given more than once.",
    )(command)


def shown(address: tuple[str, int] | str | None) -> str:
    """Return an address of a connection or server as it is typed."""
    if isinstance(address, tuple):
        host, port = address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if address and address.startswith("\0"):
        return "@" + address[1:]
    return address or "a Unix socket"


def is_local(address: tuple[str, int] | str | None) -> bool:
    """Return whether only this machine can reach a server that listens there."""
    return not isinstance(address, tuple) or ipaddress.ip_address(_plain(address[0])).is_loopback


def is_everywhere(host: str) -> bool:
    """Return whether a server that listens there is reached at all of the machine's addresses."""
    return ipaddress.ip_address(_plain(host)).is_unspecified


def _plain(host: str) -> str:
    return host.partition("%")[0]
