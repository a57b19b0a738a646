"""Landing, so that a kill at any moment leaves base at the old commit or at the tested one, and
the next verb finishes or undoes the rest."""

import os
from pathlib import Path

from runner.adapters import disk
from runner.adapters import landing as base_branch
from runner.adapters.git import Git
from runner.adapters.runs import Journal, Landing, Run
from runner.controller.opening import Repository
from runner.controller.work import Work
from runner.domain.errors import Refused
from runner.domain.events import Emit, Warned
from runner.domain.text import listed


def land(repository: Repository, landing: Landing, emit: Emit) -> None:
    """Move base to a tested candidate: intent, act, erase. The caller holds no lock.

    Raises BaseMoved where base is elsewhere by now, Refused where files are in the way; nothing
    is changed then.
    """
    work = Work(repository, "", emit)
    with work.repository_locked():
        _settle(repository, emit)
        git, base = repository.git, landing.base
        base_branch.require_free(git, base, landing.expected, landing.candidate)
        Journal(repository.records.root).begin(landing)
        try:
            base_branch.land(git, base, landing.expected, landing.candidate)
        finally:  # whatever happened: base tells which of the two it is
            _settle(repository, emit)


def settle(repository: Repository, emit: Emit) -> None:
    """Finish or undo a landing that was cut off. Raises Refused where a person has to look."""
    if Journal(repository.records.root).read():
        with Work(repository, "", emit).repository_locked():
            _settle(repository, emit)


def _settle(repository: Repository, emit: Emit) -> None:
    journal = Journal(repository.records.root)
    landing = journal.read()
    if landing is None:
        return
    stands = repository.git.branch(landing.base) == landing.expected
    if stands and _undo(repository.git, landing):
        said = f"a landing on {landing.base} was cut off before it counted; it is undone"
        emit(Warned("", said))
    _conclude(repository, landing)
    journal.erase()


def _conclude(repository: Repository, landing: Landing) -> None:
    """Write down that it landed, if it did."""
    git = repository.git
    head = git.branch(landing.base)
    if head is None or not (head == landing.candidate or git.is_ancestor(landing.candidate, head)):
        return
    for instance, commit in landing.heads.items():
        work = Work(repository, instance, lambda event: None)
        if work.has_record():
            work.change(merge={"state": "landed", "commit": landing.candidate, "head": commit})
            work.note("landed", run=landing.run, commit=landing.candidate, head=commit)
    run = Run(repository.records.root, landing.run)
    if (run.folder / "run.json").exists():
        run.note("landed", base=landing.base, was=landing.expected, commit=landing.candidate)
        before = run.read()["landed"]
        entry = {
            "commit": landing.candidate,
            "was": landing.expected,
            "base": landing.base,
            "heads": landing.heads,
        }
        if entry not in before:
            run.write(landed=[*before, entry])


def _undo(git: Git, landing: Landing) -> bool:
    """Put files back that git was killed over: each was clean before, so it is whole again when
    it is what base holds. One that is neither that nor (a part of) the candidate's is left, and
    Refused is raised. Returns whether there were any."""
    holder = base_branch.checkout_of(git, landing.base)
    if holder is None:
        return False
    git.unlock_index(holder.path)
    foreign = []
    changed = git.changed_between(landing.expected, landing.candidate)
    touched = base_branch.in_the_way(git, holder.path, landing.expected, landing.candidate)
    for path in touched:
        if not _is_ours(git, holder.path, landing.candidate, path):
            foreign.append(path)
        elif changed[path] == "A":
            (holder.path / path).unlink(missing_ok=True)
        else:
            git.restore(holder.path, landing.expected, path)
    if foreign:
        raise Refused(
            f"A landing on {landing.base} was cut off, and these files in {holder.path} are "
            f"neither the old nor the new: {listed(foreign)}.",
            hint=f"Look at them, then put them back with: git -C {holder.path} restore FILE",
        )
    return bool(touched)


def _is_ours(git: Git, checkout: Path, candidate: str, path: str) -> bool:
    """Whether a file is the candidate's, or what git had written of it."""
    there = checkout / path
    if there.is_symlink():
        return os.fsencode(there.readlink()) == git.blob(candidate, path)
    if not there.exists():
        return True
    new = git.blob(candidate, path) or b""
    now = disk.read_untrusted(there) or b""
    return new.startswith(now) or git.hash_file(checkout, path) == git.object_id(candidate, path)
