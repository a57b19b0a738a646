"""The table of verbs, and the one door to them.

    controller = Controller.open(Path("shop"))
    answer = controller.run(Up(ids=("auth",)), print)

What a verb is asked is a request (runner.domain.requests), what it answers an answer
(runner.domain.answers), and what happens in between are events (runner.domain.events).
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from runner.adapters.engine.protocol import Engine
from runner.controller.project import Repository, connect, open_project, open_repository
from runner.controller.stream import Stream
from runner.domain.answers import Answer, problem_of
from runner.domain.errors import RunnerError, unavailable
from runner.domain.events import Emit, Listener, OperationEnded
from runner.domain.requests.request import Request, answer_of

_Answer = TypeVar("_Answer", bound=Answer)

Scope = Literal["machine", "repository", "project"]
"""What a verb needs: nothing but the folder it was asked in; the repository there; that, and a
treedock.yaml without faults."""

Effect = Literal["look", "change", "destroy"]
"""The most that a verb does: nothing; what can be taken back; removing what it may have to refuse
to remove."""


@dataclass(frozen=True)
class Verb:
    """`room` is the module of runner.controller.verbs, and of runner.domain.requests, that has it:
    a function named after the verb (' ' and '-' as '_'), which takes what `scope` says, the
    request and the listener."""

    room: str
    request: str
    scope: Scope
    effect: Effect


VERBS = {
    "up": Verb("lifecycle", "Up", "project", "change"),
    "down": Verb("lifecycle", "Down", "repository", "change"),
    "restart": Verb("lifecycle", "Restart", "project", "change"),
    "list": Verb("observe", "List", "repository", "look"),
    "status": Verb("observe", "Status", "project", "look"),
    "clean": Verb("cleanup", "Clean", "repository", "destroy"),
}


def request_of(verb: str) -> type[Request[Any]]:
    """The class of a verb's requests."""
    row = VERBS[verb]
    module = importlib.import_module(f"runner.domain.requests.{row.room}")
    return cast(type[Request[Any]], getattr(module, row.request))


def act_of(verb: str) -> Callable[..., Answer]:
    """The function that carries a verb out."""
    module = importlib.import_module(f"{__name__}.{VERBS[verb].room}")
    name = verb.replace(" ", "_").replace("-", "_")
    act = getattr(module, name, None) or getattr(module, f"{name}_")
    return cast(Callable[..., Answer], act)


class Controller:
    """The verbs on the repository that `folder` lies in. Several may run at once, in threads.

    The repository and its treedock.yaml are read anew for each request, so a Controller may be
    kept for as long as one likes.
    """

    def __init__(self, folder: Path, *, connect: Callable[[], Engine] = connect) -> None:
        self.folder = folder
        self._connect = connect

    @classmethod
    def open(
        cls, folder: Path | None = None, *, connect: Callable[[], Engine] = connect
    ) -> "Controller":
        """The one for `folder`, by default the current one. Nothing is read yet."""
        return cls(folder or Path(), connect=connect)

    def run(self, request: Request[_Answer], listener: Listener | None = None) -> _Answer:
        """Carry a request out; `listener` gets its events while it works.

        What goes wrong is in the answer (see Answer.require), and never raised. The last event is
        an OperationEnded.
        """
        emit = Stream(listener)
        try:
            answer = self._act(request, emit)
        except RunnerError as error:
            answer = self._failed(request, error)
        except OSError as error:  # a full disk, a missing right
            answer = self._failed(request, unavailable(error))
        code = next((problem.code for problem in answer.errors), None)
        emit(OperationEnded(request.verb, answer.exit_code, code))
        return replace(answer, verb=request.verb)

    def _act(self, request: Request[_Answer], emit: Emit) -> _Answer:
        scope = VERBS[request.verb].scope
        place: object = self
        if scope != "machine":
            place = open_repository(self.folder, connect=self._connect)
        if scope == "project":
            place = open_project(cast(Repository, place))
        return cast(_Answer, act_of(request.verb)(place, request, emit))

    def _failed(self, request: Request[_Answer], error: RunnerError) -> _Answer:
        return cast(_Answer, answer_of(type(request))(error=problem_of(error)))
