"""shell-init and completion: what a person's shell evaluates."""

import click

_SHELLS = click.Choice(["bash", "zsh", "fish"])

_POSIX = """
td() {
  if [ "$#" -eq 0 ]; then echo "usage: td ID" >&2; return 2; fi
  local folder
  folder="$(command treedock path "$@")" || return
  cd -- "$folder"
}
"""

_FISH = """
function td --description 'Go to the worktree of a treedock instance'
    if test (count $argv) -eq 0
        echo "usage: td ID" >&2
        return 2
    end
    set -l folder (command treedock path $argv); or return
    cd -- $folder
end
"""


_ZSH_NEEDS = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command("shell-init")
@click.argument("shell", type=_SHELLS)
def shell_init_command(shell: str) -> None:
    """Print the function `td ID`, which goes to a worktree, and the completion.

    For bash: put  eval "$(treedock shell-init bash)"  into ~/.bashrc.
    """
    click.echo(_FISH if shell == "fish" else _POSIX)
    click.echo(_completion(shell))


@click.command("completion")
@click.argument("shell", type=_SHELLS)
def completion_command(shell: str) -> None:
    """Print the completion script of a shell."""
    click.echo(_completion(shell))


def _completion(shell: str) -> str:
    from click.shell_completion import ShellComplete, get_completion_class

    from runner.cli.main import treedock

    found = get_completion_class(shell)
    assert found is not None  # click has all of _SHELLS
    # click asks the installed bash for its version while it prints; any bash from 4.4 on works.
    complete: ShellComplete = found(treedock, {}, "treedock", "_TREEDOCK_COMPLETE")
    script = complete.source_template % complete.source_vars()
    return _ZSH_NEEDS + script if shell == "zsh" else script
