"""Notes what is secret, and what was said, and looks for the one in the other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import logging
import pickle
import traceback
from collections.abc import Iterator

import pytest

from sealframe import Invitation, PrivateKey, SharedKey
from sealframe.noise.cipher import Secret

_PIECE = 6
"""So many bytes in a row of a secret are a leak."""
_LETTERS = 12
"""The same in letters of a text."""


class Secrets:
    """All that must not be seen, in every form in which it could be."""

    def __init__(self) -> None:
        self.raw: set[bytes] = set()
        self.texts: set[str] = set()
        self.encapsulated = 0
        """How often ML-KEM-768 made a secret that was noted."""

    def add(self, *secrets: bytes) -> None:
        """Note secret bytes."""
        self.raw.update(secrets)

    def add_text(self, text: str) -> None:
        """Note a text that is secret from its first letter to its last."""
        self.texts.add(text)

    def add_key(self, key: SharedKey | PrivateKey) -> None:
        """Note a key in both its forms."""
        self.add(key.secret_bytes())
        self.add_text(key.to_text().rpartition("-1")[2])

    def add_invitation(self, invitation: Invitation) -> None:
        """Note its token; the server's public key in front of it is none."""
        self.add(invitation.token)
        # 32 bytes are 51.2 letters.
        self.add_text(invitation.to_text().rpartition("-1")[2][52:-6])

    def pieces(self) -> Iterator[str]:
        """Yield what must not be in anything that was said."""
        for secret in self.raw:
            yield str(list(secret[:_PIECE]))[1:-1]
            for start in range(len(secret) - _PIECE + 1):
                piece = secret[start : start + _PIECE]
                yield piece.hex()
                yield piece.hex(" ")
                yield repr(piece)[2:-1]
            for start in range(3):
                for code in (base64.b64encode, base64.urlsafe_b64encode):
                    encoded = code(secret[start : start + _PIECE]).decode()
                    yield encoded
        for text in self.texts:
            size = min(_LETTERS, len(text))
            for start in range(len(text) - size + 1):
                yield text[start : start + size]

    def found_in(self, said: str) -> list[str]:
        """Return the pieces that stand there, in whatever case, with what is around them."""
        lower = said.lower()
        found = []
        for piece in self.pieces():
            place = lower.find(piece.lower())
            if place >= 0:
                found.append(f"{piece}: ...{said[max(0, place - 200) : place + 100]}...")
        return found


class Said:
    """All that could be read by someone: collected, then searched."""

    def __init__(self) -> None:
        self._out = io.StringIO()
        self.kinds: set[str] = set()
        """Names of the classes whose objects were looked at."""

    def write(self, text: str) -> None:
        """Take note of what was said."""
        self._out.write(text + "\n")

    def text(self) -> str:
        """Return all of it."""
        return self._out.getvalue()

    def show(self, thing: object) -> None:
        """Take note of what an object shows of itself, and of its pickle if it has one."""
        self.kinds.add(type(thing).__name__)
        self.write(f"{thing!r} {thing} {[thing]}")
        if isinstance(thing, Secret):
            with pytest.raises(TypeError, match="holds a secret"):
                pickle.dumps(thing)
            return
        with contextlib.suppress(Exception):
            pickled = pickle.dumps(thing)
            self.write(repr(pickled) + pickled.hex())

    def show_error(self, error: BaseException) -> None:
        """Take note of an exception with all that hangs on it."""
        self.write("".join(traceback.format_exception(error)))
        seen: set[int] = set()
        waiting: list[BaseException | None] = [error]
        while waiting:
            one = waiting.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            self.write(f"{one!r} {one} {one.args!r} {vars(one)!r}")
            self.show(one)
            # Also what "from None" hides: a debugger or an error tracker shows it.
            waiting += [one.__cause__, one.__context__]

    def show_everything(self) -> None:
        """Take note of what each living object of sealframe, task and future shows."""
        for thing in gc.get_objects():
            module = str(type(thing).__module__)
            if module.startswith("sealframe.") or isinstance(thing, asyncio.Future):
                self.show(thing)

    def check(self, secrets: Secrets) -> None:
        """Fail if a secret is in it."""
        assert secrets.raw, "nothing was noted"
        found = secrets.found_in(self.text())
        assert not found, found[0]


class SaidHandler(logging.Handler):
    """Takes note of log records of every level, with all that they hold."""

    def __init__(self, said: Said) -> None:
        super().__init__(logging.DEBUG)
        self._said = said
        self.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self._said.write(self.format(record))
        self._said.write(repr(vars(record)))
        if record.exc_info and record.exc_info[1] is not None:
            self._said.show_error(record.exc_info[1])
