"""python-xlib with the X server of Debian 12.

``apt-get install xvfb; pip install python-xlib==0.33``
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable

from Xlib import X, display

from .recording import Tap, package, save, stream, wait_for

PORT = 6000 + 77


def padded(size: int) -> int:
    """To a multiple of 4."""
    return (size + 3) // 4 * 4


def once(first: Callable[[bytes], int], then: Callable[[bytes], int]) -> Callable[[bytes], int]:
    """Return a cut that takes one function for the first frame and another for the others."""
    functions = iter([first])

    def size_of(data: bytes) -> int:
        return next(functions, then)(data)

    return size_of


def setup_size_of(data: bytes) -> int:
    """Section 8: byte order, version, and the lengths of two strings, each padded."""
    sizes = (int.from_bytes(data[n : n + 2], "little") for n in (6, 8))
    return 12 + sum(map(padded, sizes))


def request_size_of(data: bytes) -> int:
    """Section 1: the length in units of 4 bytes; 0 means that 4 bytes of length follow."""
    units = int.from_bytes(data[2:4], "little")
    return 4 * (units or int.from_bytes(data[4:8], "little"))


def setup_reply_size_of(data: bytes) -> int:
    """Section 8: the length of what follows 8 bytes, in units of 4."""
    return 8 + 4 * int.from_bytes(data[6:8], "little")


def reply_size_of(data: bytes) -> int:
    """32 bytes; replies, and GenericEvent, tell how many units of 4 follow."""
    more = int.from_bytes(data[4:8], "little") if data[0] & 0x7F in (1, 35) else 0
    return 32 + 4 * more


def main() -> None:
    """A window, atoms, a picture, events."""
    process = subprocess.Popen(
        ["Xvfb", ":77", "-listen", "tcp", "-ac", "-screen", "0", "64x64x24", "-nolisten", "unix"]
    )
    try:
        wait_for(PORT)
        tap = Tap(("127.0.0.1", PORT), 6000 + 78)
        client = display.Display("127.0.0.1:78")
        root = client.screen().root
        atom = client.intern_atom("STOCK_PARTS")
        window = root.create_window(0, 0, 10, 10, 0, 24, event_mask=X.PropertyChangeMask)
        window.change_property(atom, atom, 8, b"bolt" * 100)
        window.get_full_property(atom, atom)
        window.map()
        root.query_tree()
        client.list_extensions()
        client.sync()
        while client.pending_events():
            client.next_event()
        number = client.display.info.release_number
        client.close()
    finally:
        process.terminate()
        process.wait()
    server = f"Xvfb {number // 100_000 % 100}.{number // 1000 % 100}.{number % 1000}"
    passed = tap.connections[0]
    requests = once(setup_size_of, request_size_of)
    save(
        "x11-requests",
        "x11-requests",
        __file__,
        [stream(passed.client, package("python-xlib"), requests)],
    )
    replies = once(setup_reply_size_of, reply_size_of)
    save("x11-replies", "x11-replies", __file__, [stream(passed.server, server, replies)])


main()
