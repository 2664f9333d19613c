"""The key log: the keys of one's own sealed connections, to read them in a capture of packets.

Off unless the environment variable ``SEALFRAME_KEYLOG`` names a file. Each connection then appends
one line to it, at the end of its handshake::

    SEALFRAME_AES_256_GCM <name> <client's key> <server's key>

The three are 32 bytes each, in hexadecimal. The name is what the client's first Noise message
begins with, its ephemeral public key, which stands in the capture. The keys are those of Split()
(Noise revision 34, section 5.2), before any REKEY: for what the client sends, and the server.
"""

from __future__ import annotations

import logging
import os
import shlex
import stat
from pathlib import Path
from threading import Lock
from typing import Final

from ..errors import KeyFileError
from . import disk

VARIABLE: Final = "SEALFRAME_KEYLOG"
"""The environment variable with the path of the file."""
LABEL: Final = "SEALFRAME_AES_256_GCM"
"""What a line begins with: the cipher that its keys are for."""
_BEGINNING: Final = b"SEALFRAME_"
"""What a key log begins with, whatever its keys are for."""

logger = logging.getLogger("sealframe.keylog")

# A link or a pipe is none of the files that this module makes.
_FLAGS: Final = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)


class KeyLog:
    """Appends to the file, from any number of threads and processes.

    It is opened for each line: nothing is held open, and a file that was moved away or deleted
    is made anew.

    :param path: the file; it is made, for this user alone, where it is not there
    :raises KeyFileError: it is a link, another user's, no regular file, not for its owner alone,
        holds something else than a key log, or cannot be read and written
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lost = 0
        os.close(self._open())

    def write(self, name: bytes, client_key: bytes, server_key: bytes) -> None:
        """Append the line of one connection.

        A line that cannot be written is lost, and the first that is lost is told in the log:
        connections do not depend on it.

        :param name: what the client's first Noise message begins with, 32 bytes
        :param client_key: for what the client sends, 32 bytes
        :param server_key: for what the server sends, 32 bytes
        """
        line = f"{LABEL} {name.hex()} {client_key.hex()} {server_key.hex()}\n".encode()
        try:
            self._append(line)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                logger.warning(
                    "the keys of a connection could not be written to %s (%s): that connection "
                    "cannot be decrypted; it goes on, and this is said once",
                    self._path,
                    error.strerror or error,
                )

    def _append(self, line: bytes) -> None:
        descriptor = self._open()
        try:
            # One call: with O_APPEND no other writer's line gets into it.
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
        if written < len(line):
            raise KeyFileError("the disk is full")

    def _open(self) -> int:
        path = self._path
        try:
            descriptor = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            if Path(path).is_symlink():
                raise KeyFileError(f"{path} is a link: name the file itself") from None
            raise KeyFileError(f"cannot write the key log {path}: {error.strerror}") from None
        try:
            # Of what was opened: what the path names may change at any moment.
            _check(path, os.fstat(descriptor))
            _check_beginning(path, os.read(descriptor, len(_BEGINNING)))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def _check(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileError(f"{path} is no regular file, as a key log has to be")
    disk.refuse_another_users(path, status)
    if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(
            f"the key log {path} is open to others; delete it, or run: "
            f"chmod 600 {shlex.quote(path)}"
        )


def _check_beginning(path: str, beginning: bytes) -> None:
    # A key's file, named by mistake, would be spoilt by a line behind it. A log may begin with a
    # line that was cut short, on a full disk.
    if not _BEGINNING.startswith(beginning):
        raise KeyFileError(
            f"{path} holds something else than a key log, and nothing is written to it: set "
            f"{VARIABLE} to a file of its own"
        )


_lock: Final = Lock()
_logs: Final[dict[str, KeyLog]] = {}


def key_log() -> KeyLog | None:
    """Return the key log that the environment asks for; None where it asks for none.

    The first call that finds one logs a warning.

    :raises KeyFileError: the file cannot be a key log
    """
    asked = os.environ.get(VARIABLE)
    if not asked:
        return None
    path = os.path.abspath(asked)  # noqa: PTH100 - resolve() follows links
    with _lock:
        log = _logs.get(path)
        if log is None:
            log = _logs[path] = KeyLog(path)
            logger.warning(
                "%s is set: the keys of every sealed connection of this process are written to %s, "
                "and whoever has that file can read these connections; unset it unless you debug",
                VARIABLE,
                path,
            )
    return log
