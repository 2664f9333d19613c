"""Fuzzes one target with atheris until it is told to stop or finds something.

Usage: python -m fuzzing.worker TARGET [LIBFUZZER ARGUMENT]...
"""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Instrument sealframe, then hand over to libFuzzer, which ends the process."""
    atheris = import_module("atheris")
    name, *arguments = sys.argv[1:]
    # Every comparison with bytes of the input guides the fuzzer, as every branch does. What
    # is imported before this is not seen.
    with atheris.instrument_imports(include=["sealframe"]):
        targets = import_module("fuzzing.targets")
        import_module("sealframe.noise.handshake")
        import_module("sealframe.noise.cipher")

    def test_one_input(data: bytes) -> None:
        targets.run(name, data)

    atheris.Setup([sys.argv[0], *arguments], test_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
