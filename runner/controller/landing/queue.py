"""The merge queue at work: candidates are built, tested side by side, and landed in order."""

import secrets
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from runner.adapters import cancellation
from runner.adapters.git.rehearsal import merge_trees
from runner.adapters.store.runs import Landing, Run
from runner.controller.instance.worktree import FETCH_TIMEOUT
from runner.controller.landing import gates
from runner.controller.landing.land import land
from runner.controller.landing.recovery import PINS
from runner.controller.operation import Operation
from runner.controller.project import CONFIG_FILE, Project
from runner.domain.config.sections import Gate
from runner.domain.errors import BaseMoved, GitFailed, LimitReached, Refused, RunnerError
from runner.domain.events import Emit, Said, Tested, Warned
from runner.domain.landing import queue as merge_queue
from runner.domain.landing.flagged import case_twins
from runner.domain.landing.queue import MergeQueue, Trial, Verdict
from runner.domain.text import listed, sentences

if TYPE_CHECKING:
    from runner.domain.requests.landing import Merge

GLANCE = 0.5  # seconds between two looks at whether `down` has stopped one of the instances


class Queue:
    """One run over `heads` (id -> commit, in landing order) on top of the commit `base`. What
    lands is pushed to `remote` first, where there is one.

    After `go`: `verdicts` by id, `commits` with the candidate of each that landed, `messages`
    with what failed in a trial, `clashes` with those that an id conflicts with by itself, `error`
    for what stopped everything.
    """

    def __init__(
        self,
        project: Project,
        run: Run | None,
        base: str,
        heads: Mapping[str, str],
        wanted: "Merge",
        emit: Emit,
        remote: str | None,
    ) -> None:
        self.project = project
        self.wanted = wanted
        self.commits: dict[str, str] = {}
        self.messages: dict[Trial, str] = {}
        self.clashes: dict[str, list[str]] = {}
        self.error: RunnerError | None = None
        self._run = run
        self._heads = heads
        self._emit = emit
        self._remote = remote
        self._git = project.repository.git
        self._roots = [base]
        self._built: dict[Trial, str] = {}
        self._logs: dict[Trial, Path] = {}
        width = wanted.width or project.config.merge.width
        self._queue = MergeQueue(waiting=tuple(heads), width=width)
        self._configured = at_base(project, base)
        self._dry = f"dry-{secrets.token_hex(2)}"
        self._moves_left = project.config.merge.retries

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return merge_queue.verdicts(self._queue)

    def is_integrated(self, id_: str) -> bool:
        """Whether base holds its changes already, be it by a squash merge, as far as git tells."""
        try:
            return self._git.is_integrated(self._heads[id_], self._roots[-1])
        except RunnerError:
            return False

    def log_of(self, id_: str) -> Path | None:
        """The folder with what the gates of an instance printed."""
        verdict = self.verdicts.get(id_)
        if isinstance(verdict, merge_queue.Aside):
            return self._logs.get(verdict.trial) if verdict.trial else None
        found = [path for trial, path in self._logs.items() if trial.chain[-1] == id_]
        return found[-1] if found else None

    def go(self) -> None:
        """Until every id has landed or is set aside; an error stops what has not landed."""
        pool = ThreadPoolExecutor(
            self._queue.width, initializer=cancellation.adopt, initargs=(cancellation.current(),)
        )
        running: dict[Future[gates.Verdict], Trial] = {}
        try:
            while not merge_queue.is_done(self._queue):
                cancellation.look()
                self._require_none_stopped()
                landing = merge_queue.to_land(self._queue)
                if landing:
                    self._land(landing)
                    continue
                if self._start(pool, running):
                    continue
                self._cancel(running)
                ended, _ = wait(running, timeout=GLANCE, return_when=FIRST_COMPLETED)
                for future in ended:
                    self._take(running.pop(future), future)
        except RunnerError as error:
            self.error = error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            with cancellation.shielded():
                self._cancel(running, everything=True)
                while wait(running, timeout=GLANCE).not_done:
                    # More than once: a test may have been about to get its container.
                    self._cancel(running, everything=True)
                self._unpin()

    def _require_none_stopped(self) -> None:
        """Raises Stopped where `down` of another process stopped one that has not landed: it is
        to be left alone, so nothing of this run lands any more."""
        for id_ in self._heads.keys() - self.commits.keys():
            Operation(self.project, id_, self._emit).require_not_stopped()

    def _gates(self) -> list[Gate]:
        wanted = self.wanted
        return gates.gates_of(self._configured, wanted.gates, none=wanted.no_gate)

    def _start(self, pool: ThreadPoolExecutor, running: dict[Future[gates.Verdict], Trial]) -> bool:
        """Begin what is to be tested. True: the train has moved on, look again."""
        for trial in merge_queue.to_test(self._queue):
            commit = self._candidate(trial)
            if commit is None:
                return True
            self._queue = merge_queue.started(self._queue, trial)
            if not self._gates():
                self._queue = merge_queue.finished(self._queue, trial, True)
                return True
            self._emit(Said(f"testing {'+'.join(trial.chain)} at {commit[:10]}"), trial.chain[-1])
            running[pool.submit(self._test, trial, commit)] = trial
        return False

    def _candidate(self, trial: Trial) -> str | None:
        """The commit of a trial, built on that of the shorter chain; None for a conflict, which
        the train then knows of."""
        if trial in self._built:
            return self._built[trial]
        *before, id_ = trial.chain
        onto = self._roots[trial.root]
        if before:
            shorter = self._candidate(Trial(trial.root, tuple(before)))
            assert shorter is not None, "a chain is tested only behind one that merged"
            onto = shorter
        head = self._heads[id_]
        merged = merge_trees(self._git, onto, head, self._roots[trial.root])
        if merged.tree is None:
            self.clashes[id_] = [one for one in before if self._clash(one, head)]
            self._queue = merge_queue.conflicted(self._queue, trial, tuple(merged.files))
            return None
        commit = self._git.commit_tree(merged.tree, [onto, head], self._message(id_))
        if self._run:
            name = f"{PINS}/{self._run.id}/{len(self._built)}"
            self._git.update_refs({name: (commit, None)})
        self._built[trial] = commit
        return commit

    def _clash(self, id_: str, head: str) -> bool:
        """Whether the two conflict by themselves, as far as git tells."""
        try:
            return merge_trees(self._git, self._heads[id_], head, self._roots[-1]).tree is None
        except RunnerError:
            return False

    def _message(self, id_: str) -> str:
        record = self.project.repository.record(id_)
        subject = self.wanted.message or f"Merge {record.git.branch} ({id_})"
        purpose = " ".join((record.purpose or "").split())
        return f"{subject}\n\nImplements: {purpose}\n" if purpose else f"{subject}\n"

    def _test(self, trial: Trial, commit: str) -> gates.Verdict:
        name = self._name(trial)
        assert self._run is not None or self.wanted.dry_run
        root = self.project.repository.records.root
        log = (self._run or Run(root, self._dry)).log(name)
        self._logs[trial] = log
        return gates.run_gates(
            self._configured, name, commit, self._gates(),
            base_commit=self._roots[trial.root], log=log, emit=self._emit.aside(trial.chain[-1]),
            wanted=lambda: trial in self._queue.running,
        )  # fmt: skip

    def _name(self, trial: Trial) -> str:
        """Short, and another one for every trial of every run."""
        run = self._run.id[-4:] if self._run else self._dry
        return f"{run}.{list(self._built).index(trial)}"

    def _take(self, trial: Trial, future: "Future[gates.Verdict]") -> None:
        if trial not in self._queue.running:
            return  # cancelled: whatever it ended with
        verdict = future.result()
        colour, chain = "green" if verdict.green else "red", "+".join(trial.chain)
        self._emit(Said(f"{chain} is {colour}"), trial.chain[-1])
        if not verdict.green:
            self.messages[trial] = verdict.message
        tested = Tested(tuple(trial.chain), self._built[trial], verdict.green)
        notice = self._emit(tested)
        if self._run:
            self._run.journal(notice)
        self._queue = merge_queue.finished(self._queue, trial, verdict.green)

    def _cancel(
        self, running: dict[Future[gates.Verdict], Trial], *, everything: bool = False
    ) -> None:
        """Take the container away from under tests whose result does not matter any more."""
        doomed = set(running.values()) if everything else set(merge_queue.to_cancel(self._queue))
        for trial in doomed:
            gates.cancel(self._configured, self._name(trial))
            self._queue = merge_queue.stopped(self._queue, trial)

    def _land(self, trial: Trial) -> None:
        base = self.project.base
        commit = self._built[trial]
        ahead = self._queue.ahead
        expected = self._built[Trial(trial.root, ahead)] if ahead else self._roots[trial.root]
        new = trial.chain[len(ahead) :]
        self._warn_of_twins(expected, commit)
        if self.wanted.dry_run or self._run is None:
            self._landed(trial, new)
            return
        heads = {id_: self._heads[id_] for id_ in new}
        try:
            if self._remote:
                self._push_first(self._remote, base, expected, commit)
            landing = Landing(self._run.id, base, expected, commit, heads)
            self._land_here(landing)
        except BaseMoved:
            self._follow(base)
        else:
            self._landed(trial, new)
            names = "+".join(new)
            self._emit(Said(f"{names} landed on {base} as {commit[:10]}"))

    def _land_here(self, landing: Landing) -> None:
        try:
            land(self.project.repository, landing, self._emit)
        except BaseMoved:
            raise
        except Refused as error:
            if self._remote is None:
                raise
            raise Refused(
                sentences(f"{self._remote} has {landing.candidate[:10]} already.", error.message),
                hint=error.hint,
            ) from error

    def _warn_of_twins(self, old: str, new: str) -> None:
        """Two that are one to macOS and Windows may come from two branches."""
        if "A" not in self._git.changed_between(old, new).values():
            return
        before, after = (case_twins(self._git.names(commit)) for commit in (old, new))
        for twins in sorted(after - before):
            said = "differ only in case: macOS and Windows check out only one of them"
            self._emit(Warned(f"{listed(twins)} {said}"))

    def _landed(self, trial: Trial, new: tuple[str, ...]) -> None:
        for n in range(1, len(new) + 1):
            chain = trial.chain[: len(trial.chain) - len(new) + n]
            self.commits[chain[-1]] = self._built[Trial(trial.root, chain)]
        self._queue = merge_queue.landed(self._queue, trial)

    def _push_first(self, remote: str, base: str, expected: str, commit: str) -> None:
        """The remote decides: nothing is landed here that it has rejected."""
        from runner.adapters.git import base_branch as landing
        from runner.adapters.git import lfs, remotes

        if self._git.branch(base) != expected:
            raise BaseMoved(f"{base} has moved meanwhile.")
        landing.require_free(self._git, base, expected, commit)
        lfs.push(self._git, remote, commit)
        try:
            remotes.push(self._git, remote, commit, base)
        except Refused as error:
            self._git.fetch(base, FETCH_TIMEOUT)
            there = self._git.heads(base)[1]
            if there and not self._git.is_ancestor(there, commit):
                raise BaseMoved(error.message, hint=error.hint) from error
            raise Refused(
                sentences("Nothing has moved.", error.message),
                hint=f"Its rules may forbid a push: open a pull request with treedock pr, or ask "
                f"it yourself: git push {remote} {commit}:refs/heads/{base}",
            ) from error

    def _follow(self, base: str) -> None:
        """Base has moved: everything is built and tested again on top of it."""
        if self._moves_left == 0:
            raise LimitReached(
                f"{base} moved again and again; gave up after {self.project.config.merge.retries} "
                "retries.",
                hint="Run the same command again, or raise merge.retries.",
            )
        self._moves_left -= 1
        if self._remote:
            follow_remote(self.project, self._emit)
        head = self._git.branch(base)
        assert head is not None
        self._emit(Said(f"{base} has moved to {head[:10]}; building and testing again"))
        self._roots.append(head)
        self._configured = at_base(self.project, head)
        self._queue = merge_queue.moved(self._queue)

    def _unpin(self) -> None:
        if self._run:
            pinned = self._git.refs(f"{PINS}/{self._run.id}")
            with self.project.repository.locked():
                self._git.update_refs({name: (None, commit) for name, commit in pinned.items()})


def follow_remote(project: Project, emit: Emit) -> None:
    """Fetch base, and bring ours forward to it, or make ours. Raises Refused where both have gone
    on."""
    git, base = project.repository.git, project.base
    remote, tracking = git.remote_of(base), git.tracking(base)
    try:
        git.fetch(base, FETCH_TIMEOUT)
    except GitFailed as error:
        raise _unanswered(remote, base, error) from error
    here, there = git.heads(base)
    if here is None and there:
        with project.repository.locked():
            git.update_refs({f"refs/heads/{base}": (there, None)})
        emit(Said(f"{base} is made here, at {tracking}"))
    if here is None or there is None or here == there or git.is_ancestor(there, here):
        return
    if not git.is_ancestor(here, there):
        pull = f"git switch {base} && git pull --no-rebase {remote} {base}"
        raise Refused(
            f"{base} and {tracking} have diverged.", hint=f"Bring them together first: {pull}"
        )
    land(project.repository, Landing("", base, here, there, {}), emit)
    emit(Said(f"{base} followed {tracking} to {there[:10]}"))


def is_at_remote(project: Project, remote: str) -> bool:
    """Whether the remote has base; it is asked where nothing is known. Raises GitFailed."""
    from runner.adapters.git import remotes

    git, base = project.repository.git, project.base
    if git.heads(base)[1]:
        return True
    try:
        return remotes.head_at(git, remote, base) is not None
    except GitFailed as error:
        raise _unanswered(remote, base, error) from error


def _unanswered(remote: str | None, base: str, error: GitFailed) -> GitFailed:
    return GitFailed(
        sentences(f"{remote} cannot be asked for {base}.", error.message),
        hint="Land on this machine alone with: treedock merge --no-push ...",
    )


def at_base(project: Project, commit: str) -> Project:
    """The project with the configuration that base's commit holds: a candidate cannot weaken its
    own gates."""
    from runner.adapters.files import yaml_file
    from runner.domain.config.validate import validate

    data = project.repository.git.blob(commit, CONFIG_FILE)
    found = project.config
    if data is not None:
        found = validate(yaml_file.parse(data, CONFIG_FILE), f"{CONFIG_FILE} of base")
    found = replace(found, base=project.base)
    return Project(project.repository, found, project.user)
