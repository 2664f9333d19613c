"""The option ``--key FILE``, which seals."""

from __future__ import annotations

from pathlib import Path

import click

from sealframe import SharedKey


def load(ctx: click.Context, param: click.Parameter, value: Path | None) -> SharedKey | None:
    """Read the key file that was named."""
    return None if value is None else SharedKey.load(value)


key_option = click.option(
    "--key",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=load,
    help="Seal with the shared key in FILE; both ends need the same. Made by: sealframe keygen",
)
