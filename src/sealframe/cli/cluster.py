"""``serve --cluster``: relays that are one, over NATS."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .output import Output
from .sealing import Command

if TYPE_CHECKING:
    from ..cluster import Cluster, LocalNats

LOCAL: Final = "local"
"""In place of a URL: a NATS server of its own."""


def cluster_option(command: Command) -> Command:
    """Add ``--cluster`` to a server; the command gets it as ``cluster``, None for none."""
    return click.option(
        "--cluster",
        metavar="URL",
        help="Be one relay with all others that have the same URL of NATS, nats://HOST:4222: what "
        'a client of one says, those of all get. "local" starts a NATS server on this machine, to '
        "try it out, and says its URL. A list of processes shows what a URL has in it to be let "
        "in. Needs the extra sealframe[cluster].",
    )(command)


@asynccontextmanager
async def clustered(url: str | None, output: Output) -> AsyncIterator[Cluster | None]:
    """Give what ``sealframe.serve`` takes as ``cluster``; None without a URL.

    :raises MissingExtraError: the extra is not installed
    """
    if url is None:
        yield None
        return
    from ..cluster import Cluster

    if url != LOCAL:
        yield Cluster(url)
        return
    async with _local_nats(output) as nats:
        yield Cluster(nats.url)


@asynccontextmanager
async def _local_nats(output: Output) -> AsyncIterator[LocalNats]:
    from ..cluster.local_nats import LocalNats

    async with LocalNats() as nats:
        output.line(f"NATS for others on this machine: --cluster {nats.url}", "dim")
        yield nats


@contextmanager
def _url_file(url: str) -> Iterator[Path]:
    """Write a URL that lets one in to a file that only this user can read, for as long as the block
    lasts; give its path."""
    with tempfile.TemporaryDirectory(prefix="sealframe-workers-") as folder:
        file = Path(folder) / "nats"
        file.touch(mode=0o600, exist_ok=False)
        file.write_text(url, encoding="utf-8")
        yield file


@asynccontextmanager
async def nats_of_workers(url: str | None, output: Output) -> AsyncIterator[str]:
    """Give the URL of NATS for several processes; without one they have a NATS of their own, which
    nobody else is let in to.

    :raises MissingExtraError: the extra is not installed
    """
    from ..cluster.local_nats import LocalNats

    if url is None:
        async with LocalNats(token=secrets.token_hex()) as nats:
            with _url_file(nats.url) as file:
                output.line(f"how they are: sealframe cluster status --url-file {file}", "dim")
                yield nats.url
    elif url == LOCAL:
        async with _local_nats(output) as nats:
            yield nats.url
    else:
        yield url
