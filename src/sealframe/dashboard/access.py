"""Who may look: rules on the address, the Host header, the token and other sites."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Collection
from typing import Final

from ..errors import ConfigurationError

_MIN_TOKEN: Final = 20
"""Characters of a token at least."""

LOCALHOST: Final = "localhost"

_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
"""A Host header (RFC 9110, section 7.2), and its name."""

_NAME: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f.]*:[0-9a-f:.]*")
"""The name alone, or an IPv6 address, without brackets."""


def is_loopback(host: str) -> bool:
    """Return whether a host is an address of the loopback interface, or ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == LOCALHOST


def openable(host: str) -> str:
    """Return what a browser on this machine goes to: loopback's address for the one that stands for
    all of a machine's (RFC 1122, section 3.2.1.3; RFC 4291, section 2.5.2), which is none to go to.

    :param host: where an HTTP server listens: a name, or an address
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


class Access:
    """Decides who may look.

    :param host: where the dashboard listens: at loopback it is open to this machine, elsewhere
        there is always a token
    :param token: what a browser has to show; None makes one where one is needed
    :param hosts: other names that the dashboard is reached by: a proxy's, which lets others in
        than this machine, so that there is a token too
    :ivar token: None where none is needed
    :raises ConfigurationError: the token is too short to be one, or not ASCII, or what `hosts` has
        are no names
    """

    def __init__(self, host: str, token: str | None = None, hosts: Collection[str] = ()) -> None:
        self._local = is_loopback(host)
        if token is not None and not (len(token) >= _MIN_TOKEN and _is_token(token)):
            raise ConfigurationError(
                f"a dashboard's token has at least {_MIN_TOKEN} letters and digits, - and _: use "
                "secrets.token_urlsafe()"
            )
        others = _names(hosts)
        if token is None and (others or not self._local):
            token = secrets.token_urlsafe(32)
        self.token = token
        self._names = {host.lower(), LOCALHOST, *others}

    @property
    def cookie(self) -> str:
        """What a browser has that has shown the token; it does not tell the token."""
        assert self.token is not None
        return hmac.new(self.token.encode(), b"sealframe dashboard", hashlib.sha256).hexdigest()

    def knows_host(self, header: str | None) -> bool:
        """Return whether a Host header names this dashboard.

        A page elsewhere can have its own name resolve to this machine (DNS rebinding), and then
        reads what is answered here: only names that are known are. An address is no name; at
        loopback it has to be one of loopback. The port does not matter: ``ssh -L`` has another.
        """
        found = _HOST.fullmatch(header or "")
        if found is None:
            return False
        name = found[1].lower().strip("[]")
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self._local

    def lets_in(self, authorization: str | None) -> bool:
        """Return whether an Authorization header shows the token (RFC 6750, section 2.1)."""
        return self.token is not None and _equal(authorization, f"Bearer {self.token}")

    def may_look(self, cookie: str | None) -> bool:
        """Return whether somebody with this cookie may see figures."""
        return self.token is None or _equal(cookie, self.cookie)


def _names(hosts: Collection[str]) -> set[str]:
    """Return names as a Host header has them, but for its brackets."""
    if isinstance(hosts, str):
        raise ConfigurationError(f"the names of a dashboard are a list: hosts=[{hosts!r}]")
    found = {host.lower().removeprefix("[").removesuffix("]") for host in hosts}
    for name in found:
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"{name!r} is no name by which browsers reach a dashboard: write the name of the "
                "host alone, without http:// and without a port"
            )
    return found


def _is_token(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def _equal(given: str | None, wanted: str) -> bool:
    """Compare in a time that tells nothing of what is wanted."""
    if given is None:
        return False
    return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())
