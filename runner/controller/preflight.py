"""What keeps new instances from working, as far as it can be known before anything is made: `up`
refuses it, `config check` and `doctor` name it."""

from collections.abc import Callable, Iterator

from runner.adapters.own_git import require_complete
from runner.controller.opening import Project
from runner.controller.own_git import require_no_submodules
from runner.domain.errors import RunnerError, UncommittedChanges
from runner.domain.text import listed


def require_possible(project: Project) -> None:
    """Raises Refused for a partial clone and for files that git-crypt cannot read here,
    ConfigError for files that cannot be copied."""
    require_complete(project.repository.git.settings())
    project.repository.git.require_unlocked()
    project.copies.require_possible()


def uncommitted(project: Project) -> list[str]:
    """Paths of the main checkout with changes that no instance sees; what instances get a copy of
    is none."""
    copied = {*project.copies.files, *project.copies.links}
    found = project.repository.git.uncommitted(project.repository.checkout)
    return [name for name in found if name not in copied]


def require_clean(project: Project) -> None:
    """Raises UncommittedChanges where anything is uncommitted in the main checkout."""
    names = uncommitted(project)
    if names:
        raise UncommittedChanges(
            f"{project.repository.checkout} has uncommitted changes, which new instances would not "
            f"have: {listed(names)}.",
            hint="Commit or stash them (git stash -u), or leave out --require-clean.",
        )


def obstacles(project: Project) -> Iterator[RunnerError]:
    """Every reason for which `up` would refuse new instances of base."""
    git, base = project.repository.git, project.base
    start = git.newest(base)[0]
    checks: list[Callable[[], None]] = [
        lambda: require_complete(git.settings()),
        git.require_unlocked,
        lambda: require_no_submodules(git, start or base, base),
        project.copies.require_possible,
    ]
    for check in checks:
        try:
            check()
        except RunnerError as error:
            yield error
