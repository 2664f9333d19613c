"""Addresses as they are typed: HOST:PORT, or the path of a Unix socket."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

import click

from .. import ConfigurationError, activated_sockets
from .errors import CommandError, Exit
from .sealing import Command

if TYPE_CHECKING:
    from ..srv import Service

_SRV: Final = "srv:"
"""Before the name of SRV records."""
_SYSTEMD: Final = "systemd:"
"""Before the name of sockets that systemd has opened, which may be empty."""
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
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
class TcpAddress:
    """``HOST:PORT``."""

    host: str
    port: int

    def __str__(self) -> str:
        return shown((self.host, self.port))


@dataclass(frozen=True)
class UnixAddress:
    """The path of a Unix socket; a first NUL is Linux's abstract namespace."""

    path: str

    def __str__(self) -> str:
        return shown(self.path)


@dataclass(frozen=True)
class Several:
    """A list of servers, for a client that goes on to the next where one does not let it in."""

    servers: tuple[TcpAddress, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.servers))


@dataclass(frozen=True)
class SrvRecords:
    """The servers that SRV records tell, by the name of the records."""

    name: str

    def __str__(self) -> str:
        return f"{_SRV}{self.name}"


@dataclass(frozen=True)
class SystemdSockets:
    """The sockets that systemd has opened, or those of one name."""

    name: str
    """Empty for all of them."""

    def __str__(self) -> str:
        return f"{_SYSTEMD}{self.name}"


Address: TypeAlias = TcpAddress | UnixAddress
"""One place."""
ServerAddress: TypeAlias = Address | Several | SrvRecords
"""Where a client connects to."""
ListenAddress: TypeAlias = Address | SystemdSockets
"""Where a server listens."""


def parse(text: str) -> Address:
    """Return the address that a text names.

    :raises ValueError: it names none; the text says what to write instead
    """
    if not text:
        raise ValueError("an address is empty: write HOST:PORT")
    if text.startswith("@"):
        return UnixAddress("\0" + text[1:])
    if text.startswith("unix:"):
        raise ValueError(f"write the path of a socket alone, without unix: in front, not {text!r}")
    if _URL.match(text):
        raise ValueError(f"{text!r} is a URL: write HOST:PORT alone")
    if "/" in text:
        return UnixAddress(text)
    if text.startswith("[") and text.endswith("]"):
        raise ValueError(f"{text!r} has no port: write {text}:PORT")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"{text!r} has no port: write HOST:PORT, or ./{text} for a socket")
    if not (port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise ValueError(f"{port!r} in {text!r} is not a port: use 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"write an IPv6 address in brackets: [{host}]:{port}")
    return TcpAddress(host or LOOPBACK, int(port))


def each(address: ServerAddress) -> Sequence[ServerAddress]:
    """Return the servers of which an address is a list; itself where it is none."""
    return address.servers if isinstance(address, Several) else (address,)


def known_as(address: ServerAddress) -> str:
    """Return the name of a server in files of known servers."""
    return address.name if isinstance(address, SrvRecords) else str(address)


class ConnectTo(TypedDict, total=False):
    """The arguments of ``connect()`` that an address gives."""

    host: str | Sequence[str]
    port: int
    path: str
    sock: Service


def connect_to(address: ServerAddress) -> ConnectTo:
    """Return what ``connect()`` is given.

    :raises ConfigurationError: this cannot be the name of SRV records
    :raises MissingExtraError: the extra for them is not installed
    """
    match address:
        case TcpAddress(host, port):
            return {"host": host, "port": port}
        case UnixAddress(path):
            return {"path": path}
        case Several(servers):
            return {"host": tuple(map(str, servers))}
        case SrvRecords(name):
            from ..srv import Service

            return {"sock": Service(name)}


class ListenAt(TypedDict, total=False):
    """The arguments of ``serve()`` that an address gives."""

    host: str
    port: int
    path: str
    sock: Sequence[socket.socket]


def listen_at(address: ListenAddress) -> ListenAt:
    """Return what ``serve()`` is given.

    :raises CommandError: systemd has opened no socket of that name
    :raises ConfigurationError: what it says is wrong
    """
    match address:
        case TcpAddress(host, port):
            return {"host": host, "port": port}
        case UnixAddress(path):
            return {"path": path}
        case SystemdSockets(name):
            return {"sock": _activated(name)}


def _activated(name: str) -> Sequence[socket.socket]:
    found = activated_sockets(name or None)
    if not found:
        of_that_name = f" with the name {name}" if name else ""
        raise CommandError(
            f"systemd has passed no socket{of_that_name}: start the socket's unit, as in "
            "systemctl start sealframe.socket, or give HOST:PORT",
            Exit.FAILED,
        )
    return found


def listening_address(ctx: click.Context, param: click.Parameter, value: str) -> ListenAddress:
    """Parse the ADDRESS argument of a server; port 0 takes a free port."""
    if value.startswith(_SRV):
        text = f"{_SRV} is for clients, which look a server up: write HOST:PORT to listen at"
        raise click.BadParameter(text, ctx, param)
    if value.startswith(_SYSTEMD):
        return SystemdSockets(value.removeprefix(_SYSTEMD))
    return _parsed(ctx, param, value)


def http_address(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> TcpAddress | None:
    """Parse where a page is served: HOST:PORT; port 0 takes a free port."""
    if value is None:
        return None
    address = listening_address(ctx, param, value)
    if not isinstance(address, TcpAddress):
        raise click.BadParameter("write HOST:PORT: nothing else is for a browser", ctx, param)
    return address


def server_address(ctx: click.Context, param: click.Parameter, value: str) -> ServerAddress:
    """Parse the ADDRESS argument of a client, which may be a list."""
    if value.startswith(_SRV):
        return _service(ctx, param, value.removeprefix(_SRV))
    # Names of sockets may have commas.
    one = "/" in value or value.startswith("@")
    texts = [value] if one else value.split(",")
    if any(text.startswith(_SYSTEMD) for text in texts):
        wrong = f"{_SYSTEMD} is for servers, which systemd gives a socket: write HOST:PORT"
        raise click.BadParameter(wrong, ctx, param)
    if any(text.startswith(_SRV) for text in texts):
        raise click.BadParameter(f"a list is of HOST:PORT alone: give {_SRV} by itself", ctx, param)
    addresses = [_parsed(ctx, param, text) for text in texts]
    servers = tuple(address for address in addresses if isinstance(address, TcpAddress))
    if any(address.port == 0 for address in servers):
        raise click.BadParameter("port 0 is none: use the port the server listens on", ctx, param)
    if len(addresses) == 1:
        return addresses[0]
    if len(servers) < len(addresses):
        raise click.BadParameter("a list is of HOST:PORT alone, without sockets", ctx, param)
    return Several(servers)


def _service(ctx: click.Context, param: click.Parameter, name: str) -> SrvRecords:
    address = SrvRecords(name)
    try:
        connect_to(address)
    except ConfigurationError as error:
        raise click.BadParameter(str(error), ctx, param) from None
    return address


def _parsed(ctx: click.Context, param: click.Parameter, text: str) -> Address:
    try:
        return parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


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
