"""The decoders alone, against a C loop that does nothing but make the ``bytes`` objects.

Both ways into a decoder are measured: ``feed`` with bytes, and ``get_buffer`` with
``buffer_updated``, through which connections use it. In the latter the copy that the
kernel would make into the buffer is part of the time, for the loop too.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, Final, TypeAlias

from .pair import FailedError
from .payloads import make_payloads

Split: TypeAlias = Callable[[Any], list[Any]]

SIZES: Final = (16, 128, 1024, 4096, 16 * 1024)
CHUNK: Final = 256 * 1024
"""What one read from a socket gives at most."""
TARGET: Final = 1.25
"""Time of the compiled decoder, in times of the loop's."""
_SAMPLE: Final = 0.05
"""Seconds of one measurement; it has no start-up to make up for."""
_ROUNDS: Final = 9
"""At least; they are short."""


def measure(*, seconds: float, rounds: int, loop: str, quick: bool) -> dict[str, Any]:
    """Return nanoseconds per frame for each size, way and decoder."""
    del loop, quick
    rounds = max(rounds, _ROUNDS)
    split = _compile_loop()
    rows = [
        _measure_row(size, way, split, min(seconds, _SAMPLE), rounds)
        for way in ("feed", "get_buffer")
        for size in SIZES
    ]
    return {"chunk": CHUNK, "target": TARGET, "rows": rows}


def show(data: dict[str, Any]) -> str:
    """Return the results as text."""
    lines = [f"{'way':>10} {'bytes':>6} {'C loop':>9} {'compiled':>20} {'pure Python':>20}"]
    for row in data["rows"]:
        line = f"{row['way']:>10} {row['size']:>6} {row['nanoseconds']['loop']:>6.0f} ns"
        for name in ("c", "python"):
            if name in row["nanoseconds"]:
                line += f" {row['nanoseconds'][name]:>8.0f} ns ={row['ratios'][name][0]:>6.2f}x"
            else:
                line += f" {'not installed':>20}"
        lines.append(line)
    lines.append(f"Target: compiled at most {data['target']}x the loop, on a median.")
    return "\n".join(lines)


def _measure_row(size: int, way: str, split: Split, seconds: float, rounds: int) -> dict[str, Any]:
    frames = CHUNK // (size + 4)
    payloads = make_payloads(size)
    chunk = b"".join(
        size.to_bytes(4, "little") + payloads[number % len(payloads)] for number in range(frames)
    )
    calls = {"loop": _loop_call(split, way)}
    for name, decoder in _decoders().items():
        calls[name] = _decoder_call(decoder, way)
    repeats = {}
    for name, call in calls.items():
        if call(chunk) != split(chunk):
            raise FailedError(f"{name} decodes {size} byte frames wrongly")
        repeats[name] = max(1, int(seconds / _time(call, chunk, 3)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(_time(call, chunk, repeats[name]) / frames * 1e9)
    ratios = {}
    for name in calls:
        each = [time / loop for time, loop in zip(times[name], times["loop"], strict=True)]
        ratios[name] = [median(each), min(each), max(each)]
    nanoseconds = {name: median(each) for name, each in times.items()}
    return {"way": way, "size": size, "nanoseconds": nanoseconds, "ratios": ratios}


def _time(call: Split, chunk: bytes, repeats: int) -> float:
    # CPU time: nothing is waited for, and other programs do not count.
    start = time.process_time()
    for _ in range(repeats):
        call(chunk)
    return (time.process_time() - start) / repeats


def _loop_call(split: Split, way: str) -> Split:
    if way == "feed":
        return split
    buffer = memoryview(bytearray(CHUNK))

    def call(chunk: bytes) -> list[Any]:
        view = buffer[: len(chunk)]
        view[:] = chunk
        return split(view)

    return call


def _decoder_call(decoder: Any, way: str) -> Split:
    if way == "feed":
        return decoder.feed  # type: ignore[no-any-return]
    get_buffer, buffer_updated = decoder.get_buffer, decoder.buffer_updated

    def call(chunk: bytes) -> list[Any]:
        view = get_buffer()
        view[: len(chunk)] = chunk
        return buffer_updated(len(chunk))  # type: ignore[no-any-return]

    return call


def _decoders() -> dict[str, Any]:
    # Not before: report.py shows results where sealframe is not installed.
    from sealframe.framing import NATIVE, _codec_py

    decoders: dict[str, Any] = {}
    try:
        from sealframe.framing import _codec
    except ImportError:
        pass
    else:
        decoders["c"] = _codec.Decoder(NATIVE.layout)
    decoders["python"] = _codec_py.Decoder(NATIVE.layout)
    return decoders


def _compile_loop() -> Split:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise FailedError("the C loop to compare with needs a C compiler, and there is none")
    source = Path(__file__).with_name("bytes_loop.c")
    include = sysconfig.get_path("include")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"bytes_loop{sysconfig.get_config_var('EXT_SUFFIX')}"
        options = ["-O2", "-shared", "-fPIC", f"-I{include}"]
        subprocess.run([compiler, *options, str(source), "-o", str(library)], check=True)
        spec = importlib.util.spec_from_file_location("bytes_loop", library)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.split  # type: ignore[no-any-return]
