"""``sealframe completion``: what a shell needs to complete the commands and their options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .errors import EXIT_CODES

_NAME = "sealframe"
_VARIABLE = "_SEALFRAME_COMPLETE"
"""Where the script says what it asks for: as click calls it for a program of that name."""


@click.command(epilog=EXIT_CODES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes sealframe in SHELL: commands, options, files.

    \b
    bash: in ~/.bashrc   eval "$(sealframe completion bash)"
    zsh:  in ~/.zshrc, after compinit
                         eval "$(sealframe completion zsh)"
    fish:                sealframe completion fish > \\
                             ~/.config/fish/completions/sealframe.fish

    An installation has the same scripts in share/, where packages of a system have
    theirs. bash has to be 4.4 or newer.
    """
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(context.find_root().command, {}, _NAME, _VARIABLE).source(), nl=False)
