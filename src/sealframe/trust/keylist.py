"""Text files that list public keys: read whole, and extended under a lock.

Such a file holds no secret, but whoever can write it decides whom a program trusts.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from ..errors import KeyFileError, KeyFormatError, MissingExtraError, SealframeError
from . import disk

_MAX_SIZE: Final = 16 * 1024 * 1024
_LOCK_TIMEOUT: Final = 2.0
"""Seconds to wait for another program's lock, which is held for milliseconds."""
_ATTEMPTS: Final = 10
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_PERMISSIONS: Final = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO

Stamp: TypeAlias = tuple[int, int, int, int, int]
"""What ``stat`` says: device, inode, size, mtime and ctime in ns."""

Version: TypeAlias = tuple[int, int, int, int, bytes]
"""Which file has a name, and what is in it: device, inode, size, mtime in ns, and the SHA-256 of
its contents. ``cp -p`` over a file keeps all but the last, and neither Windows nor every file
system has a ctime that tells."""


class Line(NamedTuple):
    """One line that is neither empty nor a comment."""

    number: int
    words: list[str]


class KeyList(NamedTuple):
    """What a file held when it was read."""

    version: Version | None
    """None for a file that is to be made."""
    text: str
    mode: int | None = None
    """The file's permissions."""

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are neither empty nor comments."""
        # Not `splitlines`: it also splits at U+2028 and others, and so could make a line out of
        # the end of a comment.
        for number, line in enumerate(self.text.split("\n"), 1):
            words = line.split()
            if words and not words[0].startswith("#"):
                yield Line(number, words)


def stamp(path: str) -> Stamp:
    """Return what ``stat`` says of the file now; this needs no file descriptor.

    :raises KeyFileError: it cannot be found or looked at
    """
    try:
        return _stamp(os.stat(path))  # noqa: PTH116 - the same for a descriptor below
    except OSError as error:
        raise _unreadable(path, error) from None


def version(path: str) -> Version:
    """Return the version of the file now. It is read for that, up to 16 MiB of it.

    :raises KeyFileError: it cannot be found or read
    """
    try:
        return _version_of(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def read(path: str) -> KeyList:
    """Read the file.

    :param path: a regular file of at most 16 MiB which, except on Windows, belongs to
        this user or root, and which only its owner can write
    :raises KeyFileError: it is not there, is not such a file, or cannot be read
    :raises KeyFormatError: it is not text in UTF-8
    """
    try:
        return _read(path)
    except FileNotFoundError as error:
        raise _unreadable(path, error) from None


def read_if_there(path: str) -> KeyList | None:
    """Read the file as :func:`read` does; return None if there is no such file.

    Any other failure is raised: a file that cannot be reached may hold keys.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def _read(path: str) -> KeyList:
    try:
        with disk.open_to_read(path) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is not a file")
            disk.refuse_another_users(path, status)
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
        # Windows' editors put a mark of UTF-8 in front; what we write has none.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise KeyFormatError(f"{path} is not text in UTF-8") from None
    return KeyList(_version(status, data), text, status.st_mode & _PERMISSIONS)


def extend(path: str, line: Callable[[KeyList], str | None], *, comment: str) -> None:
    """Add a line, or make the file with that line.

    The file is replaced as a whole, so that no reader ever sees half of it, and other
    programs that add to it wait meanwhile. The data is on the disk at the end. The file
    keeps its permissions and becomes this user's; another user's is refused.

    :param line: given what is there now, returns the line, or None to leave an existing
        file as it is; what it raises does so too
    :param comment: the first line of a new file
    :raises KeyFileError: the file cannot be read or written
    :raises MissingExtraError: ``filelock`` is not installed
    """
    # Replace the file that a symbolic link points to, not the link.
    target = Path(os.path.realpath(path))
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Refuse a bad file before a lock file is made beside it.
        read_if_there(str(target))
        with _lock(path, f"{target}.lock"):
            for _ in range(_ATTEMPTS):
                if _extend(target, line, comment):
                    return
            raise KeyFileError(f"cannot write {path}: it is being changed all the time")
    except SealframeError:
        # Some of these are OSErrors too, and are passed on as they are.
        raise
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror or error}") from None


def _extend(target: Path, line: Callable[[KeyList], str | None], comment: str) -> bool:
    """Return False if somebody, who knows no lock, changed the file meanwhile."""
    there = read_if_there(str(target))
    now = there or KeyList(None, f"# {comment}\n")
    added = line(now)
    if added is None:
        text = now.text if there is None else None
    else:
        end = "" if not now.text or now.text.endswith("\n") else "\n"
        text = f"{now.text}{end}{added}\n"
    return text is None or _replace(target, text, now)


def require() -> None:
    """Check that lists can be extended here, before anything depends on it.

    :raises MissingExtraError: ``filelock`` is not installed
    """
    try:
        import filelock  # noqa: F401 - whether it is there
    except ImportError as error:
        raise MissingExtraError(
            'lists of keys need the filelock package: run: pip install "sealframe[crypto]"'
        ) from error


@contextmanager
def _lock(path: str, name: str) -> Iterator[None]:
    require()
    from filelock import FileLock, Timeout

    lock = FileLock(name, timeout=_LOCK_TIMEOUT, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise KeyFileError(f"cannot write {path}: another program holds {name}") from None
    except NotImplementedError:
        raise KeyFileError(f"cannot write {path}: its file system has no locks") from None
    try:
        yield
    finally:
        lock.release()


def _replace(target: Path, text: str, before: KeyList) -> bool:
    """Return False, and leave the file, if it is not what it was before."""
    # Slow to import, and of use only to who adds to a list.
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        disk.write(descriptor, text.encode(), mode=before.mode)
        unchanged = _version_if_there(target) == before.version
        if unchanged:
            disk.replace(Path(name), target)
        else:
            Path(name).unlink()
        return unchanged
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def _version_if_there(path: Path) -> Version | None:
    try:
        return _version_of(str(path))
    except FileNotFoundError:
        return None


def _version_of(path: str) -> Version:
    with disk.open_to_read(path) as file:
        status = os.fstat(file.fileno())
        data = file.read(_MAX_SIZE + 1) if stat.S_ISREG(status.st_mode) else b""
    return _version(status, data)


def _version(status: os.stat_result, data: bytes) -> Version:
    return (*_stamp(status)[:4], hashlib.sha256(data).digest())


def _stamp(status: os.stat_result) -> Stamp:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _unreadable(path: str, error: OSError) -> KeyFileError:
    return KeyFileError(error.errno, f"cannot read {path}: {error.strerror}")
