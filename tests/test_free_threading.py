"""Pythons without the GIL: nothing switches it on again, and threads find nothing broken."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from compiled import ROOT, compiled

from sealframe.framing import IMPLEMENTATION, Digits, Framing

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
THREADS = 4
CALLS = 20_000
"""Of each thread: with fewer, threads that are not kept apart often go unseen."""


def together(work: Callable[[], Any]) -> None:
    """Run the same in several threads at once; raise what one of them raised."""
    ready = threading.Barrier(THREADS)

    def run() -> None:
        ready.wait()
        work()

    with ThreadPoolExecutor(THREADS) as pool:
        for running in [pool.submit(run) for _ in range(THREADS)]:
            running.result()


@pytest.mark.parametrize("source", sorted((ROOT / "ext").glob("*.pyx")), ids=lambda path: path.stem)
def test_every_extension_declares_that_it_needs_no_gil(source: Path) -> None:
    directives = [line for line in source.read_text().splitlines() if line.startswith("# cython:")]
    assert any("freethreading_compatible=True" in line for line in directives)


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has the GIL")
def test_the_gil_stays_off_and_no_warning_is_given() -> None:
    lines = [
        "import sys, sealframe, sealframe.aio.fast_path, sealframe.noise.cipher",
        "assert not sys._is_gil_enabled()",
        "print(sealframe.IMPLEMENTATION)",
    ]
    subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(lines)], check=True, timeout=60)


@pytest.mark.parametrize(
    "layouts",
    [
        pytest.param([Framing()], id="fixed"),
        # The plan that was made last is kept for the next decoder: here it never is the right one.
        pytest.param([Framing(length=Digits(4)), Framing(length=Digits(5))], id="varied"),
    ],
)
def test_decoders_of_several_threads_never_share_their_memory(layouts: list[Framing]) -> None:
    def decode() -> None:
        mine = f"{threading.get_ident():020}".encode()
        for number in range(CALLS):
            layout = layouts[number % len(layouts)]
            wire = layout.encode(mine)
            decoder = layout.decoder()
            decoder.get_buffer()[: len(wire)] = wire
            assert decoder.buffer_updated(len(wire)) == [mine]

    together(decode)


# With the GIL a collection of garbage may let another thread in, which is told that it is busy.
@pytest.mark.skipif(not FREE_THREADED, reason="this Python has the GIL")
@pytest.mark.parametrize("layout", [Framing(), Framing(length=Digits(4))], ids=["fixed", "varied"])
def test_a_compiled_decoder_takes_what_several_threads_feed_piece_by_piece(layout: Framing) -> None:
    compiled("framing._codec")
    if IMPLEMENTATION != "c":
        pytest.skip("the decoders in pure Python are for one thread at a time")
    decoder = layout.decoder()
    wire = layout.encode_many([bytes(200)] * 5)
    taken: list[list[Any]] = []

    def feed() -> None:
        # A list of its own: the threads would wait for each other at one that they share.
        mine = [decoder.feed(wire) for _ in range(CALLS)]
        taken.extend(mine)

    together(feed)
    assert [len(frames) for frames in taken] == [5] * CALLS * THREADS


def test_a_compiled_cipher_gives_no_nonce_to_two_threads() -> None:
    module = compiled("noise._record_cipher")
    used: list[bytes] = []

    class Recorder:
        def encrypt(self, nonce: bytes, data: bytes, more: None) -> bytes:
            used.append(nonce)
            return data

    class Cipher(module.RecordCipher):  # type: ignore[misc, name-defined]
        def rekey(self) -> None:
            pass

        def wake(self) -> Recorder:
            aead = Recorder()
            self.aead = aead
            return aead

    cipher: Any = Cipher()
    cipher.next_nonce = 0

    def seal() -> None:
        for number in range(CALLS):
            cipher.seal_record(b"")
            if number % 10 == 0:
                # As other ciphers do, when many are awake.
                cipher.aead = None

    together(seal)
    assert len(set(used)) == len(used) == CALLS * THREADS
