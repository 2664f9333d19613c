"""The group of all commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import click

from .chat import chat
from .clients import clients
from .cluster_status import cluster
from .completion import completion
from .dashboard import dashboard
from .decrypt import decrypt
from .demo.command import demo
from .doctor import doctor
from .ending import ended, show_all_characters
from .errors import EXIT_CODES, Exit, complain
from .explain import explain
from .invite import invite
from .keygen import keygen, public
from .layouts import layouts
from .logs import log_of_a_command
from .outbox import outbox
from .receive import receive
from .send import send
from .send_file import send_file
from .serve import serve
from .versions import print_versions

if TYPE_CHECKING:
    from .workers.worker import Worker


@click.group(
    epilog=EXIT_CODES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=print_versions,
    help="Show the version, how it runs, and exit.",
)
@click.option(
    "-v",
    "--verbose",
    "verbosity",
    count=True,
    help="Print the library's log on stderr, from how it runs on; -vv with each frame.",
)
@click.pass_context
def sealframe_command(context: click.Context, verbosity: int) -> None:
    """Messages between programs over one socket, sealed with --identity or --key.

    Try "sealframe demo" first: it needs nothing.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        context.exit(Exit.USAGE)
    context.with_resource(log_of_a_command(verbosity))


for _command in (
    keygen,
    public,
    serve,
    invite,
    clients,
    cluster,
    dashboard,
    chat,
    send,
    outbox,
    receive,
    send_file,
    layouts,
    demo,
    doctor,
    decrypt,
    completion,
    explain,
):
    sealframe_command.add_command(_command)


def run(arguments: Sequence[str] | None = None, worker: Worker | None = None) -> NoReturn:
    """Run the command, print an error as one line, and exit.

    :param arguments: in place of those of the process
    :param worker: which of several processes this is
    """
    show_all_characters()
    sys.exit(ended(lambda: _run(arguments, worker)))


def _run(arguments: Sequence[str] | None, worker: Worker | None) -> int | None:
    try:
        # click returns the code of its own early exits, such as --help.
        code: int | None = sealframe_command(
            arguments, prog_name="sealframe", standalone_mode=False, obj=worker
        )
        return code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else _named(arguments)
        complain(f"{error.format_message().rstrip('.')}; see {path} --help")
        return error.exit_code
    except click.Abort:
        return Exit.INTERRUPTED


def _named(arguments: Sequence[str] | None) -> str:
    """Return the command that was given, for an error of click that does not know its own."""
    first = (sys.argv[1:] if arguments is None else arguments)[:1]
    known = [name for name in first if name in sealframe_command.commands]
    return " ".join(["sealframe", *known])
