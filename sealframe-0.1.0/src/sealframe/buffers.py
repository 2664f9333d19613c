"""What programs hand over as bytes."""

from __future__ import annotations

from typing import TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview


def as_bytes(value: object, noun: str = "a message") -> bytes:
    """Return a copy of a bytes-like object.

    :param noun: what to call it in the error
    :raises TypeError: it is none
    """
    if isinstance(value, str):
        raise TypeError(f"{noun} is bytes, not str: encode it first, for example text.encode()")
    try:
        return bytes(memoryview(value))  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{noun} is a bytes-like object, not {type(value).__name__}") from None
