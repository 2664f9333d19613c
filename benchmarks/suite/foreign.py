"""Decoders of foreign layouts, against what Python programs use in their place.

The bytes of many frames are given to each decoder at once, as one large read would. Twisted and
construct are measured where they have a decoder for such frames; ``by hand`` is a loop as programs
write it, with ``struct`` and slices, without limits and without frames that are cut.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final, TypeAlias

from .pair import FailedError
from .payloads import make_payloads

Decode: TypeAlias = Callable[[bytes], list[Any]]

SIZES: Final = (16, 1024)
CHUNK: Final = 256 * 1024
TARGET: Final = 5
"""The best of the others takes at least so many times as long as the compiled decoder."""
_SAMPLE: Final = 0.05
"""Seconds of one measurement; it has no start-up to make up for."""
_ROUNDS: Final = 5
_FLOOR: Final = """\
At 1024 bytes none can reach that with magic and trailer, nor with a choice: to make and free the
bytes object takes some 875 instructions (callgrind, glibc), and by hand a whole frame takes
4,200 instructions with magic and trailer, 3,900 with a choice."""
_MAGIC: Final = b"\xf9\xbe\xb4\xd9"


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return nanoseconds per frame for each layout, size and decoder."""
    del loop, quick
    rows = [
        _measure_row(name, size, min(seconds, _SAMPLE), max(rounds, _ROUNDS))
        for name in ("netstring", "varint", "magic and trailer", "choice")
        for size in SIZES
    ]
    return {"chunk": CHUNK, "target": TARGET, "rows": rows}


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = []
    for row in data["rows"]:
        times = row["nanoseconds"]
        line = f"{row['layout']:>17} {row['size']:>5} bytes "
        line += ", ".join(f"{name} {each:.0f} ns" for name, each in times.items())
        lines.append(line)
    lines.append(f"Target: the best of the others at least {data['target']}x the compiled decoder.")
    lines.append(_FLOOR)
    return "\n".join(lines)


def _measure_row(name: str, size: int, seconds: float, rounds: int) -> dict[str, Any]:
    count = CHUNK // (size + 8)
    kinds = make_payloads(size)
    payloads = [kinds[number % len(kinds)] for number in range(count)]
    chunk, calls = _CASES[name](payloads)
    expected = len(payloads)
    repeats = {}
    for who, call in calls.items():
        if len(call(chunk)) != expected:
            raise FailedError(f"{who} decodes {name} of {size} bytes wrongly")
        repeats[who] = max(1, int(seconds / _time(call, chunk, 1)))
    times: dict[str, list[float]] = {who: [] for who in calls}
    for _ in range(rounds):
        for who, call in calls.items():
            times[who].append(_time(call, chunk, repeats[who]) / count * 1e9)
    return {
        "layout": name,
        "size": size,
        "nanoseconds": {who: median(each) for who, each in times.items()},
    }


def _time(call: Decode, chunk: bytes, repeats: int) -> float:
    # CPU time: nothing is waited for, and other programs do not count.
    start = time.process_time()
    for _ in range(repeats):
        call(chunk)
    return (time.process_time() - start) / repeats


def _ours(layout: Any) -> dict[str, Decode]:
    """Return the decoders of sealframe: the one in use, and the one in pure Python."""
    # Not before: report.py shows results where sealframe is not installed.
    from sealframe import IMPLEMENTATION
    from sealframe.framing import Framing, _varied_py

    calls: dict[str, Decode] = {f"sealframe ({IMPLEMENTATION})": layout.decoder().feed}
    if IMPLEMENTATION != "python" and isinstance(layout, Framing):
        calls["sealframe (python)"] = _varied_py.Decoder(layout.plan).feed
    return calls


def _netstring(payloads: list[bytes]) -> tuple[bytes, dict[str, Decode]]:
    from sealframe.framing import Digits, Framing

    layout = Framing(length=Digits(until=b":"), trailer=b",")

    def by_hand(data: bytes) -> list[bytes]:
        found, place = [], 0
        while place < len(data):
            colon = data.index(b":", place)
            end = colon + 1 + int(data[place:colon])
            if data[end] != ord(","):
                raise ValueError("no comma")
            found.append(data[colon + 1 : end])
            place = end + 1
        return found

    calls = _ours(layout) | {"by hand": by_hand}
    try:
        from twisted.internet.testing import StringTransport
        from twisted.protocols.basic import NetstringReceiver
    except ImportError:
        pass
    else:

        def twisted(data: bytes) -> list[bytes]:
            found: list[bytes] = []
            receiver: Any = NetstringReceiver()
            receiver.stringReceived = found.append
            receiver.makeConnection(StringTransport())
            receiver.dataReceived(data)
            return found

        calls["Twisted"] = twisted
    return layout.encode_many(payloads), calls


def _varint(payloads: list[bytes]) -> tuple[bytes, dict[str, Decode]]:
    from sealframe.framing import Framing, Varint

    layout = Framing(offset=1, length=Varint(4))

    def by_hand(data: bytes) -> list[bytes]:
        found, place = [], 0
        while place < len(data):
            place += 1
            size = shift = 0
            while True:
                byte = data[place]
                place += 1
                size |= (byte & 127) << shift
                if byte < 128:
                    break
                shift += 7
            found.append(data[place : place + size])
            place += size
        return found

    calls = _ours(layout) | {"by hand": by_hand}
    if (c := _construct()) is not None:
        frame = c.Struct("type" / c.Byte, "body" / c.Prefixed(c.VarInt, c.GreedyBytes))
        calls["construct"] = c.GreedyRange(frame).parse
    return layout.encode_many(payloads), calls


def _magic(payloads: list[bytes]) -> tuple[bytes, dict[str, Decode]]:
    from sealframe.framing import Framing

    layout = Framing(magic=_MAGIC, offset=4, byteorder="big", trailer=b"\xce")
    unpack = struct.Struct("!4sI").unpack_from

    def by_hand(data: bytes) -> list[bytes]:
        found, place = [], 0
        while place < len(data):
            magic, size = unpack(data, place)
            end = place + 8 + size
            if magic != _MAGIC or data[end] != 0xCE:
                raise ValueError("no frame")
            found.append(data[place + 8 : end])
            place = end + 1
        return found

    calls = _ours(layout) | {"by hand": by_hand}
    if (c := _construct()) is not None:
        frame = c.Struct(
            c.Const(_MAGIC), "body" / c.Prefixed(c.Int32ub, c.GreedyBytes), c.Const(b"\xce")
        )
        calls["construct"] = c.GreedyRange(frame).parse
    return layout.encode_many(payloads), calls


def _choice(payloads: list[bytes]) -> tuple[bytes, dict[str, Decode]]:
    from sealframe.framing import Choice, Framing

    short = Framing(offset=2, width=2, byteorder="big", strip=0)
    wide = Framing(offset=1, width=4, byteorder="big", strip=0)
    layout = Choice({b"$": short, b"+": wide}.get, head=1)
    chunk = layout.encode_many(_with_heads(payloads))
    read_short, read_wide = struct.Struct("!H").unpack_from, struct.Struct("!I").unpack_from

    def by_hand(data: bytes) -> list[bytes]:
        found, place = [], 0
        while place < len(data):
            if data[place] == ord("$"):
                end = place + 4 + read_short(data, place + 2)[0]
            elif data[place] == ord("+"):
                end = place + 5 + read_wide(data, place + 1)[0]
            else:
                raise ValueError("no frame")
            found.append(data[place:end])
            place = end
        return found

    calls = _ours(layout) | {"by hand": by_hand}
    if (c := _construct()) is not None:
        bodies = {
            b"$": c.Struct(c.Byte, "body" / c.Prefixed(c.Int16ub, c.GreedyBytes)),
            b"+": c.Struct("body" / c.Prefixed(c.Int32ub, c.GreedyBytes)),
        }
        frame = c.Struct("type" / c.Bytes(1), "rest" / c.Switch(c.this.type, bodies, c.Error))
        calls["construct"] = c.GreedyRange(frame).parse
    return chunk, calls


def _with_heads(payloads: list[bytes]) -> Iterator[bytes]:
    for number, payload in enumerate(payloads):
        yield (b"$\0\0\0" if number % 2 else b"+\0\0\0\0") + payload


def _construct() -> Any:
    try:
        import construct
    except ImportError:
        return None
    return construct


_CASES: Final[dict[str, Callable[[list[bytes]], tuple[bytes, dict[str, Decode]]]]] = {
    "netstring": _netstring,
    "varint": _varint,
    "magic and trailer": _magic,
    "choice": _choice,
}
