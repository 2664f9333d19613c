"""The head that Python's own connections write before 2 GiB and more; the rest is not sent."""

from __future__ import annotations

import mmap
import socket
import sys
import threading
from contextlib import suppress

import pytest

from sealframe import FrameTooLargeError
from sealframe.framing import Framing
from sealframe.framing.layouts import MULTIPROCESSING

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or sys.maxsize < 2**32,
    reason="needs a connection over a socket, and more than 4 GiB of addresses",
)
SIZE = 2**31 + 5


@pytest.fixture(scope="module")
def head() -> bytes:
    from multiprocessing.connection import Connection

    ours, theirs = socket.socketpair()
    sending = Connection(theirs.detach())

    def send() -> None:
        # Pages that nobody wrote to take no memory.
        with mmap.mmap(-1, SIZE) as zeros, suppress(OSError), memoryview(zeros) as view:
            sending.send_bytes(view)

    thread = threading.Thread(target=send)
    thread.start()
    with ours:
        received = ours.recv(12, socket.MSG_WAITALL)
    thread.join()
    sending.close()
    return received


def test_is_a_length_of_8_bytes_behind_minus_1(head: bytes) -> None:
    assert head == b"\xff\xff\xff\xff" + SIZE.to_bytes(8, "big")
    larger = Framing(length=MULTIPROCESSING.length, maximum=2**40)
    decoder = larger.decoder()
    assert decoder.feed(head) == []
    assert decoder.frame_size == 12 + SIZE


def test_is_over_the_limit_of_the_catalogue(head: bytes) -> None:
    with pytest.raises(FrameTooLargeError, match=str(SIZE)):
        MULTIPROCESSING.decoder().feed(head)
