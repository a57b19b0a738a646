"""What keeps new instances from working, as far as it can be known before anything is made: `up`
refuses it, `config check` and `doctor` name it."""

from collections.abc import Callable, Iterator

from runner.adapters.own_git import require_complete
from runner.controller.opening import Project
from runner.controller.own_git import require_no_submodules
from runner.domain.errors import RunnerError


def require_possible(project: Project) -> None:
    """Raises Refused for a partial clone and for files that git-crypt cannot read here,
    ConfigError for files that cannot be copied."""
    require_complete(project.repository.git.settings())
    project.repository.git.require_unlocked()
    project.copies.require_possible()


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
