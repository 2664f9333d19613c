"""The servers that a client knows: a file of addresses and public keys.

:func:`canonical_name` maps every spelling of an address to one name, under which keys are
compared.
"""

from __future__ import annotations

import os
import re
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from ..errors import HandshakeError, KeyFormatError, ServerKeyChangedError, UnknownServerError
from . import keylist
from .keylist import KeyList
from .keys import PublicKey

_SRV_RECORDS: Final = re.compile(r"_[^/:]+\._tcp\.[^/:]+", re.IGNORECASE)
"""The name of SRV records (RFC 2782), as which all their servers are known."""
_COMMENT: Final = "Servers that were connected to, one on each line: address, public key"


class KnownServers:
    """A file with a line for each server: its address, its public key, and perhaps a comment.

    Addresses are as in ``connect``: ``host:port``, ``[2001:db8::1]:1234``, or the path
    of a Unix socket; what is not plain ASCII is percent-encoded. However one is spelt,
    here or in the file, it is the same server: host names in capitals or with a dot at
    the end, IP addresses written out, relative paths. In the file paths are absolute.

    :param path: the file; it need not exist yet
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def lookup(self, name: str) -> PublicKey | None:
        """Read the file and return the key of that server, None if there is none.

        This blocks for as long as the disk does.

        :param name: the server's address
        :raises KeyFileError: the file cannot be read, or others can write it
        :raises KeyFormatError: a line of the file is wrong; the error says which
        """
        content = keylist.read_if_there(self.path)
        if content is None:
            return None
        found = _parse(content, self.path).get(canonical_name(name))
        return found[1] if found is not None else None

    def check(self, name: str, key: PublicKey) -> bool:
        """Read the file and return whether it has that server, with that key.

        This blocks for as long as the disk does.

        :param name: the server's address
        :raises ServerKeyChangedError: the file has another key for that address
        :raises KeyFileError: the file cannot be read, or others can write it
        :raises KeyFormatError: a line of the file is wrong; the error says which
        """
        known = self.lookup(name)
        if known not in (None, key):
            raise _key_changed(self.path, canonical_name(name), known, key)
        return known is not None

    def add(self, name: str, key: PublicKey) -> None:
        """Add a server, unless it is there with this key already.

        This blocks: for as long as the disk does, and up to two seconds while another
        program adds to the file.

        :param name: the server's address
        :raises ServerKeyChangedError: the file has another key for that address
        :raises KeyFileError: the file cannot be read or written
        :raises KeyFormatError: a line of the file is wrong
        :raises MissingExtraError: ``filelock`` is not installed
        """
        name = canonical_name(name)

        def line(now: KeyList) -> str | None:
            found = _parse(now, self.path).get(name)
            if found is None:
                return f"{_word(name)} {key}"
            if found[1] != key:
                raise _key_changed(self.path, name, found[1], key)
            return None

        keylist.extend(self.path, line, comment=_COMMENT)


class ServerVerifier:
    """Verifies the server's key for one attempt to connect: look up, verify, record.

    :param servers: the file
    :param name: the server's address
    :param trust_first_use: whether to trust a server that is not in the file, and record it
    """

    def __init__(self, servers: KnownServers, name: str, *, trust_first_use: bool) -> None:
        self._servers = servers
        self._name = canonical_name(name)
        self._trust = trust_first_use
        self._known: PublicKey | None = None

    def look_up(self, before: PublicKey | None = None) -> None:
        """Read the file. This blocks for as long as the disk does.

        :param before: the key that the server had on an earlier connection; it counts
            if the file does not name the server any more
        """
        self._known = self._servers.lookup(self._name) or before

    def verify_server_key(self, offered: bytes) -> HandshakeError | None:
        """Return the error if the server's key is not the right one, else None.

        It is called between messages 2 and 3 of Noise XX, before the client shows its own key
        (docs/PROTOCOL.md section 6).
        """
        key = PublicKey(offered)
        if self._known is None and not self._trust:
            return UnknownServerError(
                f"the server {self._name} is not known yet; its key is {key}. "
                f"If that is right, add to {self._servers.path}: {_word(self._name)} {key}",
                name=self._name,
                key=key,
            )
        if self._known is not None and self._known != key:
            return _key_changed(self._servers.path, self._name, self._known, key)
        return None

    def record(self, key: PublicKey) -> None:
        """Add a server that was not known to the file, once WELCOME has come.

        :raises ServerKeyChangedError: meanwhile another program wrote another key
        :raises KeyFileError: the file cannot be written
        """
        if self._known is None:
            self._servers.add(self._name, key)


def _key_changed(
    path: str, name: str, known: PublicKey, offered: PublicKey
) -> ServerKeyChangedError:
    """Return the error for a server that shows another key than the file has.

    :param name: canonical
    """
    return ServerKeyChangedError(
        f"THE KEY OF {name} HAS CHANGED: it was {known} and is now {offered}. Either the "
        "server was set up anew, or somebody poses as it. Ask its owner; only if the new key "
        f"is right, remove the line of {name} from {path}",
        name=name,
        known=known,
        offered=offered,
    )


def canonical_name(address: str) -> str:
    """Return the one name of a server, however its address is spelt.

    :param address: ``host:port``, ``[IPv6]:port``, the name of SRV records, or the path of a Unix
        socket, which has a slash in it where it could be taken for one of the others
    """
    if _SRV_RECORDS.fullmatch(address):
        return address.lower().removesuffix(".")
    host, port = _host_and_port(address)
    if not port:
        # Not `Path.resolve`: it follows symbolic links, which may point elsewhere tomorrow.
        return os.path.abspath(address).replace(os.sep, "/")  # noqa: PTH100
    port = port.lstrip("0") or "0"
    try:
        ip = ip_address(host)
    except ValueError:
        return f"{host.lower().removesuffix('.')}:{port}"
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is None:
            return f"[{ip}]:{port}"
        # ::ffff:a.b.c.d is the IPv4 address a.b.c.d (RFC 4291 section 2.5.5.2).
        ip = ip.ipv4_mapped
    return f"{ip}:{port}"


def _host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdecimal()):
        return "", ""
    return (host[1:-1] if host[0] == "[" and host[-1] == "]" else host), port


def _word(name: str) -> str:
    # Percent-encoded (RFC 3986 section 2.1): a socket's path may hold white space, which ends
    # a word.
    return quote(name, safe="/:[]@+,=~", errors="surrogatepass")


def _parse(content: KeyList, path: str) -> dict[str, tuple[int, PublicKey]]:
    servers: dict[str, tuple[int, PublicKey]] = {}
    for number, words in content.lines():
        where = f"{path}, line {number}"
        if len(words) < 2:
            raise KeyFormatError(f"{where}: the server's key is missing after its address")
        try:
            key = PublicKey.from_text(words[1])
        except KeyFormatError as error:
            raise KeyFormatError(f"{where}: {error}") from None
        name = _name(words[0], where)
        if name in servers:
            raise KeyFormatError(f"{where}: {words[0]} is in line {servers[name][0]} already")
        servers[name] = number, key
    return servers


def _name(word: str, where: str) -> str:
    try:
        address = unquote(word, errors="surrogatepass")
    except UnicodeDecodeError:
        address = ""
    named = _SRV_RECORDS.fullmatch(address) or _host_and_port(address)[1]
    if not (Path(address).is_absolute() or named):
        # No lookup would ever match it: the line would have no effect.
        raise KeyFormatError(
            f"{where}: {word} is no address: write host:port, [IPv6]:port, the full path "
            "of a socket, or _service._tcp.domain"
        )
    return canonical_name(address)
