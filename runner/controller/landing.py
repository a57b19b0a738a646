"""Landing, so that a kill at any moment leaves base at the old commit or at the tested one, and
the next verb finishes or undoes the rest."""

from runner.adapters import disk
from runner.adapters import landing as base_branch
from runner.adapters.git import Git
from runner.adapters.runs import Journal, Landing, Run
from runner.controller.opening import Repository
from runner.controller.work import Work
from runner.domain.errors import Refused
from runner.domain.events import Emit, Warned


def land(repository: Repository, landing: Landing, emit: Emit) -> None:
    """Move base to a tested candidate: intent, act, erase. The caller holds no lock.

    Raises BaseMoved where base is elsewhere by now, Refused where files are in the way; nothing
    is changed then.
    """
    work = Work(repository, "", emit)
    with work.repository_locked():
        _settle(repository, emit)
        journal = Journal(repository.records.root)
        journal.begin(landing)
        try:
            base_branch.land(repository.git, landing.base, landing.expected, landing.candidate)
        finally:
            # Whatever happened, git has ended: base tells which of the two it is.
            _conclude(repository, landing)
            journal.erase()


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
    if repository.git.branch(landing.base) == landing.expected:
        _undo(repository.git, landing)
        emit(Warned("", f"a landing on {landing.base} was cut off before it counted; it is undone"))
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


def _undo(git: Git, landing: Landing) -> None:
    """Put files back that git was killed over: each was clean before, so it is whole again when
    it is what base holds. One that is neither that nor (a part of) the candidate's is left."""
    holder = base_branch.checkout_of(git, landing.base)
    if holder is None:
        return
    git.unlock_index(holder.path)
    foreign = []
    for path, what in git.changed_between(landing.expected, landing.candidate).items():
        now = disk.read_untrusted(holder.path / path) or b""
        new = git.blob(landing.candidate, path) or b""
        if now != git.blob(landing.expected, path) and not new.startswith(now):
            foreign.append(path)
        elif what == "A":
            (holder.path / path).unlink(missing_ok=True)
        else:
            git.restore(holder.path, landing.expected, path)
    if foreign:
        raise Refused(
            f"A landing on {landing.base} was cut off, and these files in {holder.path} are "
            f"neither the old nor the new: {', '.join(foreign)}.",
            hint=f"Look at them, then put them back with: git -C {holder.path} restore FILE",
        )
