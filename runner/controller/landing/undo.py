"""`merge --undo`: base as it was before a run."""

import itertools

from runner.adapters.store.runs import Landing, Run
from runner.controller.landing.land import settle, take_back
from runner.controller.project import Project
from runner.domain.errors import (
    Refused,
)
from runner.domain.events import Emit, Undone
from runner.domain.text import shell_word


def undo(project: Project, run_id: str, emit: Emit) -> str:
    """Put base back to before a run. Returns what was done, as a sentence.

    Raises Refused, with the commands that revert it, where someone built on it or it was pushed.
    """
    repository = project.repository
    settle(repository, emit)
    run = Run.open(repository.records.root, run_id)
    run_id, facts = run.id, run.read()
    landed, worker = facts.landed, run.worker()
    if worker:
        raise Refused(
            f"The run {run_id} is still at work: process {worker.pid} on {worker.host}.",
            hint="Wait for it, or end it.",
        )
    if not landed:
        raise Refused(f"The run {run_id} landed nothing.", hint="There is nothing to undo.")
    base, was, last = landed[0].base, landed[0].was, landed[-1].commit
    broken = any(one.was != before.commit for before, one in itertools.pairwise(landed))
    head = repository.git.branch(base)
    if head == was or facts.undone:
        raise Refused(f"The run {run_id} is undone already.", hint=f"Look with: git log {base}")
    there = repository.git.heads(base)[1]
    pushed = facts.pushed or (there and repository.git.is_ancestor(last, there))
    if head != last or broken or pushed:
        why = "was pushed" if pushed else f"is not all that came last to {base}"
        merges = " ".join(f"-m 1 {one.commit[:10]}" for one in reversed(landed))
        other = repository.git.worktrees()[0].branch != base
        first = f"git switch {shell_word(base)} && " if other else ""
        raise Refused(
            f"The run {run_id} {why}.",
            hint=f"Revert it instead: {first}git revert {merges}",
        )
    with project.repository.locked():
        heads = {id_: c for one in landed for id_, c in one.heads.items()}
        branches = _bring_branches_back(project, heads)
    take_back(repository, Landing("", base, last, was, {}), emit)
    run.write(undone=True)
    run.journal(emit(Undone(base, was)))
    return f"{base} is back at {was[:10]}; the branches are there: {', '.join(branches)}"


def _bring_branches_back(project: Project, heads: dict[str, str]) -> list[str]:
    """Branches for commits that only base held; where one of that name holds other commits by
    now, under the first name of its kind that is free."""
    git, names = project.repository.git, []
    for id_, commit in heads.items():
        wanted = project.names(id_).branch(project.config.branch)
        for name in itertools.chain([wanted], (f"{wanted}-{n}" for n in itertools.count(2))):
            there = git.branch(name)
            if there is None or git.is_ancestor(commit, there):
                break
        if there is None:
            git.update_refs({f"refs/heads/{name}": (commit, None)})
        names.append(name)
    return names
