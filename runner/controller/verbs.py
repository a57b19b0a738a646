"""The one door to the verbs (runner.controller.table).

    controller = Controller.open(Path("shop"))
    answer = controller.run(Up(ids=("auth",)), print)

What a verb is asked is a request (runner.domain.requests), what it answers an answer
(runner.domain.answers), and what happens in between are events (runner.domain.events).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from runner.adapters import cancellation
from runner.adapters.cancellation import Token as Token
from runner.adapters.engine.protocol import Engine
from runner.controller.project import Place, Repository, connect, open_project
from runner.controller.stream import Stream
from runner.controller.table import VERBS, act_of
from runner.domain.answers import Answer, problem_of
from runner.domain.errors import Interrupted, RunnerError, unavailable
from runner.domain.events import Emit, Listener, OperationEnded
from runner.domain.instance.streams import Streams
from runner.domain.requests.request import Request, answer_of

if TYPE_CHECKING:
    from runner.domain.requests.inside import Attachable
    from runner.domain.requests.observe import LogLines

_Answer = TypeVar("_Answer", bound=Answer)


class Controller:
    """The verbs on the repository that `folder` lies in. Several may run at once, in threads.

    The repository and its treedock.yaml are read again for each request, so a Controller may be
    kept for as long as one likes.
    """

    def __init__(self, folder: Path, *, connect: Callable[[], Engine] = connect) -> None:
        self._place = Place(folder, connect)

    @classmethod
    def open(
        cls, folder: Path | str | None = None, *, connect: Callable[[], Engine] = connect
    ) -> "Controller":
        """The one for `folder`, by default the current one. Nothing is read yet."""
        return cls(Path(folder or "."), connect=connect)

    def run(
        self,
        request: Request[_Answer],
        listener: Listener | None = None,
        token: Token | None = None,
    ) -> _Answer:
        """Carry a request out; `listener` gets its events while it works.

        What goes wrong is in the answer (see Answer.require), and never raised. The last event is
        an OperationEnded. `token` is what cancels it, from another thread, by default that of the
        operation in which it is called: then the answer is the error 'cancelled'.
        """
        emit = Stream(listener)
        try:
            with cancellation.within(token or cancellation.current()):
                answer = self._act(request, emit)
        except cancellation.Cancelled:
            answer = self._failed(request, Interrupted())
        except RunnerError as error:
            answer = self._failed(request, error)
        except OSError as error:  # a full disk, a missing right
            answer = self._failed(request, unavailable(error))
        code = next((problem.code for problem in answer.errors), None)
        emit.end(OperationEnded(request.verb, answer.exit_code, code))
        return replace(answer, verb=request.verb)

    def follow(self, seen: "LogLines") -> Iterator[tuple[str, list[str]]]:
        """(name, new lines) of the logs in an answer to Logs, without end; of a log that begins
        again all of it. Raises EngineUnavailable, NotFound."""
        from runner.controller.observe.logs import follow

        return follow(self._place.repository(), seen.id, list(seen.logs))

    def attach(self, request: "Attachable", streams: "Streams", *, on_terminal: bool) -> int:
        """Run a command inside with the streams of the caller; returns its exit code.

        Raises RunnerError, and Signalled as it comes; `on_terminal` says that the streams are a
        terminal.
        """
        from runner.controller.acts.inside import attach

        return attach(self._place, request, streams, on_terminal=on_terminal)

    def _act(self, request: Request[_Answer], emit: Emit) -> _Answer:
        place: object = self._place
        scope = VERBS[request.verb].scope
        if scope != "machine":
            place = self._place.repository()
        if scope == "project":
            place = open_project(cast(Repository, place))
        return cast(_Answer, act_of(request.verb)(place, request, emit))

    def _failed(self, request: Request[_Answer], error: RunnerError) -> _Answer:
        return cast(_Answer, answer_of(type(request))(error=problem_of(error)))
