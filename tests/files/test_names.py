"""Names from a peer: what is taken is safe on every system."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealframe.errors import FileRefusedError
from sealframe.files import checked_name
from sealframe.files.paths import is_partial, partial_name
from sealframe.files.store import Store
from sealframe.wire import FileRefusal

from .receiving import content, receive, refused

GOOD = [
    "a",
    "report.pdf",
    "a/b/c",
    "a..b",
    "a/b.c",
    "~",
    " leading",
    "naïve",
    "nai\u0308ve",
    "日本語/ファイル",
    "console",
    "com10",
    "nullify.txt",
    "a.CON",
    "x" * 255,
    "é" * 127,
    "/".join("x" * 32),
    "x.0123456789abcdef.part",
]

HIDDEN = [
    ".profile",
    ".ssh/authorized_keys",
    "a/.config/autostart/x",
    "a/.b",
    "..a",
    "...a/b",
    ".x.part",
    ".x.0123456789abcde.part",
]

HOSTILE = [
    ("", "a part is empty"),
    (".", "a part is '.'"),
    ("..", "a part is '..'"),
    ("../etc/passwd", "a part is '..'"),
    ("a/../../b", "a part is '..'"),
    ("a/./b", "a part is '.'"),
    ("/etc/passwd", "absolute"),
    ("//server/share", "absolute"),
    ("a//b", "a part is empty"),
    ("a/", "a part is empty"),
    ("C:/x", "character ':'"),
    ("C:", "character ':'"),
    ("file:stream", "character ':'"),
    ("..\\..\\x", r"character '\\\\'"),
    ("\\\\server\\share", r"character '\\\\'"),
    ("a\0b", r"character '\\x00'"),
    ("a\nb", r"character '\\n'"),
    ("a\x1b[2J", r"character '\\x1b'"),
    ("a\x7f", r"character '\\x7f'"),
    ("a\x85b", r"character '\\x85'"),
    *((f"a{character}", "character") for character in '<>"|?*'),
    # Turned around by the one who shows it, "invoiceexe.pdf".
    ("invoice\u202efdp.exe", r"character '\\u202e'"),
    ("a\u2066b", r"character '\\u2066'"),
    # Of no width, and for some file systems not there at all.
    ("a\u200bb", r"character '\\u200b'"),
    (".s\u200csh/authorized_keys", r"character '\\u200c'"),
    ("\ufeff.profile", r"character '\\ufeff'"),
    ("soft\u00adhyphen", r"character '\\xad'"),
    ("a\u2028b", r"character '\\u2028'"),
    ("a\u2029b", r"character '\\u2029'"),
    ("a.", "dot or a space"),
    ("a ", "dot or a space"),
    ("a /b", "dot or a space"),
    ("...", "dot or a space"),
    ("con", "device"),
    ("NUL", "device"),
    ("a/nul.txt", "device"),
    ("aux.tar.gz", "device"),
    ("Com1", "device"),
    ("LPT9.log", "device"),
    ("com¹", "device"),
    ("PRN .txt", "device"),
    ("CONIN$", "device"),
    ("x" * 256, "255 bytes"),
    ("é" * 128, "255 bytes"),
    ("/".join(["x" * 204] * 5 + ["x"]), "1,024 bytes"),
    ("/".join("x" * 33), "more than 32 parts"),
    ("a\ud800", "not Unicode"),
    (".x.0123456789abcdef.part", "not whole yet"),
    ("a/.x.0123456789ABCDEF.PART", "not whole yet"),
    (".x.0123456789abcde\uff46.part", "not whole yet"),
    (".x.0123456789abcd\ufb00.part/y", "not whole yet"),
]


@pytest.mark.parametrize("name", GOOD)
def test_names_that_are_taken(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_names_are_taken_where_that_is_wanted_alone(
    name: str, store: Store, tmp_path: Path
) -> None:
    """What looks for them trusts them: shells, SSH servers, desktops."""
    for refuse in (checked_name, store.make_directory, lambda name: receive(store, name)):
        with refused(FileRefusal.NAME, "hidden"):
            refuse(name)
    with refused(FileRefusal.NAME, "hidden"):
        store.same(name, 4)
    assert content(store.directory) == {}
    assert checked_name(name, hidden=True) == name
    willing = Store(tmp_path / "all", hidden=True, keep_free=0)
    receive(willing, name)
    with pytest.raises(FileRefusedError, match="\\.\\."):
        receive(willing, "../x")
    assert content(willing.directory)[name] == b"data"


@pytest.mark.parametrize(("name", "why"), HOSTILE)
def test_names_that_are_not_taken(name: str, why: str, store: Store) -> None:
    for take in (checked_name, store.make_directory, lambda name: receive(store, name)):
        with refused(FileRefusal.NAME) as caught:
            take(name)
        assert re.search(why, caught.value.reason)
        assert caught.value.reason.isascii()
        assert caught.value.reason.isprintable()
    assert content(store.directory) == {}


NASTY = st.one_of(
    st.text(max_size=40),
    st.lists(
        st.sampled_from(
            ["..", ".", "", "a", "/", "\\", "C:", "~", "nul", "a.", " ", "\0", "\u2025", "\uff0f"]
        ),
        max_size=6,
    ).map("/".join),
    st.text(alphabet="./\\:aA~ ", max_size=12),
)


@given(NASTY)
@example("\u2025/\u2025")
@example("~/x")
def test_no_name_that_is_taken_leads_out_on_any_system(name: str) -> None:
    try:
        checked_name(name, hidden=True)
    except FileRefusedError:
        return
    for kind, root in ((PurePosixPath, "/r/oot"), (PureWindowsPath, "C:\\r\\oot")):
        path = kind(root, name)
        assert path.is_relative_to(root)
        assert path != kind(root)
        assert ".." not in path.parts
        assert path.parts[len(kind(root).parts) :] == tuple(name.split("/"))
    joined = os.path.normpath(Path("/r/oot") / name)
    assert Path(joined).is_relative_to("/r/oot")


PART = st.text(min_size=1, max_size=300).filter(lambda text: "/" not in text)


@given(PART.map(lambda text: text.encode(errors="ignore")[:255].decode(errors="ignore") or "x"))
@example("é" * 127)
@example("x" * 255)
def test_partial_files_have_names_that_no_peer_may_use(name: str) -> None:
    partial = partial_name(name, b"12345678")
    assert len(partial.encode()) <= 255
    assert is_partial(partial)
    with pytest.raises(FileRefusedError):
        checked_name(partial, hidden=True)
    assert partial.startswith(f".{name[:20]}")


def test_unicode_stays_as_it_is(store: Store) -> None:
    for name in ("nai\u0308ve", "\ufb01le", "K\u212a"):
        receive(store, name)
        assert name in content(store.directory) or sys.platform == "darwin"
