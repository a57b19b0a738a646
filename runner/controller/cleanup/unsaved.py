"""What removing an instance would take away for good: uncommitted files, and commits that nobody
else holds, on its branch and on whatever else git inside it knows."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.git import nested, refs
from runner.adapters.git.refs import Holders
from runner.adapters.git.repository import Worktree
from runner.controller.instance.env_files import PORTS_FILE
from runner.controller.instance.private_git import kept_ref, own_git
from runner.controller.operation import Work
from runner.controller.sync.sync import sync
from runner.domain.errors import (
    EngineUnavailable,
    Refused,
    RunnerError,
    UncommittedChanges,
    UnmergedCommits,
    unavailable,
)
from runner.domain.instance.environment import rewritten, without_block
from runner.domain.text import below_each_other, listed, sentences, shell_word

OWN_FOLDER = ".treedock/"
NAMED = 10  # paths or commits that an error names before it counts the rest
EXAMINED = 50  # refs that are compared with base; more count as not merged


@dataclass(frozen=True)
class Place:
    """A ref of the instance whose commits nobody else holds: `name` below its own prefix, 'head'
    for the branch. `counts` is false for what was given up inside already (amended, rebased)."""

    name: str
    id: str
    commit: str | None
    counts: bool


def bring_out(work: Work) -> RunnerError | None:
    """Sync; returns why that is impossible. Raises EngineUnavailable: without an engine nothing
    can be removed either."""
    git, record = work.git, work.record
    try:
        work.repository.require_own(record)
    except Refused as error:
        return error
    gone = git.branch(record.branch) is None and not git.refs(kept_ref(work, "")[:-1])
    if gone and (record.cleaning or not own_git(work).folder.exists()):
        return None  # a clean that was cut off had removed both, or there never was any
    try:
        sync(work)
    except EngineUnavailable:
        raise
    except RunnerError as error:
        return error
    except OSError as error:  # a full disk
        return unavailable(error)
    return None


def uncommitted(work: Work, *, begun: bool) -> list[str]:
    """Paths with uncommitted changes. After a clean that had `begun` to delete files only those
    that are there. Raises Refused or GitFailed where git cannot tell."""
    worktree = _going_worktree(work)
    if worktree is None:
        return []
    dirty = work.git.dirty(worktree)
    if begun:
        dirty = [path for path in dirty if os.path.lexists(worktree / path)]
    return dirty


def _going_worktree(work: Work) -> Path | None:
    """The worktree that goes with the instance, where files were written into it."""
    worktree = Path(work.record.worktree)
    has_files = worktree.is_dir() and work.record.checked_out
    return worktree if has_files and not work.is_copied() else None


def inner_repositories(work: Work) -> list[str]:
    """Folders of the worktree that are repositories of their own with commits of their own, or
    further worktrees of this one, and that git does not see there: below an ignored folder, or
    around tracked files."""
    worktree = _going_worktree(work)
    if worktree is None or not work.git.owns(worktree):
        return []  # what is no worktree of this repository stays whole
    linked = [os.path.relpath(one.path, worktree) for one in _worktrees_below(work)]
    return sorted({*nested.repositories(work.git, worktree), *linked})


def _worktrees_below(work: Work) -> list[Worktree]:
    """Further worktrees of this repository that were added below that of the instance."""
    top = Path(work.record.worktree)
    found = (one for one in work.git.worktrees() if top in one.path.parents)
    return [one for one in found if os.path.lexists(one.path / ".git")]


def ignored(work: Work) -> list[str]:
    """Ignored files that go with the worktree, but for what treedock wrote there itself."""
    worktree = _going_worktree(work)
    if worktree is None:
        return []
    own = {PORTS_FILE, *work.record.copied}
    found = work.git.all_ignored(worktree)
    return [path for path in found if path not in own and not path.startswith(OWN_FOLDER)]


def edited_copies(work: Work) -> list[str]:
    """Ignored files that the instance got a copy of, and that are not as the main checkout has
    them: nobody else may know what stands in them."""
    checkout, worktree = Path(work.record.checkout), Path(work.record.worktree)
    edited = []
    for name in () if work.is_copied() else work.record.copied:
        there = disk.read_untrusted(worktree / name, below=worktree)
        source = Path(os.path.realpath(checkout / name))  # of the person's own link its content
        given = disk.read_untrusted(source) or b""
        copy = rewritten(given, str(checkout), str(worktree))
        if there is not None and len(there) == disk.BOUND:
            edited.append(name)  # more than is looked at
        elif there is not None and _own(there) not in (_own(given), _own(copy)):
            edited.append(name)
    return edited


def _own(data: bytes) -> str:
    """What is not treedock's of an .env file."""
    return without_block(data.decode(errors="surrogateescape")).rstrip("\n")


def places(work: Work, *, archive: str | None = None) -> list[Place]:
    """Where commits are that would become unreachable; the prefix `archive` holds some already."""
    holders = Holders(_going(work), archive)
    found = _candidates(work)
    unheld = refs.unheld(work.git, [p.commit for p in found if p.commit], holders)
    lost = [p for p in found if p.commit is None or p.commit in unheld]
    return [
        place
        for at, place in enumerate(lost)
        if at >= EXAMINED or not place.counts or not _is_integrated(work, place)
    ]


def going_branch(work: Work) -> str | None:
    """The commit of the instance's branch, where that goes with it. A branch that was there
    before stays, and one that is checked out elsewhere."""
    if not work.record.created_branch or holder(work):
        return None
    return work.git.branch(work.record.branch)


def holder(work: Work) -> Path | None:
    """Another worktree in which the instance's branch is checked out."""
    record = work.record
    found = (w.path for w in work.git.worktrees() if w.branch == record.branch)
    return next((path for path in found if str(path) != record.worktree), None)


def require_synced(work: Work, error: RunnerError | None) -> None:
    if error:
        raise Refused(
            sentences(
                f"{work.id}: what was committed inside cannot be brought out.", error.message
            ),
            hint=below_each_other(
                error.hint,
                "Or remove it with its git directory put aside: "
                f"treedock clean {work.id} --force-unmerged",
            ),
        )


def require_on_branch(work: Work) -> None:
    """Raises Refused where the worktree is on another branch on this side, at what was committed
    before: the commits of inside then look like changes here."""
    record, git = work.record, work.git
    worktree = Path(record.worktree)
    branch, ours = git.branch_in(worktree), git.branch(record.branch)
    there = git.head_of(worktree)
    if branch != record.branch and ours and there != ours and git.is_ancestor(there, ours):
        raise Refused(
            f"{work.id}: on this side {record.worktree} is on {branch or 'no branch'}, not on "
            f"{record.branch}, so what was committed inside shows as changes.",
            hint=f"Put it back, the files stay: git -C {record.worktree} symbolic-ref HEAD "
            f"refs/heads/{record.branch} && git -C {record.worktree} reset --quiet",
        )


def require_committed(work: Work, dirty: list[str]) -> None:
    if dirty:
        require_on_branch(work)
        raise UncommittedChanges(
            f"{work.id} has uncommitted changes: {listed(dirty, NAMED)}.",
            hint=below_each_other(
                shows_again(work, dirty),
                f"Commit them in {work.record.worktree}, or have them put aside: "
                f"treedock clean {work.id} --force-dirty",
            ),
        )


def require_no_repositories(work: Work, inner: list[str]) -> None:
    if inner:
        what = "a repository" if len(inner) == 1 else "repositories"
        raise UncommittedChanges(
            f"{work.id} has {what} in its worktree with work that is nowhere else: "
            f"{listed(inner)}.",
            hint=f"Push or move what you need from {work.record.worktree}, or have it put aside: "
            f"treedock clean {work.id} --force-dirty",
        )


def shows_again(work: Work, dirty: Sequence[str]) -> str:
    """Where git was told to pass over some of these files: the command that ends that, for
    the first line of a hint."""
    marked = work.git.passed_over(Path(work.record.worktree), dirty)
    if not marked:
        return ""
    path, option = next(iter(marked.items()))
    command = f"git -C {shell_word(work.record.worktree)} update-index {option}"
    return (
        f"git was told to pass over {listed(list(marked))}; it shows them again after: "
        f"{command} {shell_word(path)}"
    )


def require_merged(work: Work, found: list[Place], *, archive: str | None = None) -> None:
    counting = [place for place in found if place.counts]
    if not counting:
        return
    holders = Holders(_going(work), archive)
    names, seen = list[str](), list[str]()
    for place in counting[:NAMED]:
        assert place.commit, "only commits count"
        where = "" if place.name == "head" else f" ({_label(place.name)})"
        commits = refs.commits_at(work.git, place.commit, holders, seen)
        names += [f"{id_[:10]} {subject}{where}" for id_, subject in commits[:NAMED]]
        seen.append(place.commit)
    total = refs.count_unheld(work.git, [p.commit for p in counting if p.commit], holders)
    count = "a commit" if total == 1 else f"{total} commits"
    raise UnmergedCommits(
        f"{work.id} has {count} that no other branch holds: {listed(names, NAMED, count=total)}.",
        hint=f"Merge or push {work.record.branch}, or have them put aside: "
        f"treedock clean {work.id} --force-unmerged",
    )


def bases(work: Work) -> list[str]:
    """Base here and base at its remote, as far as they exist: a squash merge may be in either."""
    name, git = work.record.base, work.git
    here = [] if name in _going(work) else [f"refs/heads/{name}"]
    found = (git.commit(ref) for ref in [*here, f"refs/remotes/{git.tracking(name)}"])
    return [commit for commit in found if commit]


def _candidates(work: Work) -> list[Place]:
    """Everything that could be lost, the branch first."""
    record, found = work.record, []
    prefix = kept_ref(work, "")[:-1]
    kept = {ref.name: ref for ref in refs.below(work.git, prefix)}
    branch, synced = going_branch(work), kept.pop("head", None)
    if branch:
        found.append(Place("head", branch, branch, counts=True))
    if synced and synced.commit != branch:
        # Where there is a branch, it was rewritten here since.
        there = work.git.branch(record.branch) is not None
        name = "was/synced" if there else "head"
        found.append(Place(name, synced.id, synced.commit, counts=not there))
    for worktree in work.git.worktrees():
        if str(worktree.path) == record.worktree and worktree.branch is None and worktree.head:
            found.append(Place("detached", worktree.head, worktree.head, counts=True))
    if _going_worktree(work):
        heads = (one.head for one in _worktrees_below(work) if one.branch is None)
        for at, head in enumerate(filter(None, heads)):
            found.append(Place(f"detached-{at}", head, head, counts=True))
    kept.pop("base", None)
    for name, ref in sorted(kept.items()):
        counts = ref.commit is not None and not name.startswith("was/")
        found.append(Place(name, ref.id, ref.commit, counts))
    return found


def _going(work: Work) -> list[str]:
    """Branches that are about to be deleted: they hold nothing for anybody."""
    own = [work.record.branch] if going_branch(work) else []
    going = (r for r in work.records.all() if r.cleaning or r.id in work.together)
    others = [record for record in going if record.created_branch and record.id != work.id]
    return own + [record.branch for record in others]


def _is_integrated(work: Work, place: Place) -> bool:
    commit = place.commit
    return commit is not None and any(work.git.is_integrated(commit, b) for b in bases(work))


def _label(name: str) -> str:
    """'inside/heads/spike' for people."""
    if name == "inside-HEAD" or name.startswith("detached"):
        return "a detached HEAD"
    if name.startswith("inside-stash/"):
        return "the stash inside"
    kind, _, rest = name.removeprefix("inside/").partition("/")
    inside = {"heads": f"branch {rest} inside", "tags": f"tag {rest} inside"}
    return inside.get(kind, f"{kind}/{rest} inside" if rest else f"{kind} inside")
