"""Running one request from the command line."""

from typing import TypeVar

from runner.cli.process import cancellable
from runner.cli.progress import narration
from runner.controller.verbs import Controller, Token
from runner.domain.answers import Answer
from runner.domain.requests.request import Request

_Answer = TypeVar("_Answer", bound=Answer)


def run(request: Request[_Answer], *, timings: bool = False) -> _Answer:
    """The answer to a request about the repository that we stand in; its events go to stderr, with
    `timings` how long each step took. Ctrl-C cancels it."""
    token = Token()
    with cancellable(token.cancel), narration(timings=timings) as listener:
        return Controller.open().run(request, listener, token)
