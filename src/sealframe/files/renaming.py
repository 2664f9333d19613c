"""Renaming that replaces nothing, where there are no hard links. Python has no call for it."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_CALLS: Final = {"linux": ("renameat2", 1), "darwin": ("renameatx_np", 4)}
"""What the C library calls it, and the flag that says "exclusively"."""


def rename_in(directory: int, source: str, into: int, target: str) -> None:
    """Rename a file from an open directory into another one, if nothing has that name there.

    :raises OSError: that failed; FileExistsError: something has that name; with
        ``ENOTSUP`` where the system cannot do it
    """
    # Slow to import, and of use only on file systems without hard links.
    import ctypes

    name, flag = _CALLS.get(sys.platform, ("", 0))
    call = getattr(ctypes.CDLL(None, use_errno=True), name, None) if name else None
    if call is None:
        code = errno.ENOTSUP
    elif call(directory, os.fsencode(source), into, os.fsencode(target), flag) == 0:
        return
    else:
        code = ctypes.get_errno()
        if code in {errno.EINVAL, errno.ENOSYS}:
            code = errno.ENOTSUP
    raise OSError(code, os.strerror(code), target)
