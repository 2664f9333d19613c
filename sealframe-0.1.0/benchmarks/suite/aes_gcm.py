"""AES-256-GCM alone: no sealed connection can be faster than this."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

SIZES: Final = (128, 4096, 64 * 1024)
_SAMPLE: Final = 0.1
"""Seconds of one measurement; it has no start-up to make up for."""


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return bytes per second, to seal and to open, for each size of record."""
    # Not before: report.py shows results where nothing is installed.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    del loop, quick
    aead, nonce, ad = AESGCM(bytes(32)), bytes(12), b""
    rows = []
    for size in SIZES:
        plaintext = bytes(size)
        ciphertext = aead.encrypt(nonce, plaintext, ad)
        rates: dict[str, list[float]] = {"seal": [], "open": []}
        for _ in range(rounds):
            # The same nonce again and again: nothing is secret here.
            for name, call, data in (
                ("seal", aead.encrypt, plaintext),
                ("open", aead.decrypt, ciphertext),
            ):
                calls = _calls_per_second(call, nonce, data, ad, min(seconds, _SAMPLE))
                rates[name].append(calls * size)
        rows.append({"size": size, **{name: median(each) for name, each in rates.items()}})
    return {"rows": rows}


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = [f"{'record':>7} {'seal':>12} {'open':>12}"]
    lines += [
        f"{row['size']:>7} {row['seal'] / 1e6:>7.0f} MB/s {row['open'] / 1e6:>7.0f} MB/s"
        for row in data["rows"]
    ]
    return "\n".join(lines)


def _calls_per_second(
    call: Callable[[bytes, bytes, bytes], bytes],
    nonce: bytes,
    data: bytes,
    ad: bytes,
    seconds: float,
) -> float:
    # CPU time: nothing is waited for, and other programs do not count.
    calls = 0
    start = time.process_time()
    while (passed := time.process_time() - start) < seconds:
        for _ in range(100):
            call(nonce, data, ad)
        calls += 100
    return calls / passed
