"""What removing an instance would take away for good: uncommitted files, and commits that no one
else holds, on its branch and on whatever else git inside it knows."""

import os
from collections.abc import Sequence
from pathlib import Path

from runner.adapters.files import untrusted
from runner.adapters.git import nested, refs
from runner.adapters.git.access import Worktree
from runner.adapters.git.refs import Holders
from runner.controller.instance.private_git import own_git
from runner.controller.operation import Operation
from runner.controller.sync.attempt import attempt
from runner.domain.errors import (
    Refused,
    RunnerError,
    UncommittedChanges,
    UnmergedCommits,
)
from runner.domain.frozen import dataclass
from runner.domain.instance.environment import PORTS_FILE, rewritten, without_block
from runner.domain.instance.world import World
from runner.domain.text import below_each_other, listed, sentences, shell_word

OWN_FOLDER = ".treedock/"
COPY = 16 * 2**20  # bytes of a copied file that are compared; one that is larger counts as edited
NAMED = 10  # paths or commits that an error names before it counts the rest
EXAMINED = 50  # refs that are compared with base; more count as not merged


@dataclass(frozen=True)
class Place:
    """A ref of the instance whose commits no one else holds: `name` below its own prefix, 'head'
    for the branch. `counts` is false for what was given up inside already (amended, rebased)."""

    name: str
    id: str
    commit: str | None
    counts: bool


def bring_out(operation: Operation) -> RunnerError | None:
    """Sync; returns why that is impossible. Raises EngineUnavailable."""
    git, record = operation.git, operation.record
    try:
        operation.repository.require_own(record)
    except Refused as error:
        return error
    begun = record.cleaning or not own_git(operation).folder.exists()
    if begun and not git.refs(f"refs/heads/{record.git.branch}", operation.names.refs):
        return None  # a clean that was cut off had removed both, or there never was any
    return attempt(operation)


def uncommitted(operation: Operation, *, begun: bool) -> list[str]:
    """Paths with uncommitted changes. After a clean that had `begun` to delete files only those
    that are there. Raises Refused or GitFailed where git cannot tell."""
    worktree = _going_worktree(operation)
    if worktree is None:
        return []
    dirty = operation.git.dirty(worktree)
    if begun:
        dirty = [path for path in dirty if os.path.lexists(worktree / path)]
    return dirty


def _going_worktree(operation: Operation) -> Path | None:
    """The worktree that goes with the instance, where files were written into it."""
    worktree = Path(operation.record.worktree)
    has_files = worktree.is_dir() and operation.record.checked_out
    return worktree if has_files and not operation.is_copied() else None


def inner_repositories(operation: Operation) -> list[str]:
    """Folders of the worktree that are repositories of their own with commits of their own, or
    further worktrees of this one, and that git does not see there: below an ignored folder, or
    around tracked files."""
    worktree = _going_worktree(operation)
    if worktree is None or not operation.git.owns(worktree):
        return []  # what is no worktree of this repository stays whole
    linked = [os.path.relpath(one.path, worktree) for one in _worktrees_below(operation)]
    return sorted({*nested.repositories(operation.git, worktree), *linked})


def _worktrees_below(operation: Operation) -> list[Worktree]:
    """Further worktrees of this repository that were added below that of the instance."""
    top = Path(operation.record.worktree)
    found = (one for one in operation.git.worktrees() if top in one.path.parents)
    return [one for one in found if os.path.lexists(one.path / ".git")]


def ignored(operation: Operation) -> list[str]:
    """Ignored files that go with the worktree, but for what treedock wrote there itself."""
    worktree = _going_worktree(operation)
    if worktree is None:
        return []
    own = {PORTS_FILE, *operation.record.copied}
    found = operation.git.all_ignored(worktree)
    return [path for path in found if path not in own and not path.startswith(OWN_FOLDER)]


def edited_copies(operation: Operation) -> list[str]:
    """Ignored files that the instance got a copy of, and that are not as the main checkout has
    them: no one else may know what stands in them."""
    checkout, worktree = Path(operation.record.checkout), Path(operation.record.worktree)
    edited = []
    for name in () if operation.is_copied() else operation.record.copied:
        there = untrusted.read(worktree / name, COPY, below=worktree)
        source = Path(os.path.realpath(checkout / name))  # of the person's own link its content
        given = untrusted.read(source, COPY) or b""
        copy = rewritten(given, str(checkout), str(worktree))
        if there is not None and len(there) == COPY:
            edited.append(name)  # more than is looked at
        elif there is not None and _own(there) not in (_own(given), _own(copy)):
            edited.append(name)
    return edited


def _own(data: bytes) -> str:
    """What is not treedock's of an .env file."""
    return without_block(data.decode(errors="surrogateescape")).rstrip("\n")


def places(operation: Operation, world: World, *, archive: str | None = None) -> list[Place]:
    """Where commits are that would become unreachable; the prefix `archive` holds some already."""
    branch, prefix = f"refs/heads/{operation.record.git.branch}", operation.names.refs
    known = {ref.name: ref for ref in refs.below(operation.git, prefix, branch)}
    head = known.pop(branch, None)
    doomed = head.id if head and world.doomed_branch(operation.id) else None
    holders = Holders(world.doomed_branches(operation.id, operation.together), archive)
    found = _candidates(operation, known, doomed, is_here=head is not None)
    unheld = refs.unheld(operation.git, [p.commit for p in found if p.commit], holders)
    lost = [p for p in found if p.commit is None or p.commit in unheld]
    return [
        place
        for at, place in enumerate(lost)
        if at >= EXAMINED or not place.counts or not _is_integrated(operation, world, place)
    ]


def require_synced(operation: Operation, error: RunnerError | None) -> None:
    if error:
        raise Refused(
            sentences(
                f"{operation.id}: what was committed inside cannot be brought out.", error.message
            ),
            hint=below_each_other(
                error.hint,
                "Or remove it with its git directory put aside: "
                f"treedock clean {operation.id} --force-unmerged",
            ),
        )


def require_on_branch(operation: Operation) -> None:
    """Raises Refused where the worktree is on another branch on this side, at what was committed
    before: the commits of inside then look like changes here."""
    record, git = operation.record, operation.git
    worktree = Path(record.worktree)
    branch, ours = git.branch_in(worktree), git.branch(record.git.branch)
    there = git.head_of(worktree)
    if branch != record.git.branch and ours and there != ours and git.is_ancestor(there, ours):
        raise Refused(
            f"{operation.id}: on this side {record.worktree} is on {branch or 'no branch'}, not on "
            f"{record.git.branch}, so what was committed inside shows as changes.",
            hint=f"Put it back, the files stay: git -C {record.worktree} symbolic-ref HEAD "
            f"refs/heads/{record.git.branch} && git -C {record.worktree} reset --quiet",
        )


def require_committed(operation: Operation, dirty: list[str], way_out: str) -> None:
    """Raises UncommittedChanges, and Refused where another branch is checked out."""
    if dirty:
        require_on_branch(operation)
        raise UncommittedChanges(
            f"{operation.id} has uncommitted changes: {listed(dirty, NAMED)}.",
            hint=below_each_other(shows_again(operation, dirty), way_out),
        )


def require_no_repositories(operation: Operation, inner: list[str]) -> None:
    if inner:
        what = "a repository" if len(inner) == 1 else "repositories"
        raise UncommittedChanges(
            f"{operation.id} has {what} in its worktree with work that is nowhere else: "
            f"{listed(inner)}.",
            hint=f"Push or move what you need from {operation.record.worktree}, or have it put "
            "aside: "
            f"treedock clean {operation.id} --force-dirty",
        )


def shows_again(operation: Operation, dirty: Sequence[str]) -> str:
    """Where git was told to pass over some of these files: the command that ends that, for
    the first line of a hint."""
    marked = operation.git.passed_over(Path(operation.record.worktree), dirty)
    if not marked:
        return ""
    path, option = next(iter(marked.items()))
    command = f"git -C {shell_word(operation.record.worktree)} update-index {option}"
    return (
        f"git was told to pass over {listed(list(marked))}; it shows them again after: "
        f"{command} {shell_word(path)}"
    )


def require_merged(
    operation: Operation, world: World, found: list[Place], *, archive: str | None = None
) -> None:
    counting = [place for place in found if place.counts]
    if not counting:
        return
    holders = Holders(world.doomed_branches(operation.id, operation.together), archive)
    names, seen = list[str](), list[str]()
    for place in counting[:NAMED]:
        assert place.commit, "only commits count"
        where = "" if place.name == "head" else f" ({_label(place.name)})"
        commits = refs.commits_at(operation.git, place.commit, holders, seen)
        names += [f"{id_[:10]} {subject}{where}" for id_, subject in commits[:NAMED]]
        seen.append(place.commit)
    total = refs.count_unheld(operation.git, [p.commit for p in counting if p.commit], holders)
    count = "a commit" if total == 1 else f"{total} commits"
    raise UnmergedCommits(
        f"{operation.id} has {count} that no other branch holds: "
        f"{listed(names, NAMED, count=total)}.",
        hint=f"Merge or push {operation.record.git.branch}, or have them put aside: "
        f"treedock clean {operation.id} --force-unmerged",
    )


def bases(operation: Operation, world: World) -> list[str]:
    """Base here and base at its remote, as far as they exist: a squash merge may be in either."""
    name, git = operation.record.git.base, operation.git
    going = world.doomed_branches(operation.id, operation.together)
    here = [] if name in going else [f"refs/heads/{name}"]
    found = (git.ref(ref) for ref in [*here, f"refs/remotes/{git.tracking(name)}"])
    return [commit for commit in found if commit]


def _candidates(
    operation: Operation, kept: dict[str, refs.Ref], doomed: str | None, *, is_here: bool
) -> list[Place]:
    """Everything that could be lost, the branch first, which is `doomed` if it goes too; `is_here`
    says whether there is one. `kept` are the instance's own refs."""
    record, found = operation.record, []
    synced = kept.pop("head", None)
    if doomed:
        found.append(Place("head", doomed, doomed, counts=True))
    if synced and synced.commit != doomed:
        # Where there is a branch, it was rewritten here since.
        name = "was/synced" if is_here else "head"
        found.append(Place(name, synced.id, synced.commit, counts=not is_here))
    for worktree in operation.git.worktrees():
        if str(worktree.path) == record.worktree and worktree.detached:
            found.append(Place("detached", worktree.detached, worktree.detached, counts=True))
    if _going_worktree(operation):
        heads = (one.detached for one in _worktrees_below(operation))
        for at, head in enumerate(filter(None, heads)):
            found.append(Place(f"detached-{at}", head, head, counts=True))
    kept.pop("base", None)
    for name, ref in sorted(kept.items()):
        counts = ref.commit is not None and not name.startswith("was/")
        found.append(Place(name, ref.id, ref.commit, counts))
    return found


def _is_integrated(operation: Operation, world: World, place: Place) -> bool:
    commit = place.commit
    return commit is not None and any(
        operation.git.is_integrated(commit, b) for b in bases(operation, world)
    )


def _label(name: str) -> str:
    """'inside/heads/spike' for people."""
    if name == "inside-HEAD" or name.startswith("detached"):
        return "a detached HEAD"
    if name.startswith("inside-stash/"):
        return "the stash inside"
    kind, _, rest = name.removeprefix("inside/").partition("/")
    inside = {"heads": f"branch {rest} inside", "tags": f"tag {rest} inside"}
    return inside.get(kind, f"{kind}/{rest} inside" if rest else f"{kind} inside")
