"""The file has the secret of a session: it is made, and accepted, for its user alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import OutboxFileError


def make_or_check(path: str) -> None:
    """Make the file, readable by this user alone, or look whether it is so.

    :raises OutboxFileError: it is not, or cannot be made
    """
    try:
        # Exclusive: where it is new, nobody has locks on it that closing it would drop.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        status = Path(path).stat()
    except OSError as error:
        raise OutboxFileError(f"{path} cannot be made: {error.strerror}") from error
    else:
        return
    if not stat.S_ISREG(status.st_mode):
        raise OutboxFileError(f"{path} is not a file")
    if os.name != "posix":
        return
    if status.st_uid != os.geteuid():
        raise OutboxFileError(
            f"{path} belongs to another user; run this program as that user, uid {status.st_uid}"
        )
    if status.st_mode & 0o077:
        raise OutboxFileError(
            f"{path} can be read by others, and has the secret of a session: chmod 600 {path}"
        )
