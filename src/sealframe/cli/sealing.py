"""The options that all commands with a connection share: ``--key`` and ``--passphrase``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import click

from .. import PrivateKey, SharedKey
from .asking import PASSPHRASE_VARIABLE, Handshakes, passphrase_key

Command: TypeAlias = Callable[..., None]

FILE: Any = click.Path(path_type=Path)


def shared_key_options(command: Command) -> Command:
    """Add the options of a shared key."""
    for option in (
        click.option(
            "--passphrase",
            is_flag=True,
            help="Seal with a passphrase: it is asked for, or taken from the environment "
            f"variable {PASSPHRASE_VARIABLE}. Made by: sealframe keygen --words",
        ),
        click.option(
            "--key",
            metavar="FILE",
            type=FILE,
            help="Seal with the shared key in FILE; both ends need the same. "
            "Made by: sealframe keygen --shared",
        ),
    ):
        command = option(command)
    return command


def check_one_way(key: Path | None, passphrase: bool, identity: Path | None) -> None:
    """Refuse several ways to seal at once.

    :raises click.UsageError: more than one was given
    """
    if (key is not None) + passphrase + (identity is not None) > 1:
        raise click.UsageError("give only one of --key, --passphrase and --identity")


def shared_key(key: Path | None, passphrase: bool, **how: Unpack[Handshakes]) -> SharedKey | None:
    """Return the shared key that the options name, None where they name none.

    :param how: as of :class:`~sealframe.SharedKey`
    :raises KeyFileError: the file cannot be used
    :raises KeyFormatError: it holds something else, or the passphrase is too weak
    """
    if key is not None:
        return SharedKey.load(key, **how)
    return passphrase_key(**how) if passphrase else None


def private_key(path: Path, *, make: bool) -> PrivateKey:
    """Return the private key in a file.

    :param make: whether a file that is missing is made, with a new key
    """
    if make and not path.exists():
        key = PrivateKey.generate()
        key.save(path)
        return key
    return PrivateKey.load(path)
