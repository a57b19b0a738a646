"""`merge`: branches of instances back into base. What lands is exactly what was tested."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from runner.adapters.store import locks
from runner.adapters.store.runs import Run
from runner.controller.disk_watch import space_watched
from runner.controller.instance.worktree import FETCH_TIMEOUT
from runner.controller.landing.candidates import ordered, prepare, warn_of_more, without_way
from runner.controller.landing.queue import Queue, follow_remote, is_at_remote
from runner.controller.landing.recovery import clear_up
from runner.controller.landing.retire import all_retired
from runner.controller.landing.review import warn_of_flagged
from runner.controller.operation import Operation
from runner.controller.project import Project
from runner.domain.errors import (
    NotFound,
    Refused,
    RunnerError,
)
from runner.domain.events import Emit, NotMerged, Said
from runner.domain.instance.record import LastMerge, check_id, lands_in
from runner.domain.landing.outcomes import Merged, Outcome, State
from runner.domain.landing.queue import Aside
from runner.domain.requests.landing import Merge
from runner.domain.text import sentences


def merge(project: Project, ids: Sequence[str], wanted: Merge, emit: Emit) -> list[Merged]:
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
        return [_merge_into(project, base, group, wanted, emit)]
    return [_queued(project, base, group, wanted, emit) for base, group in groups.items()]


def _by_base(project: Project, ids: Sequence[str], wanted: Merge) -> dict[str, list[str]]:
    """The ids by the branch that they land in, in their order. Raises NotFound for one that is
    named and not there."""
    repository = project.repository
    records = repository.records.all()
    groups: dict[str, list[str]] = {}
    for id_ in ids:
        found = next((record for record in records if record.id == id_), None)
        if found is None and not wanted.everything:  # the person named it
            found = repository.record(id_)
        if found:
            groups.setdefault(wanted.into or lands_in(found, records), []).append(id_)
    return groups or {project.base: []}


def _require_base(project: Project, base: str, ids: Sequence[str]) -> None:
    """Raises NotFound where there is no such branch to land in, Refused where it is that of an
    instance."""
    git, names = project.repository.git, " ".join(ids)
    records = project.repository.records.all()
    owner = next((record for record in records if record.git.branch == base), None)
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


def _queued(project: Project, base: str, ids: Sequence[str], wanted: Merge, emit: Emit) -> Merged:
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
    return Said(f"into {base}: {', '.join(ids)}")


def _merge_into(
    project: Project, base: str, ids: Sequence[str], wanted: Merge, emit: Emit
) -> Merged:
    """One queue, into `base`."""
    _require_base(project, base, ids)
    repository, project = project.repository, project.within(project.repository, base)
    git = repository.git
    remote, not_pushed = _remote(project, wanted)
    operations = {id_: Operation(project, id_, emit) for id_ in ids}
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
        done, heads, refused = prepare(operations, was, wanted, remote)
        refused += without_way(project, was, heads)
        order = ordered(project, was, heads, wanted, emit)
        for id_ in order:
            warn_of_flagged(operations[id_], was, heads[id_])
            if wanted.into:
                warn_of_more(operations[id_], was, heads[id_])
        root = repository.records.root
        facts = {"ids": tuple(ids), "base": base, "base_was": was}
        run = None if wanted.dry_run else Run.begin(root, "merge", **facts)
        if run:
            emit.ends_in(run.id, run.journal)
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
            outcomes = all_retired(operations, outcomes, base, push=remote is not None)
    now = git.branch(base) or was
    pushed = remote is not None and any(one.state == "landed" and one.commit for one in outcomes)
    if run:
        run.write(base_now=now, outcomes={o.id: o.state for o in outcomes}, pushed=pushed)
    by_id = {outcome.id: outcome for outcome in outcomes}
    listed = [by_id[id_] for id_ in dict.fromkeys([*order, *ids]) if id_ in by_id]
    failed = queue.error.exit_code if queue.error else 0
    return Merged(
        run.id if run else None, base, was, now, pushed, listed, failed, remote, not_pushed
    )


@contextlib.contextmanager
def _all_locked(operations: Iterable[Operation]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for operation in sorted(operations, key=lambda one: one.id):
            stack.enter_context(operation.locked())
        yield


@contextlib.contextmanager
def _run_locked(project: Project, run: Run | None) -> Iterator[None]:
    """While its lock is held the run's pinned candidates are in use, and it is not undone."""
    if run is None:
        yield
        return
    lock = project.repository.records.lock(f"run-{run.id}")
    with locks.hold(lock), run.claimed():
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _remote(project: Project, wanted: Merge) -> tuple[str | None, str]:
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
    operation: Operation, outcome: Outcome, head: str | None, wanted: Merge
) -> Outcome:
    """The outcome on the instance's record, for `list` and `status`."""
    if not wanted.dry_run and outcome.state in ("conflict", "red", "red_together"):
        found = LastMerge(
            "blocked" if outcome.state == "conflict" else "red",
            head, message=outcome.message, files=outcome.files, log=outcome.log,
        )  # fmt: skip
        operation.change(merge=found)
        operation.tell(NotMerged(found.state, found.message))
    return outcome
