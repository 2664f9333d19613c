"""The catalogue itself: names, texts, and how entries are found."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from sealframe import ConfigurationError
from sealframe.framing import layouts
from sealframe.framing.layouts import ENTRIES, Entry, get, search

from .page import PAGE, with_table
from .recordings import RECORDINGS

each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
ONE_WAY = {"syslog-counted", "syslog-lines", "x11-requests", "x11-replies"}
"""Layouts that one end alone uses: there is nothing to be said of the other."""


@each
def test_the_constant_is_the_layout(entry: Entry) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", entry.name)
    assert getattr(layouts, entry.constant) is entry.layout
    assert entry.constant in layouts.__all__


def test_every_constant_has_an_entry() -> None:
    constants = {name for name in layouts.__all__ if name.isupper()} - {"ENTRIES", "FIELDS"}
    assert {entry.constant for entry in ENTRIES} == constants
    assert len(ENTRIES) == len(constants)


@each
def test_the_texts_are_sentences(entry: Entry) -> None:
    assert entry.title
    assert entry.source
    for name in ("pipelining", "empty_frames", "first_packet", "heartbeats", "limits", "notes"):
        text = getattr(entry, name)
        assert text == text.strip()
        assert "  " not in text, name
        assert not text or text.endswith("."), name


@each
def test_the_notes_say_where_only_one_end_is_recorded(entry: Entry) -> None:
    recordings = [recording for recording in RECORDINGS if recording.entry == entry.name]
    assert bool(recordings) == bool(entry.recorded)
    senders = {stream.sender for recording in recordings for stream in recording.streams}
    if len(senders) < 2 and entry.name not in ONE_WAY:
        assert re.search("recorded|There are no bytes", entry.notes)


@each
def test_ports_are_ports(entry: Entry) -> None:
    assert all(0 < port < 65_536 for port in entry.ports)


def test_get() -> None:
    assert get("modbus-tcp") is get("MODBUS_TCP")
    assert get("modbus-tcp").layout is layouts.MODBUS_TCP


def test_get_of_a_name_that_is_not_there_says_what_is() -> None:
    with pytest.raises(ConfigurationError, match=r"'modbus'; did you mean modbus-tcp\?"):
        get("modbus")
    with pytest.raises(ConfigurationError, match="'xyzzy'; sealframe layouts lists all"):
        get("xyzzy")


@pytest.mark.parametrize("text", ["modbus", "MBAP", "modbus mbap", "502", "Modbus_TCP"])
def test_search_finds(text: str) -> None:
    assert search(text)[0].name == "modbus-tcp"


def test_search_finds_all_or_nothing() -> None:
    assert search("") == list(ENTRIES)
    assert search("modbus xyzzy") == []


def test_importing_sealframe_does_not_import_it() -> None:
    program = "import sealframe, sys; print('sealframe.framing.layouts' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_the_page_has_the_catalogue() -> None:
    """``python tests/framing/layouts/page.py`` writes it."""
    text = PAGE.read_text(encoding="utf-8")
    assert with_table(text) == text
