"""Text files that list public keys: read whole, and extended under a lock.

Such a file holds no secret, but whoever can write it decides whom a program trusts.
"""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from .errors import KeyFileError, KeyFormatError, MissingExtraError, SealframeError

_MAX_SIZE: Final = 16 * 1024 * 1024
_LOCK_TIMEOUT: Final = 2.0
"""Seconds to wait for another program, which needs milliseconds."""
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH

Version: TypeAlias = tuple[int, int, int, int]
"""Which content a file has: device, inode, size, time of the last change in ns."""


class Line(NamedTuple):
    """One line that is neither empty nor a comment."""

    number: int
    words: list[str]


class KeyList(NamedTuple):
    """What a file held when it was read."""

    version: Version | None
    """None for a file that is to be made."""
    text: str

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are neither empty nor comments."""
        for number, line in enumerate(self.text.splitlines(), 1):
            words = line.split()
            if words and not words[0].startswith("#"):
                yield Line(number, words)


def version(path: str) -> Version:
    """Return which content the file has now.

    :raises KeyFileError: it cannot be found or looked at
    """
    try:
        return _version(os.stat(path))  # noqa: PTH116 - the same for a descriptor below
    except OSError as error:
        raise _unreadable(path, error) from None


def read(path: str) -> KeyList:
    """Read the file.

    :param path: a regular file of at most 16 MiB which, except on Windows, only its
        owner can write
    :raises KeyFileError: it is not there, is not such a file, or cannot be read
    :raises KeyFormatError: it is not text in UTF-8
    """
    try:
        return _read(path)
    except FileNotFoundError as error:
        raise _unreadable(path, error) from None


def read_if_there(path: str) -> KeyList | None:
    """Do the same, but return None if there is no such file.

    Any other failure is raised: a file that cannot be reached may hold something.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def _read(path: str) -> KeyList:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is not a file")
            if os.name == "posix" and status.st_mode & _WRITABLE:
                raise KeyFileError(
                    f"{path} can be written by others; run: chmod go-w {shlex.quote(path)}"
                )
            data = file.read(_MAX_SIZE + 1)
    except (KeyFileError, FileNotFoundError):
        raise
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(data) > _MAX_SIZE:
        raise KeyFileError(f"{path} is over {_MAX_SIZE} bytes")
    try:
        return KeyList(_version(status), data.decode())
    except UnicodeDecodeError:
        raise KeyFormatError(f"{path} is not text in UTF-8") from None


def extend(path: str, line: Callable[[KeyList], str | None], *, comment: str) -> None:
    """Add a line, or make the file with that line.

    The file is replaced as a whole, so that no reader ever sees half of it, and other
    programs that add to it wait meanwhile. The data is on the disk at the end.

    :param line: given what is there now, returns the line, or None to leave an existing
        file as it is; what it raises does so too
    :param comment: the first line of a new file
    :raises KeyFileError: the file cannot be read or written
    :raises MissingExtraError: ``filelock`` is not installed
    """
    # The file itself, not a link to it, is what is replaced.
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock(target):
            there = read_if_there(str(target))
            now = there or KeyList(None, f"# {comment}\n")
            added = line(now)
            if added is not None:
                end = "" if not now.text or now.text.endswith("\n") else "\n"
                _replace(target, f"{now.text}{end}{added}\n")
            elif there is None:
                _replace(target, now.text)
    except SealframeError:
        # Some are of OSError's kind: what the line's owner raises among them.
        raise
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror or error}") from None


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError(
            'lists of keys need the filelock package: run: pip install "sealframe[crypto]"'
        ) from error
    with FileLock(f"{target}.lock", timeout=_LOCK_TIMEOUT, mode=0o600):
        yield


def _replace(target: Path, text: str) -> None:
    """Put a file with that text in its place, with its owner and mode."""
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            before = target.stat()
            Path(name).chmod(stat.S_IMODE(before.st_mode))
            if hasattr(os, "chown") and before.st_uid != os.geteuid():
                # An administrator added to the file of a service, which must still read it.
                os.chown(name, before.st_uid, before.st_gid)
        Path(name).replace(target)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _version(status: os.stat_result) -> Version:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _without_waiting(path: str, flags: int) -> int:
    # Else a named pipe that nobody writes to would hold us up before it is refused.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _unreadable(path: str, error: OSError) -> KeyFileError:
    return KeyFileError(f"cannot read {path}: {error.strerror}")
