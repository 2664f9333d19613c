#!/bin/sh
# stomp.py: STOMP 1.0 has no escapes in headers; they came with 1.1 (STOMP 1.1, "Value Encoding"). A
# connection of 1.0, Connection10, sends values as they are, and rightly so, yet turns "\n", "\c" and
# "\\" of the values that it receives into a newline, a colon and a backslash. So the header that one
# such connection has sent is another one when the next has it: of "C:\new\cases" there is "C:",
# a newline and "ew:ases".
#
# Seen with stomp.py 9.0.0 on CPython 3.11; this prints what it sees, and fails where that changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check stomp.py==9.0.0
cat > "$folder/program.py" <<'PROGRAM'
import importlib.metadata
import platform
import queue
import re
import socket
import threading

import stomp

PATH = r"C:\new\cases"


def broker(listening, sent):
    """As much of a broker of STOMP 1.0 as gives the first message that is sent to its sender."""
    sock, _ = listening.accept()
    with sock, sock.makefile("rb") as incoming:

        def frame():
            return b"".join(iter(lambda: incoming.read(1), b"\0"))

        frame()
        sock.sendall(b"CONNECTED\nsession:1\n\n\0")
        value = re.search(rb"^path:(.*)$", frame(), re.MULTILINE).group(1)
        sent.put(value.decode())
        sock.sendall(b"MESSAGE\ndestination:/queue/q\nmessage-id:1\npath:" + value + b"\n\nbody\0")
        frame()


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.frames = queue.Queue()

    def on_message(self, frame):
        self.frames.put(frame)


print(f"stomp.py {importlib.metadata.version('stomp.py')}, CPython {platform.python_version()}")
sent = queue.Queue()
with socket.create_server(("127.0.0.1", 0)) as listening:
    thread = threading.Thread(target=broker, args=(listening, sent), daemon=True)
    thread.start()
    connection = stomp.Connection10([listening.getsockname()])
    listener = Listener()
    connection.set_listener("", listener)
    connection.connect(wait=True)
    connection.send("/queue/q", "body", headers={"path": PATH})
    on_wire = sent.get(timeout=30)
    received = listener.frames.get(timeout=30).headers["path"]
    connection.disconnect()
    thread.join(30)
print(f"given:       {PATH!r}\non the wire: {on_wire!r}, and back the same\nreceived:    {received!r}")
assert on_wire == PATH, on_wire
assert received == "C:\new:ases", received
print("as described: a value without escapes is unescaped")
PROGRAM
"$folder/venv/bin/python" "$folder/program.py"
