"""`sync`: commits out of an instance and into it, as from and to an untrusted remote.

The side that moved since the last sync wins, rewritten or not; what it gave up stays as
refs/treedock/<id>/was/<n>. Where both moved nothing is touched.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

from runner.adapters.files.captured import Bounded
from runner.adapters.git import quarantine
from runner.adapters.git.private import Inside
from runner.controller.instance.gitfile import require_cover
from runner.controller.instance.private_git import hand_in_rules, own_git
from runner.controller.operation import Operation
from runner.controller.sync.filtered import ensure_filtered
from runner.controller.sync.git_inside import run_git
from runner.controller.sync.sparse import hand_in_patterns, require_none_hidden
from runner.domain import events
from runner.domain.errors import (
    BothMoved,
    CommandFailed,
    EngineFailed,
    GitFailed,
    NotFound,
    Refused,
)
from runner.domain.frozen import dataclass
from runner.domain.git.synced import Side, Synced
from runner.domain.instance.streams import Sink
from runner.domain.text import sentences

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
class Looked(Synced):
    """What a sync did, and what git inside says."""

    inside: Inside | None = None


def sync(operation: Operation, *, prefer: Side | None = None, now: bool = False) -> Looked:
    """Bring what was committed inside out, and what was committed on the host in. The caller
    holds the instance's lock.

    `prefer` decides where both have moved. Raises BothMoved, Refused for what may not come out,
    and RunnerError of engine and git.
    """
    require_cover(operation)
    here = operation.git.refs(f"refs/heads/{operation.record.git.branch}", operation.names.refs)
    ours = here.get(f"refs/heads/{operation.record.git.branch}")
    if ours is None:
        raise NotFound(
            f"{operation.id}: there is no branch {operation.record.git.branch} any more.",
            hint=f"The last commit that was synced: {here.get(operation.names.ref('head'), '?')}",
        )
    quarantine.clear(_quarantine(operation))
    own = own_git(operation)
    last = here.get(operation.names.ref("head"))
    if not own.folder.exists() or last is None:
        return Looked(operation.id, ours)
    if not operation.apart:
        _hand_in(operation)
    inside = own.look()
    theirs = inside.refs.get(f"refs/heads/{operation.record.git.branch}", last)
    moved = _who_moved(operation, last, ours, theirs, prefer)
    changes = _changes(operation, inside, here)
    if moved == "inside":
        changes[f"refs/heads/{operation.record.git.branch}"] = (theirs, ours)
        changes[operation.names.ref("head")] = (theirs, last)
    elif theirs not in {ours, last, *here.values()}:  # given up for what was committed here
        changes[_was(operation, here, 0)] = (theirs, None)
    if changes:
        _bring_out(operation, here, changes)
    said, head = operation.record.merge, theirs if moved == "inside" else ours
    if moved and said and said.state != "landed" and said.head != head:
        operation.change(merge=None)  # that was about another commit
    if moved == "inside":
        operation.tell(events.Synced("host", theirs, ours))
        ensure_filtered(operation, ours, theirs)
    if moved == "host":
        later = not _take_in(operation, inside, theirs, ours, last, now=now or prefer is not None)
        if not later:
            ensure_filtered(operation, theirs, ours)
        return Looked(operation.id, ours, moved, len(changes), later, inside)
    return Looked(operation.id, theirs, moved, len(changes), inside=inside)


def _hand_in(operation: Operation) -> None:
    """What git on this side follows. Where code inside has put something in the way, its commits
    come out all the same."""
    try:
        hand_in_rules(operation)
        hand_in_patterns(operation)
    except Refused as error:
        operation.warn(sentences(error.message, error.hint))


def _who_moved(
    operation: Operation, last: str, ours: str, theirs: str, prefer: Side | None
) -> Side | None:
    if ours == theirs:
        return None if ours == last else "inside"  # both the same way: only the mark is old
    if ours == last:
        return "inside"
    if theirs == last or prefer:
        return prefer or "host"
    raise BothMoved(
        f"{operation.id}: {operation.record.git.branch} has moved on both sides, inside to "
        f"{theirs[:10]} and "
        f"here to {ours[:10]}.",
        hint=f"Keep one; the other stays as a ref: treedock sync {operation.id} --keep inside "
        f"(or: --keep host)",
    )


def _changes(operation: Operation, inside: Inside, here: Mapping[str, str]) -> Changes:
    """What has to change of the refs that mirror the inside, except its own branch."""
    own = f"refs/heads/{operation.record.git.branch}"
    wanted = {
        operation.names.ref(f"inside/{name.removeprefix('refs/')}"): commit
        for name, commit in inside.refs.items()
        if name != own and not name.startswith("refs/remotes/")
    }
    # Not below inside/, where a ref of the instance (refs/HEAD/x) may have any name.
    wanted |= {operation.names.ref(f"inside-stash/{n}"): c for n, c in enumerate(inside.stash)}
    if inside.detached:
        wanted[operation.names.ref("inside-HEAD")] = inside.detached
    starts = tuple(
        operation.names.ref(name) for name in ("inside/", "inside-stash/", "inside-HEAD")
    )
    mirrored = {k: v for k, v in here.items() if k.startswith(starts)}
    return {
        name: (wanted.get(name), mirrored.get(name))
        for name in wanted.keys() | mirrored.keys()
        if wanted.get(name) != mirrored.get(name)
    }


def _bring_out(operation: Operation, here: Mapping[str, str], changes: Changes) -> None:
    """Objects first, then the refs, all or none."""
    claimed = sorted({new for new, _ in changes.values() if new})
    known = sorted(set(here.values()))
    missing = operation.git.missing(claimed)
    unknown = [commit for commit in claimed if commit not in known]
    if missing:
        _receive(operation, unknown, missing, known)
    elif unknown:
        with _named(operation):
            quarantine.require_sound(operation.git, unknown, known, operation.limits.bundle)
    new, old = changes.get(f"refs/heads/{operation.record.git.branch}", (None, None))
    grown = bool(new and old) and _has_grown(operation, str(old), str(new))
    if new and old and not grown:
        _require_no_rewrite_of_base(operation, old, new)
    if new and old:
        require_none_hidden(operation, old, new)
    given_up = _given_up(operation, here, changes, held={old} if grown else set())
    with operation.repository.locked(), _index_moved(operation, old, new):
        # First what vanishes: where there was `a` there may now be `a/b`.
        gone = {name: pair for name, pair in changes.items() if pair[0] is None}
        operation.git.update_refs({**given_up, **gone})
        operation.git.update_refs({k: pair for k, pair in changes.items() if k not in gone})


def _receive(operation: Operation, wanted: list[str], missing: list[str], known: list[str]) -> None:
    """The objects of `wanted`, of which these are `missing` here."""
    folder, limit = operation.records.folder(operation.id), operation.limits.bundle
    with quarantine.incoming(_quarantine(operation)) as arrived, _named(operation):
        whole = False
        try:
            with arrived.pack.open("wb") as file:
                bounded = Bounded(limit, file, lambda: quarantine.too_large(limit))
                _pack(operation, missing, known, bounded)
            whole = True
            quarantine.examine(operation.git, arrived, limit)
            quarantine.require_sound(operation.git, wanted, known, limit, arrived)
        except Refused as error:
            if not whole or arrived.pack.stat().st_size == 0:
                raise  # what was cut off is of no use
            name = f"{time.strftime('%Y%m%d-%H%M%S')}-{missing[0][:10]}"
            kept = quarantine.keep_aside(arrived, folder / "refused", name)
            raise Refused(error.message, hint=sentences(error.hint, f"Kept: {kept}")) from error
        quarantine.accept(operation.git, arrived)


def _pack(operation: Operation, missing: list[str], known: list[str], target: Sink) -> None:
    argv = ["sh", "-c", _PACK, "treedock", *missing, *(f"^{commit}" for commit in known)]
    try:
        run_git(operation, argv, stdout=target)
    except (CommandFailed, EngineFailed) as error:  # wrong, or endless, inside: `down` goes on
        raise Refused(error.message, hint=error.hint) from error


@contextlib.contextmanager
def _named(operation: Operation) -> Iterator[None]:
    """A refusal says which instance it is about."""
    try:
        yield
    except Refused as error:
        if error.message.startswith(f"{operation.id}: "):
            raise
        raise Refused(sentences(f"{operation.id}:", error.message), hint=error.hint) from error


def _has_grown(operation: Operation, old: str, new: str) -> bool:
    """Whether the branch holds all that it held. Raises Refused where it is at no commit."""
    try:
        return operation.git.is_ancestor(old, new)
    except GitFailed as error:
        raise Refused(
            f"{operation.id}: inside, {operation.record.git.branch} is at {new[:10]}, which is no "
            "commit.",
            hint=f"Put it back inside: git update-ref refs/heads/{operation.record.git.branch} "
            f"{old[:10]}",
        ) from error


def _require_no_rewrite_of_base(operation: Operation, old: str, new: str) -> None:
    """Commits that base holds already cannot be taken out of the branch again."""
    base = operation.git.newest(operation.record.git.base)[0]
    if base is None:
        return
    if operation.git.count(old, without=[new]) != operation.git.count(old, without=[new, base]):
        raise Refused(
            f"{operation.id}: inside, {operation.record.git.branch} was rewritten at "
            f"{new[:10]}, and "
            "commits "
            f"that {operation.record.git.base} holds already are gone from it.",
            hint=f"Inside, bring them back with: git rebase origin/{operation.record.git.base}; or "
            "give "
            f"the rewriting up: git reset --soft {old[:10]}",
        )


def _given_up(
    operation: Operation, here: Mapping[str, str], changes: Changes, held: AbstractSet[str | None]
) -> Changes:
    """Refs for the commits that no ref would hold after the changes; of `held` that is known."""
    after = {**here, **{name: new for name, (new, _) in changes.items() if new}}
    for name in [name for name, (new, _) in changes.items() if new is None]:
        del after[name]
    staying = sorted(set(after.values()))
    left = sorted({old for _, old in changes.values() if old} - set(staying) - held)
    lost = [commit for commit in left if operation.git.count(commit, without=staying) != 0]
    taken = sum(name.startswith(operation.names.ref("was/")) for name in changes)
    return {_was(operation, here, taken + n): (commit, None) for n, commit in enumerate(lost)}


def _was(operation: Operation, here: Mapping[str, str], n: int) -> str:
    """The n-th free name of a ref for what was given up."""
    start = operation.names.ref("was/")
    taken = [int(name[len(start) :]) for name in here if name.startswith(start)]
    return f"{start}{max(taken, default=0) + 1 + n}"


@contextlib.contextmanager
def _index_moved(operation: Operation, old: str | None, new: str | None) -> Iterator[None]:
    """The index here follows the branch: first, so that a kill in between is repaired by the next
    sync, and back again where the branch then does not move. Raises Refused."""
    worktree, branch = Path(operation.record.worktree), operation.record.git.branch
    if not (old and new and worktree.is_dir()):
        yield
        return
    if not operation.git.move_index(worktree, branch, old, new):
        raise Refused(
            f"{operation.id}: changes are staged in {worktree} on this side, and inside the same "
            "files "
            "were committed.",
            hint=f"Unstage them here, the files stay: git -C {worktree} reset",
        )
    try:
        yield
    except BaseException:
        operation.git.move_index(worktree, branch, new, old)
        raise
    operation.git.refresh_index(worktree)


def _take_in(
    operation: Operation, inside: Inside, theirs: str, ours: str, last: str, *, now: bool
) -> bool:
    """Move the branch inside to what was committed here. False: it is not running; `up` will.
    Unless it has to be `now`: then in a container of git's own."""
    container = operation.container()
    if (operation.apart or container is None or container.status != "running") and not now:
        return False
    if inside.busy:
        raise Refused(
            f"{operation.id}: a {inside.busy} is in progress inside, so what was committed here "
            "cannot go in.",
            hint=finish_hint(operation, inside.busy),
        )
    argv = ["sh", "-c", _TAKE_IN, "treedock", operation.record.git.branch, theirs, ours]
    code = run_git(operation, argv, check=False)
    if code:
        why = {3: "another branch is checked out inside", 4: "changes are staged inside"}
        raise Refused(
            f"{operation.id}: {ours[:10]}, committed here, cannot go in: "
            f"{why.get(code, 'git failed')}.",
            hint=f"Look with: treedock exec {operation.id} -- git status",
        )
    with operation.repository.locked():
        here = operation.git.refs(operation.names.refs)
        changes: Changes = {operation.names.ref("head"): (ours, last)}
        operation.git.update_refs(changes | _given_up(operation, here, changes, held=set()))
    operation.tell(events.Synced("inside", ours, theirs))
    return True


def finish_hint(operation: Operation, busy: str) -> str:
    """The way out of an operation of git's that is in progress inside."""
    if busy in ("merge", "rebase"):
        return f"End it first: treedock update {operation.id} --continue (or --abort)"
    return f"End it first: treedock exec {operation.id} -- git status tells how"


def _quarantine(operation: Operation) -> Path:
    return operation.folder.quarantine
