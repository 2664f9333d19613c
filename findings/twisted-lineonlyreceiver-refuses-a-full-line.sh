#!/bin/sh
# Twisted: LineOnlyReceiver takes lines up to MAX_LENGTH, "the maximum length of a line to allow", and calls
# lineLengthExceeded(), which gives the connection up, for one that is longer (its docstring). A line
# of exactly MAX_LENGTH is taken if it comes with its "\r\n" or without both, and refused if the read
# ends between the two: the "\r" is then counted to the line. So it depends on how TCP has cut the
# bytes. LineReceiver takes the same line however it comes.
#
# Seen with Twisted 26.10.0 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check Twisted==26.10.0
cat > "$folder/program.py" <<'PROGRAM'
import platform

import twisted
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import LineOnlyReceiver, LineReceiver

FULL = b"x" * LineOnlyReceiver.MAX_LENGTH + b"\r\n"


def outcome(base, reads):
    """Give these reads to a receiver; say what becomes of the line."""
    taken = []

    class Receiver(base):
        def lineReceived(self, line):
            taken.append(len(line))

    receiver = Receiver()
    transport = StringTransport()
    receiver.makeConnection(transport)
    for read in reads:
        receiver.dataReceived(read)
    return f"takes a line of {taken[0]}" if taken and not transport.disconnecting else "gives the connection up"


print(f"Twisted {twisted.__version__}, CPython {platform.python_version()}; a line of {LineOnlyReceiver.MAX_LENGTH} bytes")
end = len(FULL)
seen = {}
for base in (LineReceiver, LineOnlyReceiver):
    outcomes = {at: outcome(base, [FULL[:at], FULL[at:]]) for at in range(1, end + 1)}
    for name, at in (("in one", end), ("cut before CR", end - 2), ("cut before LF", end - 1), ("cut elsewhere", 1)):
        print(f"{base.__name__:16} {name:13}: {outcomes[at]}")
    seen[base] = [at - end for at, text in outcomes.items() if not text.startswith("takes")]
assert seen == {LineReceiver: [], LineOnlyReceiver: [-1]}, seen
print("as described: the one cut between CR and LF makes a line of allowed length too long")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
