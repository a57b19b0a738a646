"""A project and the verbs on it, with the fake engine: everything but the isolation is real."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from runner.adapters.store.run_folder import RunFolder
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.lifecycle.up import UpResult, up
from runner.controller.project import Project, Repository, open_project, open_repository
from runner.controller.stream import Stream
from runner.controller.verbs import Controller
from runner.domain.answers import Answer
from runner.domain.errors import RunnerError
from runner.domain.events import Event, Said, StepStarted, Warned
from runner.domain.instance.record import Record, View
from runner.domain.requests.cleanup import Clean, Cleaned
from runner.domain.requests.lifecycle import Down
from runner.domain.requests.observe import List
from runner.domain.requests.request import Request
from tests.contract.fake_engine import FakeEngine

_Answer = TypeVar("_Answer", bound=Answer)


@dataclass
class Shop:
    """The project `shop` in the folder `repo`, and everything its verbs said."""

    repo: Path
    engine: FakeEngine
    events: list[Event] = field(default_factory=list)

    @property
    def emit(self) -> Stream:
        """The stream of a verb, whose events are kept."""
        return Stream(lambda told: self.events.append(told.event))

    @property
    def repository(self) -> Repository:
        return open_repository(self.repo, connect=lambda: self.engine)

    @property
    def project(self) -> Project:
        return open_project(self.repository)

    @property
    def warnings(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Warned)]

    @property
    def remarks(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Said)]

    @property
    def steps(self) -> list[str]:
        return [event.step for event in self.events if isinstance(event, StepStarted)]

    def configure(self, **keys: Any) -> None:
        """Change keys of treedock.yaml."""
        path = self.repo / "treedock.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **keys}))

    def bring(self, *wishes: str | InstanceRequest, fetch: bool = False) -> list[UpResult]:
        """`up` of all these; raises only what concerns all of them."""
        self.events.clear()
        asked = [InstanceRequest(wish) if isinstance(wish, str) else wish for wish in wishes]
        return up(self.project, asked, self.emit, fetch=fetch)

    def up(self, wish: str | InstanceRequest) -> Record:
        """`up` of one, which has to succeed; returns its record."""
        (brought,) = self.bring(wish)
        if brought.error:
            raise brought.error
        assert brought.view is not None
        return self.record(brought.view.id)

    def refusal(self, wish: str | InstanceRequest) -> RunnerError:
        """What `up` of one fails with."""
        (brought,) = self.bring(wish)
        assert brought.error is not None, "it went up"
        return brought.error

    def ask(self, request: Request[_Answer]) -> _Answer:
        """The answer to a request; raises the first error in it."""
        controller = Controller.open(self.repo, connect=lambda: self.engine)
        answer = controller.run(request, lambda told: self.events.append(told.event))
        answer.require()
        return answer

    def down(self, instance: str) -> bool:
        return bool(self.ask(Down(ids=(instance,))).results[0].changed)

    def clean(
        self,
        instance: str,
        *,
        force: bool = False,
        force_dirty: bool = False,
        force_unmerged: bool = False,
        keep_ignored: bool = False,
        dry_run: bool = False,
    ) -> Cleaned:
        self.events.clear()
        request = Clean(
            ids=(instance,), dry_run=dry_run, force=force, force_dirty=force_dirty,
            force_unmerged=force_unmerged, keep_ignored=keep_ignored,
        )  # fmt: skip
        return self.ask(request).cleaned[0]

    def list(self) -> list[View]:
        return [*self.ask(List()).instances]

    def record(self, instance: str) -> Record:
        return self.repository.record(instance)

    def tree(self, instance: str) -> Path:
        """The instance's worktree."""
        return Path(self.record(instance).worktree)

    def processes(self, instance: str) -> RunFolder:
        return RunFolder(self.repository.records.folder(instance) / "run")
