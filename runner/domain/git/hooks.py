"""Git hooks of a repository: which of them run inside, and what installs them there."""

import re
from collections.abc import Collection, Sequence

from runner.domain.frozen import dataclass

COPIED = ("pre-commit", "prepare-commit-msg", "commit-msg")
"""What `git: {hooks: copy}` copies: the hooks that judge a commit."""

_INSTALLER = re.compile(
    r"(?:^|[\s;&|/])(?:(?:pre-commit|lefthook|husky)\s+install\b|husky\s*(?:$|[;&|])"
    r"|simple-git-hooks\b|git\s+config\s+(?:--local\s+)?core\.hooksPath\b)"
)


@dataclass(frozen=True)
class Hooks:
    """The hooks in the folder that git takes them from, as far as no branch brings them.
    `relative`: core.hooksPath names a folder of the work tree, whose hooks git ignores."""

    folder: str
    names: tuple[str, ...]
    relative: bool = False


def installs_hooks(run: str) -> bool:
    """Whether a set-up step installs git hooks; it writes into the git directory alone."""
    return _INSTALLER.search(run) is not None


def omitted_hooks(hooks: Hooks, *, copied: bool, steps: Collection[str]) -> Sequence[str]:
    """The hooks that do not run inside: none where one of the set-up `steps` installs hooks."""
    if any(installs_hooks(run) for run in steps):
        return ()
    taken = COPIED if copied and not hooks.relative else ()
    return tuple(name for name in hooks.names if name not in taken)


def way_in(hooks: Hooks, *, copied: bool) -> str:
    """How the hooks come to run inside."""
    step = 'Let a set-up step install them, e.g. setup: [{run: "uvx pre-commit install"}]'
    if copied or hooks.relative or not set(COPIED) & set(hooks.names):
        return f"{step}."
    return f"{step}; or copy those that judge a commit: git: {{hooks: copy}}."
