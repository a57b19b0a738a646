"""The hooks of the main repository: which of them run inside, and how the others come there."""

from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.controller.instance.private_git import own_git
from runner.controller.operation import Operation
from runner.controller.project import Project
from runner.domain.git import hooks
from runner.domain.text import listed


def omitted_hooks(project: Project) -> tuple[str, str] | None:
    """(what does not run inside, the way out) for hooks that run for the person, or None."""
    git, config = project.repository.git, project.config
    found, copied = git.hooks(project.repository.checkout), config.git.hooks == "copy"
    left = hooks.omitted_hooks(found, copied=copied, steps=[step.run for step in config.setup])
    if not left:
        return None
    message = f"Hooks in {found.folder} do not run inside: {listed(left)}."
    return message, hooks.way_in(found, copied=copied)


def copy_hooks(operation: Operation) -> None:
    """With `git: {hooks: copy}` have the hooks that judge a commit in the own git directory."""
    if operation.config.git.hooks != "copy":
        return
    found, own = operation.git.hooks(operation.repository.checkout), own_git(operation)
    for name in hooks.COPIED:
        if name in found.names and not found.relative:
            data = (Path(found.folder) / name).read_bytes()
            if untrusted.read(own.folder / "hooks" / name, len(data) + 1, below=own.folder) != data:
                disk.write_below(own.folder, f"hooks/{name}", data, mode=0o755)


def reinstall_hooks(operation: Operation) -> None:
    """Have the set-up steps run again that installed hooks into an own git directory which is
    another one now, and those behind them."""
    steps = operation.config.setup
    first = next((n for n, step in enumerate(steps) if hooks.installs_hooks(step.run)), None)
    if first is not None:
        operation.change(setup_done=operation.record.setup_done[:first])
