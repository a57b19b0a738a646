"""The work on one instance: what it is about, its lock, its steps as events."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Engine, Filter
from runner.adapters.files import untrusted
from runner.adapters.git.repository import Git
from runner.adapters.store import locks
from runner.adapters.store.folder import Folder
from runner.adapters.store.records import Records
from runner.controller.project import Project, Repository, limits_of, open_project, was_moved
from runner.domain.errors import BranchExists, Refused, RunnerError, Stopped
from runner.domain.events import (
    PASSING,
    Emit,
    Event,
    Notice,
    Said,
    StepFailed,
    StepFinished,
    StepStarted,
    Warned,
)
from runner.domain.instance.container import LABEL_SIDECAR, Container
from runner.domain.instance.environment import (
    ENV_BYTES,
    ENV_FILE,
    require_one_argument,
    values_of,
    without_loaders,
)
from runner.domain.instance.names import Names, is_throwaway
from runner.domain.instance.record import Record
from runner.domain.text import sentences

if TYPE_CHECKING:
    from runner.domain.config.project import Config
    from runner.domain.config.sections import Limits


THROWAWAY_TIMEOUT = 3600.0  # seconds for one set-up step, smoke test or reset


class Operation:
    """One verb at work on one instance. The record in it is always the one on disk.

    treedock.yaml is read when it is asked for, unless `scope` is a project: `down` and `clean`
    have to work when that file is broken. `or_copied`: see Repository.record.
    """

    def __init__(
        self, scope: Repository | Project, instance: str, emit: Emit, *, or_copied: bool = False
    ) -> None:
        self._project = scope if isinstance(scope, Project) else None
        self.repository = scope.repository if isinstance(scope, Project) else scope
        self.id = instance
        self.emit = emit
        self._or_copied = or_copied
        self.base_env: Mapping[str, str] | None = None
        """What base's own `.env` says, at a candidate that may bring another one."""
        self._image: str | None = None
        self.apart = False
        """Whether git is to run beside the instance and never in it, for a few seconds at most:
        so do `down` and `clean`, which nothing inside may hold up or mislead."""
        self.together: Collection[str] = ()
        """Instances that are removed with it, so that their branches hold nothing for it."""
        self._record: Record | None = None

    @property
    def project(self) -> Project:
        """Raises ConfigError where treedock.yaml is broken."""
        if self._project is None:
            self._project = open_project(self.repository)
        return self._project

    @property
    def config(self) -> "Config":
        return self.project.config

    @property
    def limits(self) -> "Limits":
        """Those of treedock.yaml; the defaults where that is broken."""
        return self._project.config.limits if self._project else limits_of(self.repository)

    @property
    def image(self) -> str:
        """The image of its container, which has to be ensured before anything is brought up."""
        assert self._image is not None, "an image is chosen before a bring-up"
        return self._image

    @image.setter
    def image(self, image: str) -> None:
        self._image = image

    @property
    def throwaway(self) -> bool:
        """Whether the instance is no one's: nothing of it is published or outlives the operation,
        and what runs in it is judged. Its set-up, smoke test and reset run attached, so that their
        exit codes are the engine's, which the code that runs cannot write."""
        return is_throwaway(self.id)

    @property
    def process_timeout(self) -> float | None:
        """Seconds for one of these; None is without end."""
        return THROWAWAY_TIMEOUT if self.throwaway else None

    @property
    def git(self) -> Git:
        return self.repository.git

    @property
    def engine(self) -> Engine:
        return self.repository.engine

    @property
    def records(self) -> Records:
        return self.repository.records

    @property
    def names(self) -> Names:
        """What its parts are called."""
        if self.throwaway:  # also without its record, which may be gone or damaged
            return self.project.names(self.id)
        return Names(self.record.project, self.id, self.repository.key)

    @property
    def folder(self) -> Folder:
        """What treedock keeps for it."""
        return Folder(self.records.folder(self.id))

    @property
    def record(self) -> Record:
        if self._record is None:
            self._record = self.repository.record(self.id, or_copied=self._or_copied)
        return self._record

    def is_copied(self) -> bool:
        """Whether its worktree and container are another repository's, that this is a copy of."""
        return self.repository.standing(self.record) == "copied"

    def reread(self) -> Record:
        """The record from disk, where something else may have changed it."""
        self._record = self.records.read(self.id)
        return self.record

    def has_record(self) -> bool:
        return self.records.read(self.id) is not None

    def save(self, record: Record) -> None:
        self.records.write(record)
        self._record = record

    def change(self, **fields: Any) -> None:
        """Keep these fields of the record, on disk first; the others as they are there now."""
        self.save(replace(self.reread(), **fields))

    def container(self) -> Container | None:
        """The instance's container as the engine knows it now."""
        found = self.engine.containers(Filter(repository=self.repository.key, instance=self.id))
        return found[0] if found else None

    def sidecars(self) -> dict[str, Container]:
        """The containers beside it as the engine knows them now, by the sidecar's name."""
        found = self.engine.containers(Filter(repository=self.repository.key, beside=self.id))
        return {one.labels.get(LABEL_SIDECAR, ""): one for one in found}

    @contextlib.contextmanager
    def locked(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the instance's lock; waiting for another treedock is said once. With `timeout`
        it raises Busy after so many seconds.

        An error that leaves the block is Stopped where `down` stopped the instance meanwhile.
        """
        with locks.hold(
            self.records.lock(self.id),
            waiting=lambda who: self.say(f"waiting for {who}, which works on {self.id}"),
            timeout=timeout,
        ):
            self.records.forget_stop(self.id)
            try:
                yield
            except RunnerError as error:
                cause = self.cause_of(error)
                if cause is error:
                    raise
                raise cause from error
            finally:
                self.records.forget_stop(self.id)
                # While it is held: whoever waits for it notices that the file is another one.
                if not self.folder.record.exists():
                    self.records.lock(self.id).unlink(missing_ok=True)

    def cause_of(self, error: RunnerError) -> RunnerError:
        """The error itself, or Stopped where it comes of a `down` of another process."""
        by = self.records.stopped_by(self.id)
        if by is None or isinstance(error, Stopped):
            return error
        return self._stopped(by, sentences("It ended with:", error.message))

    def require_not_stopped(self) -> None:
        """Raises Stopped where another process stopped the instance since the lock is held."""
        by = self.records.stopped_by(self.id)
        if by:
            raise self._stopped(by)

    def _stopped(self, by: str, ended: str = "") -> Stopped:
        return Stopped(
            sentences(
                f"{self.id} was stopped by {by} (treedock down) while this was at work on it.",
                ended,
            ),
            hint=f"Start it again with: treedock up {self.id}",
        )

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One step; that it began, and how it ended and when, are events. Raises Cancelled."""
        cancellation.look()
        self.tell(StepStarted(name))
        started = time.monotonic()

        def seconds() -> float:
            return round(time.monotonic() - started, 3)

        try:
            yield
        except BaseException as error:
            self.tell(StepFailed(name, seconds(), _code_of(error)))
            raise
        self.tell(StepFinished(name, seconds()))

    def tell(self, event: Event) -> None:
        """Tell the listener what happened to this instance, and its events.jsonl what lasts."""
        notice = self.emit(event, self.id)
        if not isinstance(event, PASSING):
            self.records.journal(self.id, notice)
            self.emit.ends_in(self.id, self._journal_end)

    def _journal_end(self, notice: Notice) -> None:
        if self.folder.record.exists():  # it may be gone by now
            self.records.journal(self.id, notice)

    def say(self, text: str) -> None:
        self.tell(Said(text))

    def warn(self, text: str) -> None:
        self.tell(Warned(text))

    def app_ports(self) -> dict[str, int]:
        """The ports that the app is told. Those at which a sidecar is published are the host's
        alone: inside it listens on its own, and the app may call that one DB_PORT."""
        beside = {sidecar.publish for sidecar in self.config.sidecars.values()}
        return {name: port for name, port in self.record.ports.items() if name not in beside}

    def env_file(self) -> dict[str, str]:
        """What the instance's .env holds, for the container's environment. Raises ConfigError for
        a value that no program can get."""
        from runner.adapters.files import env_file

        data = untrusted.read(Path(self.record.worktree) / ENV_FILE, ENV_BYTES) or b""
        values = env_file.values(data.decode(errors="replace"))
        if self.base_env is not None:
            values = without_loaders(values, self.base_env)
        for key, value in values.items():
            require_one_argument(f"{ENV_FILE} of {self.id}: {key}", value)
        return values

    def values(self) -> dict[str, str]:
        """Everything that the app is told."""
        return values_of(self.id, self.app_ports(), self.config.env.set_)


def _code_of(error: BaseException) -> str:
    if isinstance(error, RunnerError | cancellation.Cancelled):
        return error.code
    return type(error).__name__


def require_running(operation: Operation) -> Container:
    """The instance's container, which has to run. Raises NotFound without the instance, and
    Refused when it is stopped."""
    record = operation.record
    container = operation.container()
    if container is None or container.status != "running":
        raise Refused(
            f"The instance {record.id!r} is not running.",
            hint=f"Start it with: treedock up {record.id}",
        )
    return container


def require_worktree(operation: Operation) -> None:
    """Raises Refused where the instance's worktree is not where `up` made it."""
    worktree = Path(operation.record.worktree)
    if os.path.lexists(worktree / ".git"):
        return
    require_not_moved(operation)
    raise Refused(
        f"The worktree of {operation.id}, {worktree}, is gone.",
        hint=f"treedock up {operation.id} makes it again from its branch; treedock clean "
        f"{operation.id} "
        "removes the rest.",
    )


def require_not_moved(operation: Operation) -> None:
    """git has one worktree for a branch. Raises Refused where the instance's, which is missing, is
    at another place, or its branch is checked out in another worktree."""
    path, worktrees = Path(operation.record.worktree), operation.git.worktrees()
    there = next((one.path for one in worktrees if one.branch == operation.record.git.branch), path)
    if there == path:
        return
    if path not in {one.path for one in worktrees}:
        raise was_moved(operation.record, there)
    raise BranchExists(
        f"The worktree of {operation.id} is gone, and its branch {operation.record.git.branch} is "
        "checked out in "
        f"{there}.",
        hint=f"Switch that to another branch first: git -C {there} switch --detach",
    )
