"""`complete-sessions completion`: the script that lets a shell complete what is typed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from worker.app.process.streams import say
from worker.cli.fish import Fish

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands, options and file names.

    \b
    Put it where the shell looks, and open a new one:
      bash  ~/.local/share/bash-completion/completions/complete-sessions
      zsh   _complete-sessions, in a directory that $fpath names
      fish  ~/.config/fish/completions/complete-sessions.fish
    """
    root = context.find_root()
    program = root.info_name or ""
    variable = f"_{program}_COMPLETE".replace("-", "_").upper()
    maker = Fish if shell == "fish" else get_completion_class(shell)
    assert maker is not None
    say(maker(root.command, {}, program, variable).source())
