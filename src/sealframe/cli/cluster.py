"""``serve --cluster``: relays that are one, over NATS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import click

from .output import Output
from .sealing import Command

if TYPE_CHECKING:
    from ..cluster import Cluster

LOCAL: Final = "local"
"""In place of a URL: a NATS server of its own."""


def cluster_option(command: Command) -> Command:
    """Add ``--cluster`` to a server; the command gets it as ``cluster``, None for none."""
    return click.option(
        "--cluster",
        metavar="URL",
        help="Be one relay with all others that have the same URL of NATS, nats://HOST:4222: what "
        'a client of one says, those of all get. "local" starts a NATS server on this machine, to '
        "try it out, and says its URL. Needs the extra sealframe[cluster].",
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
    from ..cluster.local_nats import LocalNats

    if url != LOCAL:
        yield Cluster(url)
        return
    async with LocalNats() as nats:
        output.line(f"NATS for others on this machine: --cluster {nats.url}", "dim")
        yield Cluster(nats.url)
