"""Files that hold one secret key: a line with the key's text, and comments."""

from __future__ import annotations

import codecs
import os
import shlex
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..errors import KeyFileError, KeyFormatError
from . import disk

_MAX_SIZE: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def read(name: str, *, maker: str) -> str:
    """Return the one line with a key.

    :param name: a file of at most 4 KiB which, except on Windows, belongs to this user
        or root, and gives its group and others no permission at all; from root's own user
        and group, where this process is not root, mode 0440 is taken too, as systemd gives
        credentials (wherever the file is: that group has root alone in it)
    :param maker: the command that makes such a file, for the text of an error
    :raises KeyFileError: it is not there, is not such a file, or cannot be read
    :raises KeyFormatError: it does not hold exactly one line beside comments
    """
    # Windows' editors put a mark of UTF-8 in front.
    content = _content(name, maker).removeprefix(codecs.BOM_UTF8).decode("ascii", "replace")
    lines = [line.strip() for line in content.split("\n")]
    texts = [line for line in lines if line and not line.startswith("#")]
    if len(texts) != 1:
        raise KeyFormatError(f"{name} must hold one line with a key, not {len(texts)}")
    return texts[0]


def write(name: str, text: str, *comments: str) -> None:
    """Make a new file that only its owner can read (mode 0600).

    The data is on the disk when this returns; if it raises, no file is left.

    :raises KeyFileError: something is there already, or the file cannot be written
    """
    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyFileError(
            f"{name} is there already and is not overwritten: choose another name"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot write the key file {name}: {error.strerror}") from None
    try:
        lines = [*(f"# {comment}" for comment in comments), text]
        disk.write(descriptor, "".join(f"{line}\n" for line in lines).encode())
        disk.sync_folder(Path(name))
    except BaseException as error:
        with suppress(OSError):
            Path(name).unlink()
        if isinstance(error, OSError):
            raise KeyFileError(f"cannot write the key file {name}: {error.strerror}") from None
        raise


def _readable_by_others(status: os.stat_result) -> bool:
    # A credential that systemd gives to a service whose user is not root, LoadCredential= in
    # systemd.exec(5), may be root:root with 0440: the group's bits then show the mask of the ACL by
    # which that user reads it (acl(5)), and by themselves let in nobody but root's own group.
    given = os.geteuid() != 0 and (status.st_uid, status.st_gid) == (0, 0)
    return bool(status.st_mode & _OTHERS & ~(stat.S_IRGRP if given else 0))


def _content(name: str, maker: str) -> bytes:
    try:
        with disk.open_to_read(name) as file:
            # Of what was opened: what the path names may change at any moment.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{name} is not a file with a key in it")
            disk.refuse_another_users(name, status)
            if os.name == "posix" and _readable_by_others(status):
                raise KeyFileError(
                    f"the key file {name} is readable by others; run: chmod 600 {shlex.quote(name)}"
                )
            data = file.read(_MAX_SIZE + 1)
    except KeyFileError:
        raise
    except FileNotFoundError:
        raise KeyFileError(
            f"there is no key file {name}; make one with: {maker} {shlex.quote(name)}"
        ) from None
    except OSError as error:
        raise KeyFileError(f"cannot read the key file {name}: {error.strerror}") from None
    if len(data) > _MAX_SIZE:
        raise KeyFileError(f"{name} is too large to be a key file")
    return data
