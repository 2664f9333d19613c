"""``sealframe dashboard``: a web page of what a running server, or a cluster, is doing."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TextIO

import click
from click.core import ParameterSource

from ..dashboard.access import Access
from ..dashboard.serving import check_installed, show
from ..dashboard.source import Source, SourceError
from .address import TcpAddress, http_address
from .control import control_of_server_option
from .errors import EXIT_CODES, CommandError, Exit
from .logs import tell_errors_once
from .output import Output
from .pages import Page, note_on, tell
from .running import run
from .stopping import stop_signals
from .watching import ControlSource

_DEFAULT = "127.0.0.1:8080"


@asynccontextmanager
async def shown_at(
    source: Source, address: TcpAddress, *, token: bool = False, hosts: tuple[str, ...] = ()
) -> AsyncIterator[Page]:
    """Serve a dashboard meanwhile; give its URL, and what to say of it.

    :param token: whether there is one at loopback too
    :param hosts: names by which browsers reach it
    :raises ListenError: the address cannot be used
    """
    host = address.host
    access = Access(host, secrets.token_urlsafe(32) if token else None, hosts)
    async with show(source, host, address.port, access) as page:
        yield Page(page.url, note_on(host))


@click.command(epilog=EXIT_CODES)
@click.argument("address", callback=http_address, default=_DEFAULT)
@control_of_server_option
@click.option(
    "--cluster",
    metavar="URL",
    help="Show the servers of a cluster instead: the URL is that of NATS, as in "
    '"serve --cluster URL".',
)
@click.option("--url-file", type=click.File(), help="A file that has that URL in it.")
@click.option("--name", default="default", show_default=True, help="The name of the cluster.")
@click.option(
    "--token",
    is_flag=True,
    help="Let in at 127.0.0.1 too only those who have the token that is printed, as behind a "
    "proxy you should. Elsewhere there is always one.",
)
@click.option(
    "--host-name",
    "hosts",
    metavar="NAME",
    multiple=True,
    help="A name by which browsers reach the page, beside localhost and addresses: that of a "
    "proxy, without a port. There is a token then. May be given more than once.",
)
@click.pass_context
def dashboard(
    context: click.Context,
    address: TcpAddress,
    control: Path | None,
    cluster: str | None,
    url_file: TextIO | None,
    name: str,
    token: bool,
    hosts: tuple[str, ...],
) -> None:
    """Serve a web page at ADDRESS that shows what a running server is doing.

    The server is a "sealframe serve" or "sealframe receive" with --control; "serve --dashboard"
    has a page of its own. It shows clients, rates, queues, round trips, sessions and refusals,
    and changes nothing. A server that ends is waited for.

    ADDRESS is 127.0.0.1:8080 unless given, where everybody on this machine may look. At other
    addresses the URL that is printed has a token in it. There is no TLS: from another machine
    rather use ssh -L 8080:127.0.0.1:8080 HOST. Needs the extra sealframe[dashboard].
    """
    if sum(given is not None for given in (control, cluster, url_file)) != 1:
        raise click.UsageError("give either --control PATH of a running server, or --cluster URL")
    if control is not None and context.get_parameter_source("name") is not ParameterSource.DEFAULT:
        raise click.UsageError("--name is that of a cluster: give it with --cluster URL")
    check_installed()
    tell_errors_once()
    if url_file is not None:
        cluster = url_file.read().strip()
    watched = _server(control) if control is not None else _cluster(cluster or "", name)
    sys.exit(run(_show(watched, address, token, hosts), terminated=Exit.DONE))


async def _show(
    watched: AbstractAsyncContextManager[Source],
    address: TcpAddress,
    token: bool,
    hosts: tuple[str, ...],
) -> Exit:
    output = Output(asyncio.current_task())
    async with watched as source:
        try:
            await source.look([])
        except SourceError as error:
            raise CommandError(str(error)) from None
        async with shown_at(source, address, token=token, hosts=hosts) as page:
            stopped = stop_signals(lambda: None)
            tell("dashboard", page, output)
            output.line("Ctrl-C ends it.", "dim")
            return await stopped


@asynccontextmanager
async def _server(control: Path) -> AsyncIterator[Source]:
    source = ControlSource(control)
    try:
        yield source
    finally:
        await source.close()


@asynccontextmanager
async def _cluster(url: str, name: str) -> AsyncIterator[Source]:
    from ..cluster.observer import Observer
    from .cluster_watching import ClusterSource

    async with Observer(url, name=name) as observer:
        yield ClusterSource(observer, name)
