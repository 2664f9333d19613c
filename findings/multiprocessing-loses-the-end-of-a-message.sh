#!/bin/sh
# multiprocessing: Connection.recv_bytes_into(buf, offset) reads a complete message into buf, "from
# that position" if an offset is given, where buf is any writable bytes-like object and the offset is
# one "less than the length of buffer (in bytes)" (multiprocessing, "Connection Objects"). Into an
# array of items of four bytes it writes whole items alone: of a message of seven bytes the last
# three are lost, though 7 is returned; and at offset 2 the message lies at 0. send_bytes() of the
# same class reads an array at any offset byte by byte, as the documentation says.
#
# Seen with CPython 3.11 to 3.15; this prints what it sees, and fails where that changes. PYTHON
# names another interpreter than python3. It installs nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/program.py" <<'PROGRAM'
import array
import multiprocessing
import platform


def received(message, buffer, offset):
    """Send the message through a pipe into the buffer; return what is said and the buffer's bytes."""
    here, there = multiprocessing.Pipe()
    with here, there:
        here.send_bytes(message)
        said = there.recv_bytes_into(buffer, offset)
    return said, memoryview(buffer).tobytes()


print(f"CPython {platform.python_version()}")
seen = []
for message, offset in ((b"ABCDEFG", 0), (b"ABCDEFGH", 2)):
    for name, buffer in (("bytearray(12)", bytearray(12)), ("array of 3 x 4 bytes", array.array("I", [0] * 3))):
        said, there = received(message, buffer, offset)
        print(f"{message} at {offset} into {name:20}: says {said}, the buffer has {there}")
        seen.append((said, there))

here, there = multiprocessing.Pipe()
with here, there:
    here.send_bytes(array.array("I", [0x44434241, 0x48474645]), 2, 5)
    print(f"send_bytes() of an array from byte 2 on, 5 of them: {there.recv_bytes()}")

assert seen[0] == (7, b"ABCDEFG" + bytes(5)), seen
assert seen[1] == (7, b"ABCD" + bytes(8)), seen
assert seen[2] == (8, bytes(2) + b"ABCDEFGH" + bytes(2)), seen
assert seen[3] == (8, b"ABCDEFGH" + bytes(4)), seen
print("as described: an array loses the end of the message, and takes it at another position")
PROGRAM
"${PYTHON:-python3}" "$folder/program.py"
