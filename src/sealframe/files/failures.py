"""Maps errors of the operating system to refusals, which the other end is told."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import FileRefusedError
from ..wire import FileRefusal

_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_CODES: Final = {
    errno.ENOTDIR: FileRefusal.NAME,
    errno.ELOOP: FileRefusal.NAME,
    errno.ENAMETOOLONG: FileRefusal.NAME,
    errno.EILSEQ: FileRefusal.NAME,
    errno.EEXIST: FileRefusal.EXISTS,
    errno.EISDIR: FileRefusal.EXISTS,
    errno.EFBIG: FileRefusal.TOO_LARGE,
    errno.ENOTSUP: FileRefusal.NOT_SUPPORTED,
    errno.EOPNOTSUPP: FileRefusal.NOT_SUPPORTED,
    errno.ENOLCK: FileRefusal.NOT_SUPPORTED,
    errno.EXDEV: FileRefusal.NOT_SUPPORTED,
    **dict.fromkeys(_FULL, FileRefusal.DISK_FULL),
}


@contextmanager
def refusing(doing: str) -> Iterator[None]:
    """Turn an :exc:`OSError` into a refusal.

    :param doing: what fails then; a reason names no path of this machine
    :raises FileRefusedError: instead
    """
    try:
        yield
    except OSError as error:
        number = error.errno or errno.EIO
        code = _CODES.get(number, FileRefusal.IO)
        raise FileRefusedError(code, f"{doing} failed: {os.strerror(number)}") from error
