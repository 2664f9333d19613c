"""``sealframe keygen``: a new key file."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from sealframe import SharedKey

from .errors import EXIT_CODES
from .output import Output


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(path_type=Path))
def keygen(file: Path) -> None:
    """Make a new shared key in FILE.

    FILE is never overwritten, and nobody but you can read it. Copy it, over a way
    that you trust, to every machine that takes part.
    """
    SharedKey.generate().save(file)
    output = Output()
    name = shlex.quote(os.fspath(file))
    output.line(f"A new shared key is in {file}; only you can read that file.", "bold")
    output.line("Copy it to each machine that takes part, over a way that you trust. Then:")
    output.line(f"  sealframe serve 0.0.0.0:1234 --key {name}", "cyan")
    output.line(f"  sealframe chat HOST:1234 --key {name}", "cyan")
    output.line("Whoever has the file can join, read everything, and pose as the server.")
