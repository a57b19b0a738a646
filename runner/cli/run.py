"""Running one request from the command line."""

from dataclasses import replace
from typing import TypeVar

from runner.cli.process import cancellable
from runner.cli.progress import narration
from runner.controller.verbs import Controller, Token
from runner.domain.answers import Answer
from runner.domain.errors import Interrupted
from runner.domain.requests.request import Request

_Answer = TypeVar("_Answer", bound=Answer)


def run(request: Request[_Answer], *, timings: bool = False) -> _Answer:
    """The answer to a request about the repository that we stand in; its events go to stderr, with
    `timings` how long each step took. Ctrl-C cancels it, and so do SIGTERM and SIGHUP."""
    token = Token()
    with cancellable(token.cancel) as signals, narration(timings=timings) as listener:
        return _of_shell(Controller.open().run(request, listener, token), signals)


def _of_shell(answer: _Answer, signals: list[int]) -> _Answer:
    """The answer of what was cancelled by one of these, with the exit code of a shell: 143 for
    SIGTERM."""
    if not signals or answer.error is None or answer.error.code != Interrupted.code:
        return answer
    return replace(answer, error=replace(answer.error, exit_code=128 + signals[0]))
