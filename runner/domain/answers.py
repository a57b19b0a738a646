"""The answer of every verb: one envelope, whatever face asked.

    schema_version   of this envelope and everything in it
    verb             what was asked, as on the command line
    exit_code        what the command ends with
    error            what kept the verb as a whole from its work, or null
    results          for each instance that it was about: id, whether anything changed, error
    ...              what the verb found or made, under keys of its own

Each class of answers (runner.domain.requests) documents its keys; `treedock schema json` prints the
JSON Schema of all of them.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from runner.domain.errors import RunnerError, error_of
from runner.domain.frozen import dataclass

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Problem:
    """An error: `code` is stable and for programs, `hint` is the next step or empty."""

    code: str
    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True)
class Result:
    """What became of one instance. `changed` is null where the verb changes nothing."""

    id: str
    changed: bool | None = None
    error: Problem | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a verb answers with; the keys of its own have a default, for when it failed."""

    verb: str = ""
    """The verb, as on the command line: 'up', 'db reset'."""
    error: Problem | None = None
    """What kept it as a whole from its work."""
    results: tuple[Result, ...] = ()
    """What became of each instance that it was about, in the order in which they were named."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Every error in it."""
        found = (self.error, *(result.error for result in self.results))
        return tuple(error for error in found if error)

    @property
    def exit_code(self) -> int:
        """What the command ends with: the highest of its errors', 0 without one."""
        return max((error.exit_code for error in self.errors), default=0)

    def require(self) -> None:
        """Raises the first error in it, if there is one, as a RunnerError of its kind."""
        for error in self.errors:
            raise error_of(error.code, error.message, error.hint)

    def to_json(self) -> dict[str, Any]:
        """The document of --json."""
        head = {"schema_version": SCHEMA_VERSION, "verb": self.verb, "exit_code": self.exit_code}
        return head | asdict(self)


def problem_of(error: RunnerError) -> Problem:
    """An error as it stands in an answer."""
    return Problem(error.code, error.message, error.hint, error.exit_code)


def results_of(ids: Sequence[str], answers: Sequence[object]) -> tuple[Result, ...]:
    """The result for each id of what a verb returned for it: an error, whether anything changed,
    or anything else."""
    return tuple(map(_result, ids, answers))


def _result(instance: str, answer: object) -> Result:
    if isinstance(answer, RunnerError):
        return Result(instance, error=problem_of(answer))
    if isinstance(answer, Problem):
        return Result(instance, error=answer)
    return Result(instance, answer if isinstance(answer, bool) else None)
