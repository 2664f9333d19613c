"""The addresses of this machine, found without sending anything."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_SIOCGIFADDR = 0x8915
_IPV6_TABLE = Path("/proc/net/if_inet6")


def machine_addresses(*, ipv6: bool) -> list[str]:
    """Return the machine's addresses of one kind, loopback last, the likeliest first.

    On Linux they are those of all interfaces, elsewhere the one that leads outside.
    """
    found = [*_outgoing(ipv6=ipv6), *(_ipv6_addresses() if ipv6 else _ipv4_addresses())]
    loopback = "::1" if ipv6 else "127.0.0.1"
    others = [address for address in found if not ipaddress.ip_address(address).is_loopback]
    return [*dict.fromkeys(others), loopback]


def _outgoing(*, ipv6: bool) -> Iterator[str]:
    """Yield the address that a packet to the outside would bear."""
    family, outside = (socket.AF_INET6, "2001:db8::1") if ipv6 else (socket.AF_INET, "192.0.2.1")
    # Connecting a datagram socket only looks up the route.
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((outside, 9))
        yield probe.getsockname()[0].partition("%")[0]


def _ipv4_addresses() -> Iterator[str]:
    if sys.platform != "linux":
        return
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            # struct ifreq, netdevice(7): the name, then the address it is filled with.
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):
                reply = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                yield socket.inet_ntoa(reply[20:24])


def _ipv6_addresses() -> Iterator[str]:
    try:
        lines = _IPV6_TABLE.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        address = ipaddress.IPv6Address(int(line.split()[0], 16))
        # A link-local address works only with the name of an interface behind it.
        if not address.is_link_local:
            yield str(address)
