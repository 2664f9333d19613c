#!/bin/sh
# mido: in a Standard MIDI File an event F7 is either the next packet of a system exclusive message that
# an event F0 began, or an "escape": bytes of any kind that are to be sent as they are (Standard MIDI
# Files 1.1, "Track Chunks", <sysex event>). mido reads every F7 as if it were F0. The specification's
# own example, one message in three packets, becomes three whole messages, each with an F0 and an F7 that
# the file does not have, and is saved so. A file whose escape holds a song select (F3 01) cannot be
# loaded at all.
#
# Seen with mido 1.3.3 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check mido==1.3.3
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import io
import platform

import mido


def load(*events):
    track = b"".join(map(bytes.fromhex, events)) + bytes.fromhex("00 FF 2F 00")
    header = b"MThd" + (6).to_bytes(4, "big") + bytes.fromhex("0000 0001 0060")
    return mido.MidiFile(file=io.BytesIO(header + b"MTrk" + len(track).to_bytes(4, "big") + track))


print(f"mido {importlib.metadata.version('mido')}, CPython {platform.python_version()}")
packets = ("00 F0 03 431200", "8148 F7 06 431200431200", "64 F7 04 431200F7")
wanted = "F0 43 12 00 43 12 00 43 12 00 43 12 00 F7"
song = load(*packets)
seen = [message.hex() for message in song.tracks[0] if message.type == "sysex"]
print("one message in three packets:", wanted)
print("mido has:", *seen, sep="\n    ")
assert seen == ["F0 43 12 00 F7", "F0 43 12 00 43 12 00 F7", "F0 43 12 00 F7"], seen

saved = io.BytesIO()
song.save(file=saved)
events = saved.getvalue()[22:]
print("saved again:", events.hex(" "))
assert b"\xf7\x06" not in events and events.count(b"\xf0") == 3, events

try:
    load("00 F7 02 F301")
except ValueError as error:
    print("an escape that sends F3 01: ValueError:", error)
else:
    raise SystemExit("this is not what was seen before")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
