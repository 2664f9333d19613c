"""The servers that a client knows: a file of addresses and public keys."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import quote

from . import keylist
from .errors import (
    HandshakeError,
    KeyFormatError,
    ServerKeyChangedError,
    UnknownServerError,
)
from .keylist import KeyList
from .keys import PublicKey

_COMMENT: Final = "Servers that were connected to, one on each line: address, public key"


class KnownServers:
    """A file with a line for each server: its address, its public key, and perhaps a comment.

    Addresses are as in ``connect``: ``host:port``, ``[2001:db8::1]:1234``, or the path
    of a Unix socket; what is not plain ASCII is percent-encoded.

    :param path: the file; it need not exist yet
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    def lookup(self, name: str) -> PublicKey | None:
        """Read the file and return the key of that server, None if there is none.

        :param name: the server's address
        :raises KeyFileError: the file cannot be read, or others can write it
        :raises KeyFormatError: a line of the file is wrong; the error says which
        """
        content = keylist.read_if_there(self.path)
        if content is None:
            return None
        found = _parse(content, self.path).get(_word(name))
        return found[1] if found is not None else None

    def add(self, name: str, key: PublicKey) -> None:
        """Add a server, unless it is there with this key already.

        :param name: the server's address
        :raises ServerKeyChangedError: the file has another key for that address
        :raises KeyFileError: the file cannot be read or written
        :raises KeyFormatError: a line of the file is wrong
        """

        def line(now: KeyList) -> str | None:
            found = _parse(now, self.path).get(_word(name))
            if found is None:
                return f"{_word(name)} {key}"
            if found[1] != key:
                raise self.changed(name, found[1], key)
            return None

        keylist.extend(self.path, line, comment=_COMMENT)

    def changed(self, name: str, known: PublicKey, offered: PublicKey) -> ServerKeyChangedError:
        """Return the error for a server that shows another key than the known one."""
        return ServerKeyChangedError(
            f"THE KEY OF {name} HAS CHANGED: it was {known} and is now {offered}. Either the "
            "server was set up anew, or somebody poses as it. Ask its owner; only if the new key "
            f"is right, remove the line of {name} from {self.path}",
            name=name,
            known=known,
            offered=offered,
        )


class Introduction:
    """One connection's look at the server's key, and what it leaves in the file.

    :param servers: the file
    :param name: the server's address
    :param trust_first_use: whether the key of a server that is not in the file is
        taken for right and recorded
    """

    def __init__(self, servers: KnownServers, name: str, *, trust_first_use: bool) -> None:
        self._servers = servers
        self._name = name
        self._trust = trust_first_use
        self._known: PublicKey | None = None

    def look_up(self) -> None:
        """Read the file. This blocks for as long as the disk does."""
        self._known = self._servers.lookup(self._name)

    def judge(self, offered: bytes) -> HandshakeError | None:
        """Return why the client must not show itself to a server with that key."""
        key = PublicKey(offered)
        if self._known is None and not self._trust:
            return UnknownServerError(
                f"the server {self._name} is not known yet; its key is {key}. "
                f"If that is right, add to {self._servers.path}: {_word(self._name)} {key}",
                name=self._name,
                key=key,
            )
        if self._known is not None and self._known != key:
            return self._servers.changed(self._name, self._known, key)
        return None

    def record(self, key: PublicKey) -> None:
        """Write a server that was not known into the file, once it has welcomed us.

        :raises ServerKeyChangedError: meanwhile another program wrote another key
        :raises KeyFileError: the file cannot be written
        """
        if self._known is None:
            self._servers.add(self._name, key)


def _word(name: str) -> str:
    # The path of a Unix socket may hold anything, and words end at white space.
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
        if words[0] in servers:
            raise KeyFormatError(f"{where}: {words[0]} is in line {servers[words[0]][0]} already")
        servers[words[0]] = number, key
    return servers
