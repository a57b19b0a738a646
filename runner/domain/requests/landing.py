"""merge, review, conflicts, pr."""

from typing import Literal

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
from runner.domain.landing.comparison import Conflicts
from runner.domain.landing.outcomes import Merged, exit_code_of
from runner.domain.landing.pull_request import Opened
from runner.domain.landing.review import Review
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Merges(Answer):
    queues: tuple[Merged, ...] = ()
    """One for each branch that instances land in."""

    @property
    def exit_code(self) -> int:
        """1 for a red gate, 4 for refused or conflicting, 0 when everything landed."""
        return super().exit_code or exit_code_of(self.queues)


@dataclass(frozen=True, kw_only=True)
class Merge(Request[Merges]):
    """Merge instances back into the branches they started from: each candidate is tested in a
    throwaway instance, and what lands is exactly what was tested."""

    verb = "merge"

    ids: tuple[str, ...] = ()
    """Which ones; without any the one in whose worktree we stand."""
    everything: bool = False
    """All instances of the repository that have something new."""
    order: Literal["auto", "given"] = "auto"
    """auto: the order in which most land without conflict."""
    gates: tuple[str, ...] = ()
    """Gates besides those of treedock.yaml."""
    no_gate: bool = False
    """Land untested."""
    push: bool | None = None
    """Whether base is pushed; null: where it is at its remote."""
    keep: bool = False
    """Leave the instances there after landing."""
    message: str | None = None
    """Subject of the merge commits."""
    width: int | None = None
    """Candidates tested at once."""
    dry_run: bool = False
    """Build and test, land nothing."""
    into: str | None = None
    """The branch to land in; by default the one that each instance started from."""


@dataclass(frozen=True, kw_only=True)
class Undone(Answer):
    run: str = ""
    """The run that was asked for."""
    done: str = ""
    """What was put back, as a sentence."""


@dataclass(frozen=True, kw_only=True)
class Undo(Request[Undone]):
    """Put base back to before a run."""

    verb = "merge --undo"

    run: str
    """The run, or 'last'."""


@dataclass(frozen=True, kw_only=True)
class Reviewed(Answer):
    review: Review | None = None
    """What the branch brings; code inside can write all of it."""


@dataclass(frozen=True, kw_only=True)
class Look(Request[Reviewed]):
    """Show what an instance's branch brings: commits, files, diff, and what is uncommitted."""

    verb = "review"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    patches: bool = True
    """With the diffs themselves."""


@dataclass(frozen=True, kw_only=True)
class Comparison(Answer):
    bases: tuple[Conflicts, ...] = ()
    """How the instances meet, for each branch that some land in."""


@dataclass(frozen=True, kw_only=True)
class Compare(Request[Comparison]):
    """Show which instances conflict with base and with each other, and the order to merge in."""

    verb = "conflicts"

    ids: tuple[str, ...] = ()
    """Which ones; without any all of them."""


@dataclass(frozen=True, kw_only=True)
class PullRequest(Answer):
    pull_request: Opened | None = None
    """What became of it."""


@dataclass(frozen=True, kw_only=True)
class OpenPullRequest(Request[PullRequest]):
    """Run the gates on an instance's branch merged into base, push it, and open a pull request."""

    verb = "pr"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    title: str | None = None
    """Its title; by default the purpose, or the first commit."""
    body: str | None = None
    """Its description; by default the purpose and the commits."""
    labels: tuple[str, ...] = ()
    """Its labels."""
    draft: bool = False
    """As a draft."""
    no_gate: bool = False
    """Push it untested."""
