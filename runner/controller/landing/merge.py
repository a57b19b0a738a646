"""`merge`: branches of instances back into base. What lands is exactly what was tested."""

import contextlib
import itertools
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from runner.adapters.git import lfs
from runner.adapters.store import locks
from runner.adapters.store.runs import Landing, Run
from runner.controller.cleanup.unsaved import require_on_branch, shows_again
from runner.controller.disk_watch import space_watched
from runner.controller.instance.private_git import instance_ref
from runner.controller.instance.worktree import FETCH_TIMEOUT
from runner.controller.landing.land import settle, take_back
from runner.controller.landing.queue import Queue, follow_remote, is_at_remote
from runner.controller.landing.recovery import clear_up
from runner.controller.landing.review import warn_of_flagged
from runner.controller.operation import ProjectOperation
from runner.controller.parallel import map_parallel
from runner.controller.project import Project
from runner.controller.sync.sync import finish_hint, sync
from runner.controller.sync.update import release_parent_branch
from runner.domain.errors import (
    EngineUnavailable,
    NotFound,
    NothingNew,
    Refused,
    RunnerError,
    UncommittedChanges,
)
from runner.domain.events import Emit, Said
from runner.domain.instance.record import check_id, lands_in
from runner.domain.landing.queue import Aside
from runner.domain.text import below_each_other, listed, printable, sentences, shell_word

State = Literal["landed", "ready", "conflict", "red", "red_together", "refused"]


@dataclass(frozen=True)
class Wanted:
    """The options of one merge. `gates` come on top of the configured ones; `push` None means:
    where base is at its remote. `into` is the branch to land in, by default the one that each
    instance started from. `idle` is what becomes of instances that have nothing new: they
    are refused, or passed over."""

    order: Literal["auto", "given"] = "auto"
    gates: tuple[str, ...] = ()
    no_gate: bool = False
    push: bool | None = None
    keep: bool = False
    message: str | None = None
    width: int | None = None
    dry_run: bool = False
    into: str | None = None
    idle: Literal["refuse", "pass"] = "refuse"


@dataclass(frozen=True)
class Outcome:
    """What became of one instance. `commit` is the candidate, `log` the folder of its gates."""

    id: str
    state: State
    message: str
    commit: str | None = None
    files: tuple[str, ...] = ()
    log: str | None = None
    hint: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Merged:
    """One run, of one queue into one base. `was` and `now`: base before and after."""

    run: str | None
    base: str
    was: str
    now: str
    pushed: bool
    outcomes: list[Outcome] = field(default_factory=list)
    failed: int = 0
    """The exit code of what stopped the whole queue."""
    remote: str | None = None
    """Where what lands is pushed to."""
    not_pushed: str = ""
    """Why it is pushed nowhere."""
    others: "list[Merged]" = field(default_factory=list)
    """Of a merge into several bases: the queues after the first."""

    @property
    def exit_code(self) -> int:
        """1 for a red gate, 4 for refused or conflicting, 0 when everything landed; that of an
        error that stopped a queue."""
        queues = [self, *self.others]
        failed = max(queue.failed for queue in queues)
        if failed:
            return failed
        states = {outcome.state for queue in queues for outcome in queue.outcomes}
        if states & {"red", "red_together"}:
            return 1
        return 4 if states & {"conflict", "refused"} else 0


def merge(project: Project, ids: Sequence[str], wanted: Wanted, emit: Emit) -> Merged:
    """Sync, check, build candidates, test them, land the green ones in order, clean up.

    Each lands in the branch that it started from; several such branches are one queue each. What
    cannot land is set aside with the reason; the others go on. Raises RunnerError for what
    concerns all of them.
    """
    repository = project.repository
    repository.git.require_safe_drivers()
    clear_up(project, emit)
    for id_ in ids:
        check_id(id_)
    groups = _by_base(project, ids, wanted)
    if len(groups) == 1:
        ((base, group),) = groups.items()
        if base != project.base:
            emit(_into(base, group))
        return _merge_into(project, base, group, wanted, emit)
    first, *others = [_queued(project, base, group, wanted, emit) for base, group in groups.items()]
    return replace(first, others=others)


def _by_base(project: Project, ids: Sequence[str], wanted: Wanted) -> dict[str, list[str]]:
    """The ids by the branch that they land in, in their order. Raises NotFound for one that is
    named and not there."""
    repository = project.repository
    records = repository.records.all()
    groups: dict[str, list[str]] = {}
    for id_ in ids:
        found = next((record for record in records if record.id == id_), None)
        if found is None and wanted.idle == "refuse":  # the person named it
            found = repository.record(id_)
        if found:
            groups.setdefault(wanted.into or lands_in(found, records), []).append(id_)
    return groups or {project.base: []}


def _require_base(project: Project, base: str, ids: Sequence[str]) -> None:
    """Raises NotFound where there is no such branch to land in, Refused where it is that of an
    instance."""
    git, names = project.repository.git, " ".join(ids)
    records = project.repository.records.all()
    owner = next((record for record in records if record.branch == base), None)
    if owner:
        into, both = lands_in(owner, records), " ".join(dict.fromkeys([owner.id, *ids]))
        raise Refused(
            f"{base} is the branch of the instance {owner.id}.",
            hint=f"Merge into its base: treedock merge {both} --into {into}",
        )
    if base.startswith("-") or git.heads(base) == (None, None):
        raise NotFound(
            f"There is no branch {base} for {names} to land in.",
            hint=f"Name another: treedock merge {names} --into {project.base}",
        )


def _queued(project: Project, base: str, ids: Sequence[str], wanted: Wanted, emit: Emit) -> Merged:
    """One of several queues: what stops it does not stop the others."""
    git = project.repository.git
    emit(_into(base, ids))
    try:
        return _merge_into(project, base, ids, wanted, emit)
    except RunnerError as error:
        refused = [Outcome(id_, "refused", error.message, hint=error.hint) for id_ in ids]
        head = git.newest(base)[0] or ""
        return Merged(None, base, head, head, False, refused, error.exit_code)


def _into(base: str, ids: Sequence[str]) -> Said:
    return Said("", f"into {base}: {', '.join(ids)}")


def _merge_into(
    project: Project, base: str, ids: Sequence[str], wanted: Wanted, emit: Emit
) -> Merged:
    """One queue, into `base`."""
    _require_base(project, base, ids)
    repository, project = project.repository, project.on(base)
    git = repository.git
    remote, not_pushed = _remote(project, wanted)
    operations = {id_: ProjectOperation(project, id_, emit) for id_ in ids}
    with _all_locked(operations.values()):
        if remote and wanted.dry_run:
            git.fetch(base, FETCH_TIMEOUT)
        elif remote:
            follow_remote(project, emit)
        was = git.newest(base)[0] if wanted.dry_run else git.branch(base)
        if was is None:
            raise NotFound(
                f"There is no branch {base} here.", hint=f"git branch {base} {git.tracking(base)}"
            )
        done, heads, refused = _prepare(operations, was, wanted, remote)
        refused += _without_way(project, was, heads)
        order = _ordered(project, was, heads, wanted, emit)
        for id_ in order:
            warn_of_flagged(operations[id_], was, heads[id_])
            if wanted.into:
                _warn_of_more(operations[id_], was, heads[id_])
        run = (
            None
            if wanted.dry_run
            else Run.begin(repository.records.root, ids=list(ids), base=base, base_was=was)
        )
        queue = Queue(project, run, was, {i: heads[i] for i in order}, wanted, emit, remote)
        with space_watched(project, emit), _run_locked(project, run):
            queue.go()
        outcomes = [*refused, *(_outcome(queue, id_) for id_ in order)]
        for id_ in done:
            outcomes.append(Outcome(id_, "landed", f"{id_} had landed already"))
        outcomes = [
            _written_down(operations[one.id], one, heads.get(one.id), wanted) for one in outcomes
        ]
        if not (wanted.keep or wanted.dry_run):
            outcomes = _all_retired(operations, outcomes, base, push=remote is not None)
    now = git.branch(base) or was
    pushed = remote is not None and any(one.state == "landed" and one.commit for one in outcomes)
    if run:
        run.write(base_now=now, outcomes={o.id: o.state for o in outcomes}, pushed=pushed)
    ordered = {outcome.id: outcome for outcome in outcomes}
    listed = [ordered[id_] for id_ in dict.fromkeys([*order, *ids]) if id_ in ordered]
    failed = queue.error.exit_code if queue.error else 0
    return Merged(
        run.id if run else None, base, was, now, pushed, listed, failed, remote, not_pushed
    )


@contextlib.contextmanager
def _all_locked(operations: Iterable[ProjectOperation]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for operation in sorted(operations, key=lambda one: one.id):
            stack.enter_context(operation.locked())
        yield


@contextlib.contextmanager
def _run_locked(project: Project, run: Run | None) -> Iterator[None]:
    """While its lock is held the run's pinned candidates are somebody's."""
    if run is None:
        yield
        return
    lock = project.repository.records.lock(f"run-{run.id}")
    with locks.hold(lock):
        yield
        lock.unlink(missing_ok=True)


def _remote(project: Project, wanted: Wanted) -> tuple[str | None, str]:
    """(where to push, or None and why nowhere). Raises Refused where a push is asked for and
    cannot be, GitFailed where the remote cannot be asked."""
    git, base = project.repository.git, project.base
    if wanted.push is False:
        return None, "--no-push"
    remote, known = git.remote_of(base), git.remotes()
    if remote and is_at_remote(project, remote):
        return remote, ""
    why = "there is no remote"
    if remote:
        why = f"{remote} has no branch {base}; push it once: git push {remote} {base}"
    elif known:
        names = f"none of the remotes {', '.join(known)}"
        why = f"{base} is at {names}; say which: git config branch.{base}.remote {known[0]}"
    if wanted.push:
        raise Refused(f"{base} cannot be pushed: {why}.", hint="Or leave out --push.")
    return None, why


def _prepare(
    operations: dict[str, ProjectOperation], base: str, wanted: Wanted, remote: str | None
) -> tuple[list[str], dict[str, str], list[Outcome]]:
    """(landed before, head by id, what is refused)."""

    def look(operation: ProjectOperation) -> str | RunnerError | None:
        try:
            head = _ready(operation, base)
            if remote and head:
                lfs.require_here(operation.git, remote, head)
            return head
        except EngineUnavailable:
            raise
        except RunnerError as error:
            return error

    done, heads, refused = [], {}, []
    for id_, found in zip(
        operations, map_parallel(look, operations.values(), locked=True), strict=True
    ):
        if found is None:
            done.append(id_)
        elif isinstance(found, str):
            heads[id_] = found
        elif wanted.idle == "refuse" or not isinstance(found, NothingNew):
            refused.append(Outcome(id_, "refused", found.message, hint=found.hint))
    refused += _without_their_base(operations, heads, base)
    return done, heads, refused


def _without_their_base(
    operations: dict[str, ProjectOperation], heads: dict[str, str], base: str
) -> list[Outcome]:
    """Take those out of `heads` whose own base neither has landed nor lands with them."""
    refused: list[Outcome] = []
    while True:
        before = len(refused)
        for id_ in list(heads):
            try:
                _require_base_landed(operations[id_], base, heads)
            except Refused as error:
                refused.append(Outcome(id_, "refused", error.message, hint=error.hint))
                del heads[id_]
        if len(refused) == before:
            return refused


def _without_way(project: Project, base: str, heads: dict[str, str]) -> list[Outcome]:
    """Take those out of `heads` that could not land as things are now: no gate has to run for
    that to be known."""
    from runner.adapters.git.base_branch import foreseen

    found = foreseen(project.repository.git, project.base, base, heads)
    for id_ in found:
        del heads[id_]
    return [Outcome(id_, "refused", why.message, hint=why.hint) for id_, why in found.items()]


def _ready(operation: ProjectOperation, base: str) -> str | None:
    """The commit to merge; None where it has landed already. Raises Refused."""
    if _is_going(operation):
        return None
    synced = sync(operation)
    record, git = operation.record, operation.git
    begun = {record.base_commit, *git.refs(instance_ref(operation, "base")).values()}
    said = (record.merge or {}).get("state") == "landed"
    in_base = synced.head not in begun and git.is_ancestor(synced.head, base)
    if in_base and (said or not git.is_on_main_line(synced.head, base)):
        return None
    inside = synced.inside
    if inside and inside.busy:
        raise Refused(
            f"{operation.id}: a {inside.busy} is in progress inside.",
            hint=finish_hint(operation, inside.busy),
        )
    if inside and inside.branch != record.branch:
        raise Refused(
            f"{operation.id}: {printable(inside.branch or 'no branch')} is checked out inside, not "
            f"{record.branch}.",
            hint=f"treedock exec {operation.id} -- git switch {record.branch}",
        )
    worktree = Path(record.worktree)
    dirty = git.dirty(worktree) if worktree.is_dir() else []
    if dirty:
        require_on_branch(operation)
        raise UncommittedChanges(
            f"{operation.id} has uncommitted changes: {listed(dirty)}.",
            hint=below_each_other(
                shows_again(operation, dirty),
                f"Commit or stash them: treedock shell {operation.id}",
            ),
        )
    if git.is_ancestor(synced.head, base):
        raise NothingNew(
            f"{operation.id} has nothing that {operation.project.base} lacks.",
            hint=f"Commit something in it, or remove it: treedock clean {operation.id}",
        )
    if git.has_gitlinks(synced.head):
        raise Refused(
            f"{operation.id} brings a submodule: git would run what is planted there on this "
            "machine.",
            hint=f"Take it out inside: treedock exec {operation.id} -- git rm --cached PATH",
        )
    return synced.head


def _is_going(operation: ProjectOperation) -> bool:
    """Whether it has landed, and a kill cut off its removal: its branch may be gone by now."""
    record = operation.record
    return record.cleaning and (record.merge or {}).get("state") == "landed"


def _require_base_landed(
    operation: ProjectOperation, base: str, together: Container[str | None]
) -> None:
    """Merging must not land another instance's work that nobody asked for."""
    other = operation.record.base
    owner = next((r.id for r in operation.records.all() if r.branch == other), None)
    head = operation.git.branch(other) if owner else None
    if head is None or operation.git.is_ancestor(head, base):
        return
    if owner not in together:
        raise Refused(
            f"{operation.id} started from {other}, which has not landed.",
            hint=f"Merge that first, or both: treedock merge {owner} {operation.id}",
        )


def _warn_of_more(operation: ProjectOperation, base: str, head: str) -> None:
    """What it started from may hold commits that the branch it is to land in lacks."""
    git, record = operation.git, operation.record
    begun = (git.commit(instance_ref(operation, "base")), record.base_commit)
    known = next((commit for commit in begun if commit and git.is_ancestor(commit, head)), base)
    count = git.count(known, without=[base])
    if count:
        into = operation.project.base
        operation.warn(f"it also brings {count} commits of {record.base} that {into} lacks")


def _ordered(
    project: Project, base: str, heads: dict[str, str], wanted: Wanted, emit: Emit
) -> list[str]:
    """The ids in the order they are to land: an instance after the one that it started from."""
    if wanted.order == "auto" and len(heads) > 2:
        from runner.controller.landing.conflicts import recommended

        order = recommended(project.repository.git, base, heads)
    else:
        order = list(heads)
    branches = {r.branch: r.id for r in project.repository.records.all()}
    bases = {r.id: branches.get(r.base) for r in project.repository.records.all()}
    placed: list[str] = []

    def place(id_: str) -> None:
        parent = bases.get(id_)
        if id_ in placed:
            return
        if parent in heads and parent != id_ and parent is not None:
            bases[id_] = None  # each only once, should they lean on each other
            place(parent)
        placed.append(id_)

    for id_ in order:
        place(id_)
    return placed


def _outcome(queue: Queue, id_: str) -> Outcome:
    verdict = queue.verdicts.get(id_)
    log = str(queue.log_of(id_) or "") or None
    if verdict == "landed":
        state: State = "ready" if queue.wanted.dry_run else "landed"
        commit = queue.commits[id_]
        where = f"landed in {queue.project.base}" if state == "landed" else state
        return Outcome(id_, state, f"{id_}: {where} as {commit[:10]}", commit, log=log)
    if isinstance(verdict, Aside):
        hint = f"The logs: {log}" if log else ""
        if verdict.reason == "conflict":
            hint = f"Resolve it inside: treedock update {id_}; then: treedock merge {id_}"
            if verdict.with_ and queue.wanted.dry_run:
                hint = f"Once the others have landed: treedock update {id_}"
            clashes = tuple(queue.clashes.get(id_, ()))
            verdict = replace(verdict, with_=clashes or verdict.with_) if verdict.with_ else verdict
            if queue.is_integrated(id_):
                said = f"{id_} is in {queue.project.base} already, squashed."
                return Outcome(id_, "refused", said, hint=f"Remove it: treedock clean {id_}")
        message = queue.messages.get(verdict.trial, "") if verdict.trial else ""
        sentence = sentences(f"{verdict.sentence}.", message)
        return Outcome(id_, verdict.reason, sentence, files=verdict.files, log=log, hint=hint)
    error = queue.error or Refused("The queue stopped.", hint="Run the same command again.")
    return Outcome(id_, "refused", error.message, hint=error.hint)


def _written_down(
    operation: ProjectOperation, outcome: Outcome, head: str | None, wanted: Wanted
) -> Outcome:
    """The outcome on the instance's record, for `list` and `status`."""
    if not wanted.dry_run and outcome.state in ("conflict", "red", "red_together"):
        state = "blocked" if outcome.state == "conflict" else "red"
        details = {"message": outcome.message, "files": list(outcome.files), "log": outcome.log}
        operation.change(merge={"state": state, "head": head, **details})
        operation.note("merge", state=state, message=outcome.message)
    return outcome


def _all_retired(
    operations: dict[str, ProjectOperation], outcomes: list[Outcome], base: str, *, push: bool
) -> list[Outcome]:
    """Remove what has landed, side by side; what another one started from, after that one."""

    def leave(outcome: Outcome) -> Outcome:
        try:
            return _retired(operations[outcome.id], outcome, base, push=push)
        except (RunnerError, OSError) as error:
            way_out = f"Remove it: treedock clean {outcome.id}"
            return replace(outcome, notes=(sentences(f"{outcome.id} stays:", str(error), way_out),))

    records = [operation.record for operation in operations.values()]
    begun_from = {record.base for record in records}
    parents = {record.id for record in records if record.branch in begun_from}
    landed = [outcome for outcome in outcomes if outcome.state == "landed"]
    free = [outcome for outcome in landed if outcome.id not in parents]
    last_first = [outcome for outcome in reversed(landed) if outcome.id in parents]
    gone = [*map_parallel(leave, free, locked=True), *map(leave, last_first)]
    others = [outcome for outcome in outcomes if outcome.state != "landed"]
    return [*gone, *others]


def _retired(operation: ProjectOperation, outcome: Outcome, base: str, *, push: bool) -> Outcome:
    """Remove what has landed, unless something was committed or changed in it meanwhile."""
    record = operation.reread()
    if _is_going(operation):
        return _removed(operation, outcome, [])
    try:
        synced = sync(operation)
        head, inside = synced.head, synced.inside
        dirty = operation.git.dirty(Path(record.worktree)) if Path(record.worktree).is_dir() else []
    except RunnerError as error:
        return replace(outcome, notes=(sentences(f"{operation.id} stays:", error.message),))
    base_head = operation.git.branch(base) or head
    elsewhere = inside and (inside.busy or inside.branch != record.branch)
    if dirty or elsewhere or not operation.git.is_ancestor(head, base_head):
        said = f"{operation.id} stays: it has changed while its commit was tested and landed"
        return replace(outcome, notes=(said,))
    notes = []
    leaning = [
        r for r in operation.records.all() if r.base == record.branch and r.id != operation.id
    ]
    for other in leaning:
        following = ProjectOperation(operation.project, other.id, operation.emit)
        following.change(base=base, leans_on=record.branch)
        notes.append(f"{other.id} started from it; bring it up to date: treedock update {other.id}")
    if leaning:
        operation.change(created_branch=False)  # the branch stays until they are
    elif push:
        notes += _delete_remote_branch(operation, head)
    release_parent_branch(operation, base_head)
    return _removed(operation, outcome, notes)


def _removed(operation: ProjectOperation, outcome: Outcome, notes: list[str]) -> Outcome:
    from runner.controller.cleanup.clean import retire

    try:
        retire(operation)
    except (RunnerError, OSError) as error:
        way_out = f"Complete it: treedock clean {operation.id}"
        notes.append(sentences(f"{operation.id} is not removed:", str(error), way_out))
    return replace(outcome, notes=tuple(notes))


def _delete_remote_branch(operation: ProjectOperation, head: str) -> list[str]:
    """Delete the branch at its remote if it is where ours is."""
    from runner.adapters.git import remotes

    branch = operation.record.branch
    remote = operation.git.remote_of(branch)
    if remote is None or operation.git.heads(branch)[1] is None:
        return []
    try:
        remotes.delete_branch(operation.git, remote, branch, head)
    except RunnerError as error:
        return [sentences(f"{branch} stays at {remote}:", error.message)]
    return []


def undo(project: Project, run_id: str, emit: Emit) -> str:
    """Put base back to before a run. Returns what was done, as a sentence.

    Raises Refused, with the commands that revert it, where somebody built on it or it was pushed.
    """
    repository = project.repository
    settle(repository, emit)
    run = Run.open(repository.records.root, run_id)
    run_id, facts = run.id, run.read()
    landed = facts["landed"]
    if not landed:
        raise Refused(f"The run {run_id} landed nothing.", hint="There is nothing to undo.")
    base, was, last = landed[0]["base"], landed[0]["was"], landed[-1]["commit"]
    broken = any(one["was"] != before["commit"] for before, one in itertools.pairwise(landed))
    head = repository.git.branch(base)
    if head == was or facts.get("undone"):
        raise Refused(f"The run {run_id} is undone already.", hint=f"Look with: git log {base}")
    there = repository.git.heads(base)[1]
    pushed = facts.get("pushed") or (there and repository.git.is_ancestor(last, there))
    if head != last or broken or pushed:
        why = "was pushed" if pushed else f"is not all that came last to {base}"
        merges = " ".join(f"-m 1 {one['commit'][:10]}" for one in reversed(landed))
        other = repository.git.worktrees()[0].branch != base
        first = f"git switch {shell_word(base)} && " if other else ""
        raise Refused(
            f"The run {run_id} {why}.",
            hint=f"Revert it instead: {first}git revert {merges}",
        )
    with ProjectOperation(project, "", emit).repository_locked():
        heads = {id_: c for one in landed for id_, c in one["heads"].items()}
        branches = _bring_branches_back(project, heads)
    take_back(repository, Landing("", base, last, was, {}), emit)
    run.write(undone=True)
    run.note("undone", base=base, to=was)
    return f"{base} is back at {was[:10]}; the branches are there: {', '.join(branches)}"


def _bring_branches_back(project: Project, heads: dict[str, str]) -> list[str]:
    """Branches for commits that only base held; where one of that name holds other commits by
    now, under the first name of its kind that is free."""
    git, names = project.repository.git, []
    for id_, commit in heads.items():
        wanted = project.config.branch.replace("{id}", id_)
        for name in itertools.chain([wanted], (f"{wanted}-{n}" for n in itertools.count(2))):
            there = git.branch(name)
            if there is None or git.is_ancestor(commit, there):
                break
        if there is None:
            git.update_refs({f"refs/heads/{name}": (commit, None)})
        names.append(name)
    return names
