"""``sealframe keygen`` and ``sealframe public``: new keys, and their public half."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from .. import PrivateKey, SharedKey
from . import words
from .errors import EXIT_CODES, complain
from .output import Output
from .sealing import FILE

# Elsewhere a new file has the permissions of its folder.
_YOURS = "; only you can read that file" if os.name == "posix" else ""


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=FILE, required=False)
@click.option("--shared", is_flag=True, help="Make a shared key instead, the same for both ends.")
@click.option(
    "--words",
    "with_words",
    is_flag=True,
    help=f"Print a new passphrase of {words.COUNT} words instead, for --passphrase.",
)
def keygen(file: Path | None, shared: bool, with_words: bool) -> None:
    """Make a new private key in FILE, an identity, and print its public key.

    FILE is never overwritten and, except on Windows, nobody but you can read it. It
    stays on this machine; the public key is no secret. If stdout is not a terminal,
    the public key alone is printed.

    A shared key (--shared) has to be copied to every machine, and whoever holds it
    can pose as any of them, the server included.
    """
    if with_words:
        if file is not None or shared:
            raise click.UsageError("--words makes no key: leave out FILE and --shared")
        _words(Output())
    elif file is None:
        raise click.UsageError("give the FILE that the key is to be in")
    elif shared:
        _shared(file, Output())
    else:
        _private(file, Output())


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=FILE)
def public(file: Path) -> None:
    """Print the public key that belongs to the private key in FILE."""
    Output().line(str(PrivateKey.load(file).public_key))


def _private(file: Path, output: Output) -> None:
    key = PrivateKey.generate()
    key.save(file)
    if output.terminal:
        output.line(f"A new private key is in {file}{_YOURS}.", "bold")
        output.line("It stays on this machine. Its public key, which others may know:")
    output.line(str(key.public_key), "cyan")


def _shared(file: Path, output: Output) -> None:
    SharedKey.generate().save(file)
    name = shlex.quote(os.fspath(file))
    output.line(f"A new shared key is in {file}{_YOURS}.", "bold")
    output.line("Copy it to each machine that takes part, over a way that you trust. Then:")
    output.line(f"  sealframe serve 0.0.0.0:1234 --key {name}", "cyan")
    output.line(f"  sealframe chat HOST:1234 --key {name}", "cyan")
    output.line("Whoever has the file can join, read everything, and pose as the server.")


def _words(output: Output) -> None:
    passphrase, bits = words.passphrase()
    output.line(passphrase, "cyan")
    advice = f"{words.COUNT} words at random, {bits:.0f} bits; both ends need them, in this order"
    if output.terminal:
        output.line(advice)
    else:
        complain(advice)
