"""Which names a peer may give to files, and what files are called that are not whole yet."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, NoReturn

from ..errors import FileRefusedError
from ..wire import FileRefusal

MAX_NAME: Final = 1024
"""The longest name, in bytes of UTF-8."""
MAX_PART: Final = 255
"""The longest part of a name, in bytes of UTF-8."""
MAX_DEPTH: Final = 32
"""Parts that a name has at most."""

_FORBIDDEN: Final = frozenset('<>:"|?*\\')
"""Windows has other uses for them; the colon covers drive letters and hidden streams."""
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$"]
    + [device + digit for device in ("COM", "LPT") for digit in "0123456789¹²³"]
)
"""Names that Windows takes for devices, in every directory and with any extension."""

_STEERING: Final = frozenset(["Cc", "Cf", "Zl", "Zp"])
"""Categories of Unicode: control characters; what turns text around or cannot be seen, so that
a name looks like another one; separators of lines and paragraphs."""

_PARTIAL: Final = re.compile(r"\..*\.[0-9a-f]{16}\.part", re.DOTALL)
_TAG_SIZE: Final = 8
_AROUND: Final = len("..") + 2 * _TAG_SIZE + len(".part")


def checked_name(text: str, *, hidden: bool = False) -> str:
    """Return a name that a peer gave, if it is safe on every system.

    It is a relative path: parts, separated by ``/``. Unicode stays as it is: whether two
    names are one, the file system decides.

    :param text: at most 1,024 bytes of UTF-8, in at most 32 parts of at most 255 bytes
    :param hidden: whether parts may begin with a dot. Programs look for their settings under
        such names: a shell runs ``.profile``, an SSH server trusts ``.ssh/authorized_keys``
    :raises FileRefusedError: code ``NAME``: it is longer, empty or absolute, has an empty
        part, ``.`` or ``..``, a control or format character (Unicode categories Cc and Cf:
        what turns text around or has no width), a separator of lines or paragraphs, a
        character that Windows forbids, a part that ends in a dot or a space or is a device
        on Windows, one that is called as partial files are, or one that is hidden
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        _refuse("it is not Unicode")
    if size > MAX_NAME:
        _refuse(f"it is longer than {MAX_NAME:,} bytes")
    if text.startswith("/"):
        _refuse("it is absolute")
    parts = text.split("/")
    if len(parts) > MAX_DEPTH:
        _refuse(f"it has more than {MAX_DEPTH} parts")
    for part in parts:
        _check(part, hidden)
    return text


def _check(part: str, hidden: bool) -> None:
    if not part:
        _refuse("a part is empty")
    if part in {".", ".."}:
        _refuse(f"a part is {part!r}")
    if len(part.encode()) > MAX_PART:
        _refuse(f"a part is longer than {MAX_PART} bytes")
    for character in part:
        if character in _FORBIDDEN or unicodedata.category(character) in _STEERING:
            _refuse(f"it has the character {character!a}")
    if part[-1] in ". ":
        _refuse("a part ends in a dot or a space")
    if part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        _refuse("a part is a device on Windows")
    if is_partial(part):
        _refuse("a part is called as files are that are not whole yet")
    if part[0] == "." and not hidden:
        _refuse("a part is hidden: it begins with a dot")


def _refuse(why: str) -> NoReturn:
    raise FileRefusedError(FileRefusal.NAME, f"the name is not taken: {why}")


def partial_name(name: str, tag: bytes) -> str:
    """Return what a file is called before it is whole: ``.NAME.TAG.part``.

    :param name: of the file, without directories; shortened where 255 bytes are too few
    :param tag: 8 bytes that tell this transfer from others
    """
    short = name.encode()[: MAX_PART - _AROUND].decode(errors="ignore")
    return f".{short}.{tag[:_TAG_SIZE].hex()}.part"


def is_partial(part: str) -> bool:
    """Tell whether a file system might take a name for that of a partial file."""
    return _PARTIAL.fullmatch(unicodedata.normalize("NFKC", part).casefold()) is not None
