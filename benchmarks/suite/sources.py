"""Which sealframe the figures are of: the commit, and a hash of the sources that a row exercises.

Comments, docstrings and empty lines do not count, in Python nor in Cython. A change of anything
else makes the figures old, whether it costs time or not: nothing but a measurement can tell.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from functools import cache
from typing import Final

from .against import ROOT

_MESSAGES: Final = ("ext", "framing", "wire", "core", "aio", "noise", "buffers.py", "options.py")
_CONNECTIONS: Final = (*_MESSAGES, "trust", "server", "client")
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "aes_gcm": (),
    "decoder": ("ext", "framing"),
    "foreign": ("ext", "framing"),
    "broadcast": (*_MESSAGES, "server"),
    "connect": _CONNECTIONS,
    "idle": _CONNECTIONS,
    "growth": _CONNECTIONS,
    "file": (*_MESSAGES, "files"),
    "long_links": (*_MESSAGES, "files"),
    "sessions": _CONNECTIONS,
}
"""``ext``, packages and modules, by the beginning of a row's id; of the other rows: messages."""

_BESIDE: Final = ("framing/layouts", "framing/inference")
"""What describes layouts and finds them, and takes no part in any message."""

_WORDLESS: Final = re.compile(
    r"""
    ^[ \t]*(?P<quotes>\"{3}|'{3}).*?(?P=quotes)[ \t]*(?:\#[^\n]*)?$  # a docstring
    | (?P<string>(?P<triple>\"{3}|'{3}).*?(?P=triple)|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
    | [ \t]*\#[^\n]*
    """,
    re.DOTALL | re.MULTILINE | re.VERBOSE,
)


def sources_of(row: str) -> str:
    """Return a hash of the sources that a row exercises.

    :param row: its id
    """
    name = next((name for name in _PARTS if row.startswith(name)), "")
    return _hash(_PARTS.get(name, _MESSAGES))


def measured_commit() -> str:
    """Return the commit that is here, with a ``+`` if its sources were changed; or nothing."""
    try:
        commit = _git("rev-parse", "--short=7", "HEAD").strip()
        return commit + "+" * bool(_git("status", "--porcelain", "--", "src", "ext").strip())
    except (OSError, subprocess.CalledProcessError):
        return ""


def without_words(source: str) -> str:
    """Return Python or Cython without comments, docstrings and empty lines."""
    stripped = _WORDLESS.sub(lambda found: found["string"] or "", source)
    return "\n".join(line.rstrip() for line in stripped.splitlines() if line.strip())


@cache
def _hash(parts: tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for part in parts:
        place = ROOT / "ext" if part == "ext" else ROOT / "src" / "sealframe" / part
        files = [
            path for path in place.rglob("*") if path.suffix in (".py", ".pyx", ".pxd", ".pxi")
        ]
        beside = tuple(ROOT / "src" / "sealframe" / part for part in _BESIDE)
        for path in sorted(files or [place]):
            if any(path.is_relative_to(part) for part in beside):
                continue
            name = path.relative_to(ROOT).as_posix()
            text = without_words(path.read_text(encoding="utf-8"))
            found.update(f"{name}\n{len(text)}\n{text}\n".encode())
    return found.hexdigest()[:16]


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout
