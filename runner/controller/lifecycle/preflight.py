"""What keeps new instances from working, as far as it can be known before anything is made: `up`
refuses it, `config check` and `doctor` name it."""

from collections.abc import Callable, Iterator

from runner.adapters.git.private import require_complete
from runner.controller.instance.container import require_source
from runner.controller.instance.copies import Copies, copies_of
from runner.controller.instance.private_git import require_no_submodules
from runner.controller.project import Project
from runner.domain.errors import RunnerError, UncommittedChanges
from runner.domain.text import listed

Check = Callable[[], None]


def require_possible(project: Project, copies: Copies) -> None:
    """Raises ConfigError for a partial clone, files that cannot be copied and mounts without a
    source, Refused for files that git-crypt cannot read here."""
    for check in _checks(project, copies):
        check()


def uncommitted(project: Project, copies: Copies) -> list[str]:
    """Paths of the main checkout with changes that no instance sees; what instances get a copy of
    is none."""
    copied = {*copies.files, *copies.links}
    found = project.repository.git.uncommitted(project.repository.checkout)
    return [name for name in found if name not in copied]


def require_clean(project: Project, copies: Copies) -> None:
    """Raises UncommittedChanges where anything is uncommitted in the main checkout."""
    names = uncommitted(project, copies)
    if names:
        raise UncommittedChanges(
            f"{project.repository.checkout} has uncommitted changes, which new instances would not "
            f"have: {listed(names)}.",
            hint="Commit or stash them (git stash -u), or leave out --require-clean.",
        )


def obstacles(project: Project) -> Iterator[RunnerError]:
    """Every reason for which `up` would refuse new instances of base."""
    git, base = project.repository.git, project.base
    start = git.newest(base)[0] or base
    checks: list[Check] = [
        *_checks(project, copies_of(project)),
        lambda: require_no_submodules(git, start, base),
    ]
    for check in checks:
        try:
            check()
        except RunnerError as error:
            yield error


def _checks(project: Project, copies: Copies) -> list[Check]:
    git = project.repository.git
    return [
        lambda: require_complete(git.settings()),
        git.require_unlocked,
        copies.require_possible,
        lambda: _require_mounts(project),
    ]


def _require_mounts(project: Project) -> None:
    for mount in project.user.sandbox.mounts:
        require_source(mount.source, mount.target)
