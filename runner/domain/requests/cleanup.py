"""clean."""

from dataclasses import field

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
from runner.domain.instance.archive import Archive
from runner.domain.requests.request import Request

NAMED = 1000  # ignored files that an answer names


@dataclass(frozen=True)
class Cleaned:
    """What became of one instance."""

    id: str
    removed: list[str]
    """What was removed, or with `dry_run` would be: sentences such as 'worktree /.../auth'."""
    archives: list[Archive] = field(default_factory=list)
    """What stays of it: one, and that of an earlier `clean` that was cut off; none where the disk
    is full and only logs would be in it."""
    would_keep: list[str] = field(default_factory=list)
    """With `dry_run` what would be in an archive beside the logs."""
    ignored: list[str] = field(default_factory=list)
    """Ignored files that went with the worktree and are in no archive, the first thousand; a
    folder that is a repository is one, with a '/'."""
    ignored_count: int = 0
    """How many these are in all."""


@dataclass(frozen=True, kw_only=True)
class Cleanup(Answer):
    dry_run: bool = False
    """Whether this is only what would be removed."""
    cleaned: tuple[Cleaned, ...] = ()
    """What became of each instance that could go."""
    held_back: tuple[str, ...] = ()
    """Instances that could go, and stay because another one was refused."""


@dataclass(frozen=True, kw_only=True)
class Clean(Request[Cleanup]):
    """Remove all that treedock made for instances; refuses where work would be lost."""

    verb = "clean"

    ids: tuple[str, ...] = ()
    """Which ones; without any the one in whose worktree we stand."""
    everything: bool = False
    """All instances of the repository."""
    merged: bool = False
    """Those whose commits base holds, squashed or not."""
    stale: bool = False
    """Those without a commit or up for limits.stale_days."""
    dry_run: bool = False
    """Only find out what would be removed."""
    force_dirty: bool = False
    """Put uncommitted changes into an archive."""
    force_unmerged: bool = False
    """Put commits held by no other branch into an archive."""
    force: bool = False
    """Both of these."""
    keep_ignored: bool = False
    """Put ignored files into the archive as well."""
    each: bool = False
    """Remove the others where one of several is refused."""
