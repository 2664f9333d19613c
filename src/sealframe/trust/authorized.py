"""The clients that a server lets in: a table, or a file that is read again when it changes.

A file's version is the digest of its contents, with its device, inode, size and mtime. The clients
are taken from it when its version has changed and is the same in two checks, one after the other;
a file that cannot be parsed changes nothing. Each check reads it: 0.05 ms for ten clients, 0.2 ms
for a thousand, 15 ms for the 16 MiB that a file may have.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from threading import Lock
from typing import Any, Final, Self

from ..errors import ConfigurationError, KeyFileError, KeyFormatError, SealframeError
from . import disk, keylist
from .keylist import KeyList, Stamp, Version
from .keys import PublicKey
from .peer import Peer

logger = logging.getLogger("sealframe.authorized")

_LOOKS_PER_LINE: Final = 120
"""Checks of a file that cannot be used, after which its error is logged again."""
_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
_COMMENT: Final = "Clients that may connect, one on each line: public key, name, comment"


class AuthorizedClients:
    """Which public keys may connect, and what to call them.

    In a file each client has a line: public key, name, and perhaps a comment. Empty
    lines and those with ``#`` in front do not count.

    :param source: the path of such a file, or ``{name: public key}``
    :raises ConfigurationError: it is neither, or the table holds something else or a
        key twice
    :raises KeyFileError: the file cannot be read, or others can write it
    :raises KeyFormatError: a line of the file is wrong; the error says which
    """

    def __init__(self, source: str | os.PathLike[str] | Mapping[str, PublicKey]) -> None:
        self.path: str | None = None
        """The file; None for a table."""
        self.generation = 0
        """Grows whenever the clients change."""
        # Servers read the file in a thread, and add to it from the event loop.
        self._lock = Lock()
        # Several servers may share this object: one at a time writes.
        self._writing = Lock()
        self._spare = disk.SpareDescriptor()
        self._adopted: Version | None = None
        self._refused: Version | None = None
        # The last look that could read it.
        self._looked: tuple[Stamp, Version] | None = None
        self._trouble = ""
        self._looks_in_trouble = 0
        # By public key: let in by an invitation, and not in the file yet.
        self._admitted: dict[bytes, Peer] = {}
        if isinstance(source, Mapping):
            self._peers = _table(source)
        elif isinstance(source, str | os.PathLike):
            self.path = os.fspath(source)
            self._adopt(keylist.read(self.path))
        else:
            raise ConfigurationError("clients is the path of a file, or {name: PublicKey}")

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> Self:
        """Make a file without clients, unless it is there already, and return it read.

        :raises KeyFileError: it cannot be written or read
        :raises KeyFormatError: it is there, and a line of it is wrong
        :raises MissingExtraError: ``filelock`` is not installed
        """
        keylist.extend(os.fspath(path), lambda _: None, comment=_COMMENT)
        return cls(path)

    def __len__(self) -> int:
        return len(self._peers)

    def lookup(self, key: bytes) -> Peer | None:
        """Return who has that public key, 32 bytes; None if it may not connect."""
        return self._peers.get(key) or self._admitted.get(key)

    @property
    def unwritten(self) -> bool:
        """Whether somebody was let in who is not in the file yet."""
        return bool(self._admitted)

    def admit(self, name: str, key: PublicKey) -> Peer:
        """Let a client in from now on; :meth:`write_admitted` puts it into the file.

        :param name: one word
        """
        peer = self._admitted[bytes(key)] = Peer(name, key)
        return peer

    def refresh(self, seen: Version | None = None) -> Version | None:
        """Read the file again if it has changed. This blocks for as long as the disk does.

        A new version is read once it is the same in two calls: it may be half-written in the
        first. If the file cannot be read, or a line of it is wrong, the old clients stay, and
        the error is logged.

        :param seen: what the caller's last call returned
        :return: the file's version now, None if there is none or it cannot be read
        """
        if self.path is None:
            return None
        self.write_admitted()
        found: Version | None = None
        with self._lock:
            try:
                found = self._look(self.path)
                if found == self._adopted:
                    self._trouble = ""
                elif found == seen and found != self._refused:
                    self._reread(self.path, found)
            except (KeyFileError, KeyFormatError) as error:
                self._note_trouble(str(error))
        return found

    def _note_trouble(self, trouble: str) -> None:
        self._looks_in_trouble += 1
        if trouble != self._trouble or self._looks_in_trouble >= _LOOKS_PER_LINE:
            self._trouble = trouble
            self._looks_in_trouble = 0
            logger.error("%s; the clients authorised before stay so", trouble)

    def write_admitted(self) -> None:
        """Write the clients that :meth:`admit` let in to the file. This blocks for as long as
        the disk does.

        A client that cannot be written is let in no longer, and that is logged. While another
        program changes the file, they stay in memory until the next call.
        """
        with self._writing:
            self._write_admitted()

    def _write_admitted(self) -> None:
        for key, peer in list(self._admitted.items()):
            try:
                if self._is_being_edited():
                    return
                self.add(peer.name, peer.key)
            except (SealframeError, OSError) as error:
                logger.error("%s; %s is not let in: invite it again", error, peer.name)
                del self._admitted[key]
                self.generation += 1
            else:
                del self._admitted[key]

    def _is_being_edited(self) -> bool:
        # A line added to a half-written file would make it look complete.
        return self.path is not None and keylist.version(self.path) != self._adopted

    def _look(self, path: str) -> Version:
        stamp = keylist.stamp(path)
        try:
            found = keylist.version(path)
        except KeyFileError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            if self._looked is not None and self._looked[0] == stamp:
                # Keep the reserved descriptor for a change: another thread may take it from us.
                return self._looked[1]
            with self._spare.released():
                found = keylist.version(path)
        self._looked = stamp, found
        return found

    def _reread(self, path: str, found: Version) -> None:
        try:
            content = self._read(path)
            if content.version == found and keylist.stamp(path)[:4] == found[:4]:
                self._adopt(content)
        except KeyFormatError:
            # Do not parse this version again: only other content can be valid. A KeyFileError
            # may be cured by a chmod, which changes no version.
            self._refused = found
            raise

    def _read(self, path: str) -> KeyList:
        try:
            return keylist.read(path)
        except KeyFileError as error:
            if error.errno not in _NO_DESCRIPTOR:
                raise
            # No descriptor is left. A client that is to be revoked could bring this about by
            # opening connections, and so stay: use the reserved descriptor.
            with self._spare.released():
                return keylist.read(path)

    def add(self, name: str, key: PublicKey) -> None:
        """Let a client in from now on: add its line to the file.

        :param name: one word
        :raises ConfigurationError: there is no file
        :raises ValueError: the name is not one word of printable characters
        :raises KeyFileError: the file cannot be written
        :raises KeyFormatError: a line of the file is wrong
        """
        if self.path is None:
            raise ConfigurationError("these clients are a table, not a file to add to")
        check_name(name)
        path = self.path

        def line(now: KeyList) -> str | None:
            if now.version is None:
                # A new file with this line alone would revoke all other clients.
                raise KeyFileError(f"{path} is no longer there")
            return None if bytes(key) in _parse(now, path) else f"{key} {name}"

        keylist.extend(path, line, comment=_COMMENT)
        with self._lock:
            self._adopt(keylist.read(path))

    def _adopt(self, content: KeyList) -> None:
        assert self.path is not None
        self._peers = _parse(content, self.path)
        self._adopted = content.version
        self.generation += 1
        self._refused = None
        self._trouble = ""


def check_name(name: object) -> None:
    """Refuse a client's name that could not stand in the file.

    :raises ValueError: it is not one word of printable characters
    """
    if not _is_name(name):
        raise ValueError(f"the name of a client is {name!r}; use one word")


def _is_name(name: object) -> bool:
    # A word with # in front was perhaps meant as a comment.
    return (
        isinstance(name, str)
        and name.isprintable()
        and name.split() == [name]
        and not name.startswith("#")
    )


def _table(clients: Mapping[Any, Any]) -> dict[bytes, Peer]:
    peers: dict[bytes, Peer] = {}
    for name, key in clients.items():
        if not _is_name(name) or not isinstance(key, PublicKey):
            raise ConfigurationError(
                "clients is the path of a file, or {name: PublicKey}; a name is one word"
            )
        if bytes(key) in peers:
            raise ConfigurationError(f"{name} and {peers[bytes(key)].name} have the same key")
        peers[bytes(key)] = Peer(name, key)
    return peers


def _parse(content: KeyList, path: str) -> dict[bytes, Peer]:
    peers: dict[bytes, Peer] = {}
    for number, words in content.lines():
        where = f"{path}, line {number}"
        try:
            key = PublicKey.from_text(words[0])
        except KeyFormatError as error:
            raise KeyFormatError(f"{where}: {error}") from None
        if len(words) < 2 or not _is_name(words[1]):
            raise KeyFormatError(f"{where}: the client's name is missing after its key")
        if bytes(key) in peers:
            raise KeyFormatError(f"{where}: the key of {peers[bytes(key)].name} once more")
        peers[bytes(key)] = Peer(words[1], key)
    return peers
