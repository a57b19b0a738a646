"""What a person looks at before a branch lands."""

from runner.domain.frozen import dataclass
from runner.domain.landing.changes import Change, Commit, Text, UncommittedFile


@dataclass(frozen=True)
class Flag:
    """A changed path that someone should look at first, and why."""

    path: str
    reason: str
    committed: bool


@dataclass(frozen=True)
class Uncommitted:
    """What lies in the worktree beside the branch; the diff is of its tracked files."""

    files: list[UncommittedFile]
    diff: Text | None


@dataclass(frozen=True)
class Review:
    """A branch against `fork`, where it left base (None: unrelated histories).

    `synced` is false where the instance could not be asked for its newest commits. `uncommitted`
    is None where that could not be seen; the diffs are None where they were not asked for.
    """

    id: str
    branch: str
    base: str
    base_commit: str
    head: str
    fork: str | None
    synced: bool
    ahead: int
    behind: int
    commits: list[Commit]
    files: list[Change]
    flagged: list[Flag]
    diff: Text | None
    uncommitted: Uncommitted | None
