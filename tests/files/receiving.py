"""Steps of a transfer that many tests take."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from sealframe.errors import FileRefusedError
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

KEY = bytes(range(32))

posix_only = pytest.mark.skipif(os.name != "posix", reason="has no descriptors of directories")


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def receive(store: Store, name: str, data: bytes = b"data", key: bytes = KEY) -> Path:
    """Receive a whole file."""
    with store.begin(name, len(data), key) as partial:
        partial.truncate(0)
        partial.write(data)
        return partial.finish(sha256(data))


def leave_behind(store: Store, name: str, data: bytes, size: int, key: bytes = KEY) -> Path:
    """Receive the beginning of a file; return where it waits."""
    before = set(store.directory.rglob("*"))
    with store.begin(name, size, key) as partial:
        partial.write(data)
    (path,) = (path for path in set(store.directory.rglob("*")) - before if path.is_file())
    return path


@contextmanager
def refused(
    code: FileRefusal, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[FileRefusedError]]:
    with pytest.raises(FileRefusedError, match=match) as caught:
        yield caught
    assert caught.value.code == code, caught.value
    assert len(caught.value.reason.encode()) <= 255


def content(directory: Path) -> dict[str, bytes | None]:
    """Return all that is in a directory: names, and what is in the files."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def hooked(
    monkeypatch: pytest.MonkeyPatch, names: list[str], before: Callable[[str], None]
) -> None:
    """Call something right before each of these functions of ``os``, which then run as ever."""
    for name in names:
        real = getattr(os, name)

        def call(*args: object, _real: object = real, _name: str = name, **kw: object) -> object:
            before(_name)
            assert callable(_real)
            return _real(*args, **kw)

        monkeypatch.setattr(os, name, call)


def descriptors_of(path: Path) -> list[int]:
    """Return the descriptors of this process for a file; only on POSIX systems."""
    found = []
    for descriptor in range(1024):
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                found.append(descriptor)
    return found
