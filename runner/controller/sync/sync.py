"""`sync`: commits out of an instance and into it, as from and to an untrusted remote.

The side that moved since the last sync wins, rewritten or not; what it gave up stays as
refs/treedock/<id>/was/<n>. Where both moved nothing is touched.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

from runner.adapters.git import quarantine
from runner.adapters.git.private import Inside
from runner.controller.instance.container import require_cover
from runner.controller.instance.filtered import ensure_filtered
from runner.controller.instance.private_git import hand_in_rules, kept_ref, own_git
from runner.controller.instance.sparse import hand_in_patterns, require_none_hidden
from runner.controller.operation import ProjectWork, Work
from runner.controller.sync.git_inside import run_git
from runner.domain.errors import (
    BothMoved,
    CommandFailed,
    EngineFailed,
    GitFailed,
    NotFound,
    Refused,
    RunnerError,
)
from runner.domain.text import sentences

BUNDLE = 2**30  # bytes, where treedock.yaml cannot be read
Side = Literal["inside", "host"]

Changes = dict[str, tuple[str | None, str | None]]  # ref -> (new, old); None: there is none

_PACK = 'printf "%s\\n" "$@" | git pack-objects --revs --thin --stdout --delta-base-offset -q'

# Moves HEAD's branch from $2 to $3 with the index, and touches no file; $1 is the branch.
_TAKE_IN = """
command -v git >/dev/null || exit 127
test "$(git symbolic-ref -q HEAD)" = "refs/heads/$1" || exit 3
git read-tree -i -m "$2" "$3" || exit 4
git update-ref "refs/heads/$1" "$3" "$2" || exit 5
timeout 20 git update-index -q --refresh --ignore-submodules
true
"""


@dataclass(frozen=True)
class Synced:
    """`head`: the commit that the branch is at, on both sides. `moved`: the side that had moved
    on the branch; `refs`: how many other refs of the instance changed. `later`: what was
    committed here reaches the instance when it is up again. `inside`: what its git says."""

    id: str
    head: str
    moved: Side | None = None
    refs: int = 0
    later: bool = False
    inside: Inside | None = None


def sync(work: Work, *, prefer: Side | None = None, now: bool = False) -> Synced:
    """Bring what was committed inside out, and what was committed on the host in. The caller
    holds the instance's lock.

    `prefer` decides where both have moved. Raises BothMoved, Refused for what may not come out,
    and RunnerError of engine and git.
    """
    require_cover(work)
    here = work.git.refs(f"refs/heads/{work.record.branch}", kept_ref(work, "")[:-1])
    ours = here.get(f"refs/heads/{work.record.branch}")
    if ours is None:
        raise NotFound(
            f"{work.id}: there is no branch {work.record.branch} any more.",
            hint=f"The last commit that was synced: {here.get(kept_ref(work, 'head'), '?')}",
        )
    quarantine.clear(_quarantine(work))
    own = own_git(work)
    last = here.get(kept_ref(work, "head"))
    if not own.folder.exists() or last is None:
        return Synced(work.id, ours)
    if not work.apart:
        _hand_in(work)
    inside = own.look()
    theirs = inside.refs.get(f"refs/heads/{work.record.branch}", last)
    moved = _who_moved(work, last, ours, theirs, prefer)
    changes = _changes(work, inside, here)
    if moved == "inside":
        changes[f"refs/heads/{work.record.branch}"] = (theirs, ours)
        changes[kept_ref(work, "head")] = (theirs, last)
    elif theirs not in {ours, last, *here.values()}:  # given up for what was committed here
        changes[_was(work, here, 0)] = (theirs, None)
    if changes:
        _bring_out(work, here, changes)
    said, head = work.record.merge or {}, theirs if moved == "inside" else ours
    if moved and said.get("state") in ("blocked", "red") and said.get("head") != head:
        work.change(merge=None)  # that was about another commit
    if moved == "inside":
        work.note("synced", out=theirs, was=ours)
        ensure_filtered(work, ours, theirs)
    if moved == "host":
        later = not _take_in(work, inside, theirs, ours, last, now=now or prefer is not None)
        if not later:
            ensure_filtered(work, theirs, ours)
        return Synced(work.id, ours, moved, len(changes), later, inside)
    return Synced(work.id, theirs, moved, len(changes), inside=inside)


def _hand_in(work: Work) -> None:
    """What git on this side follows. Where code inside has put something in the way, its commits
    come out all the same."""
    try:
        hand_in_rules(work)
        hand_in_patterns(work)
    except Refused as error:
        work.warn(sentences(error.message, error.hint))


def _who_moved(work: Work, last: str, ours: str, theirs: str, prefer: Side | None) -> Side | None:
    if ours == theirs:
        return None if ours == last else "inside"  # both the same way: only the mark is old
    if ours == last:
        return "inside"
    if theirs == last or prefer:
        return prefer or "host"
    raise BothMoved(
        f"{work.id}: {work.record.branch} has moved on both sides, inside to {theirs[:10]} and "
        f"here to {ours[:10]}.",
        hint=f"Keep one; the other stays as a ref: treedock sync {work.id} --keep inside "
        f"(or: --keep host)",
    )


def _changes(work: Work, inside: Inside, here: Mapping[str, str]) -> Changes:
    """What has to change of the refs that mirror the inside, except its own branch."""
    own = f"refs/heads/{work.record.branch}"
    wanted = {
        kept_ref(work, f"inside/{name.removeprefix('refs/')}"): commit
        for name, commit in inside.refs.items()
        if name != own and not name.startswith("refs/remotes/")
    }
    # Not below inside/, where a ref of the instance (refs/HEAD/x) may have any name.
    wanted |= {kept_ref(work, f"inside-stash/{n}"): c for n, c in enumerate(inside.stash)}
    if inside.detached:
        wanted[kept_ref(work, "inside-HEAD")] = inside.detached
    starts = tuple(kept_ref(work, name) for name in ("inside/", "inside-stash/", "inside-HEAD"))
    mirrored = {k: v for k, v in here.items() if k.startswith(starts)}
    return {
        name: (wanted.get(name), mirrored.get(name))
        for name in wanted.keys() | mirrored.keys()
        if wanted.get(name) != mirrored.get(name)
    }


def _bring_out(work: Work, here: Mapping[str, str], changes: Changes) -> None:
    """Objects first, then the refs, all or none."""
    claimed = sorted({new for new, _ in changes.values() if new})
    known = sorted(set(here.values()))
    missing = work.git.missing(claimed)
    unknown = [commit for commit in claimed if commit not in known]
    if missing:
        _receive(work, unknown, missing, known)
    elif unknown:
        with _named(work):
            quarantine.require_sound(work.git, unknown, known, _limit(work))
    new, old = changes.get(f"refs/heads/{work.record.branch}", (None, None))
    grown = bool(new and old) and _has_grown(work, str(old), str(new))
    if new and old and not grown:
        _require_no_rewrite_of_base(work, old, new)
    if new and old:
        require_none_hidden(work, old, new)
    given_up = _given_up(work, here, changes, held={old} if grown else set())
    with work.repository_locked(), _index_moved(work, old, new):
        # First what vanishes: where there was `a` there may now be `a/b`.
        gone = {name: pair for name, pair in changes.items() if pair[0] is None}
        work.git.update_refs({**given_up, **gone})
        work.git.update_refs({k: pair for k, pair in changes.items() if k not in gone})


def _receive(work: Work, wanted: list[str], missing: list[str], known: list[str]) -> None:
    """The objects of `wanted`, of which these are `missing` here."""
    folder, limit = work.records.folder(work.id), _limit(work)
    with quarantine.incoming(_quarantine(work)) as arrived, _named(work):
        whole = False
        try:
            with arrived.pack.open("wb") as file:
                _pack(work, missing, known, cast(BinaryIO, _Bounded(file, limit)))
            whole = True
            quarantine.examine(work.git, arrived, limit)
            quarantine.require_sound(work.git, wanted, known, limit, arrived)
        except Refused as error:
            if not whole or arrived.pack.stat().st_size == 0:
                raise  # what was cut off is of no use
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{missing[0][:10]}"
            kept = quarantine.keep_aside(arrived, folder / "refused", name)
            raise Refused(error.message, hint=sentences(error.hint, f"Kept: {kept}")) from error
        quarantine.accept(work.git, arrived)


def _pack(work: Work, missing: list[str], known: list[str], target: BinaryIO) -> None:
    argv = ["sh", "-c", _PACK, "treedock", *missing, *(f"^{commit}" for commit in known)]
    try:
        run_git(work, argv, stdout=target)
    except (CommandFailed, EngineFailed) as error:  # wrong, or endless, inside: `down` goes on
        raise Refused(error.message, hint=error.hint) from error


@contextlib.contextmanager
def _named(work: Work) -> Iterator[None]:
    """A refusal says which instance it is about."""
    try:
        yield
    except Refused as error:
        if error.message.startswith(f"{work.id}: "):
            raise
        raise Refused(sentences(f"{work.id}:", error.message), hint=error.hint) from error


class _Bounded:
    """A file that takes so many bytes and no more."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file = file
        self._limit = self._left = limit

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._left])
        self._left -= len(data)
        if self._left < 0:
            raise quarantine.too_large(self._limit)
        return len(data)

    def flush(self) -> None:
        """At the end, by the file itself."""


def _has_grown(work: Work, old: str, new: str) -> bool:
    """Whether the branch holds all that it held. Raises Refused where it is at no commit."""
    try:
        return work.git.is_ancestor(old, new)
    except GitFailed as error:
        raise Refused(
            f"{work.id}: inside, {work.record.branch} is at {new[:10]}, which is no commit.",
            hint=f"Put it back inside: git update-ref refs/heads/{work.record.branch} {old[:10]}",
        ) from error


def _require_no_rewrite_of_base(work: Work, old: str, new: str) -> None:
    """Commits that base holds already cannot be taken out of the branch again."""
    base = work.git.newest(work.record.base)[0]
    if base is None:
        return
    if work.git.count(old, without=[new]) != work.git.count(old, without=[new, base]):
        raise Refused(
            f"{work.id}: inside, {work.record.branch} was rewritten at {new[:10]}, and commits "
            f"that {work.record.base} holds already are gone from it.",
            hint=f"Inside, bring them back with: git rebase origin/{work.record.base}; or give "
            f"the rewriting up: git reset --soft {old[:10]}",
        )


def _given_up(
    work: Work, here: Mapping[str, str], changes: Changes, held: AbstractSet[str | None]
) -> Changes:
    """Refs for the commits that no ref would hold after the changes; of `held` that is known."""
    after = {**here, **{name: new for name, (new, _) in changes.items() if new}}
    for name in [name for name, (new, _) in changes.items() if new is None]:
        del after[name]
    staying = sorted(set(after.values()))
    left = sorted({old for _, old in changes.values() if old} - set(staying) - held)
    lost = [commit for commit in left if work.git.count(commit, without=staying) != 0]
    taken = sum(name.startswith(kept_ref(work, "was/")) for name in changes)
    return {_was(work, here, taken + n): (commit, None) for n, commit in enumerate(lost)}


def _was(work: Work, here: Mapping[str, str], n: int) -> str:
    """The n-th free name of a ref for what was given up."""
    start = kept_ref(work, "was/")
    taken = [int(name[len(start) :]) for name in here if name.startswith(start)]
    return f"{start}{max(taken, default=0) + 1 + n}"


@contextlib.contextmanager
def _index_moved(work: Work, old: str | None, new: str | None) -> Iterator[None]:
    """The index here follows the branch: first, so that a kill in between is mended by the next
    sync, and back again where the branch then does not move. Raises Refused."""
    worktree, branch = Path(work.record.worktree), work.record.branch
    if not (old and new and worktree.is_dir()):
        yield
        return
    if not work.git.move_index(worktree, branch, old, new):
        raise Refused(
            f"{work.id}: changes are staged in {worktree} on this side, and inside the same files "
            "were committed.",
            hint=f"Unstage them here, the files stay: git -C {worktree} reset",
        )
    try:
        yield
    except BaseException:
        work.git.move_index(worktree, branch, new, old)
        raise
    work.git.refresh_index(worktree)


def _take_in(work: Work, inside: Inside, theirs: str, ours: str, last: str, *, now: bool) -> bool:
    """Move the branch inside to what was committed here. False: it is not running; `up` will.
    Unless it has to be `now`: then in a container of git's own."""
    container = work.container()
    if (work.apart or container is None or container.status != "running") and not now:
        return False
    if inside.busy:
        raise Refused(
            f"{work.id}: a {inside.busy} is in progress inside, so what was committed here "
            "cannot go in.",
            hint=end_it(work, inside.busy),
        )
    argv = ["sh", "-c", _TAKE_IN, "treedock", work.record.branch, theirs, ours]
    code = run_git(work, argv, check=False)
    if code:
        why = {3: "another branch is checked out inside", 4: "changes are staged inside"}
        raise Refused(
            f"{work.id}: {ours[:10]}, committed here, cannot go in: {why.get(code, 'git failed')}.",
            hint=f"Look with: treedock exec {work.id} -- git status",
        )
    with work.repository_locked():
        here = work.git.refs(kept_ref(work, "")[:-1])
        changes: Changes = {kept_ref(work, "head"): (ours, last)}
        work.git.update_refs(changes | _given_up(work, here, changes, held=set()))
    work.note("synced", into=ours, was=theirs)
    return True


def end_it(work: Work, busy: str) -> str:
    """The way out of an operation of git's that is in progress inside."""
    if busy in ("merge", "rebase"):
        return f"End it first: treedock update {work.id} --continue (or --abort)"
    return f"End it first: treedock exec {work.id} -- git status tells how"


def _quarantine(work: Work) -> Path:
    return work.records.folder(work.id) / "quarantine"


def _limit(work: Work) -> int:
    """limits.bundle, in bytes."""
    from runner.controller.project import open_project

    if isinstance(work, ProjectWork):
        return work.config.limits.bundle
    try:
        return open_project(work.repository).config.limits.bundle
    except RunnerError:
        return BUNDLE
