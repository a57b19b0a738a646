"""Exit codes and the stable codes of errors."""

import pytest

from runner.domain import errors
from runner.domain.errors import (
    BranchExists,
    CommandFailed,
    ConfigError,
    EngineUnavailable,
    GitFailed,
    NotFound,
    Refused,
    RunnerError,
    exit_code_of,
)
from runner.domain.text import sentences, with_last_lines

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RunnerError)
]


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [(CommandFailed, 1), (ConfigError, 2), (NotFound, 3), (Refused, 4), (GitFailed, 5)],
)
def test_each_family_has_its_exit_code(kind: type[RunnerError], exit_code: int) -> None:
    family = [one for one in ALL if issubclass(one, kind)]
    assert {one.exit_code for one in family} == {exit_code}


def test_every_error_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    assert len({kind.code for kind in ALL}) == len(ALL)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in ALL)


@pytest.mark.parametrize(
    ("failures", "code"),
    [
        ([], 0),
        ([Refused("x")], 4),
        ([Refused("x"), BranchExists("y")], 4),
        ([Refused("x"), EngineUnavailable("y")], 5),
        ([CommandFailed("x"), CommandFailed("y")], 1),
        ([CommandFailed("x"), ConfigError("y")], 2),
        ([NotFound("x"), Refused("y")], 4),
    ],
)
def test_of_several_failures_the_highest_code_counts(
    failures: list[RunnerError], code: int
) -> None:
    assert exit_code_of(failures) == code


@pytest.mark.parametrize("kind", ALL)
def test_no_name_in_an_error_writes_a_line_of_its_own(kind: type[RunnerError]) -> None:
    error = kind("x\nfine\x1b[2J", hint="rm y\nz")
    assert (error.message, error.hint, str(error)) == (
        r"x\x0afine\x1b[2J",
        r"rm y\x0az",
        r"x\x0afine\x1b[2J",
    )
    assert kind(error.message).message == error.message


def test_last_lines_stand_below_and_stay_bounded() -> None:
    error = RunnerError(with_last_lines("a\nb failed.", ["c\rd", "e" * 5000]))
    sentence, first, second = error.message.split("\n")
    assert (sentence, first) == (r"a\x0ab failed. Its last lines:", r"    c\x0dd")
    assert len(second) < 400
    assert "4700 characters more" in second
    assert RunnerError(sentences("Again.", error.message)).message == f"Again. {error.message}"


def test_the_lines_of_an_error_are_lines_in_the_message_of_another() -> None:
    error = CommandFailed(with_last_lines("The reset failed.", ["one", "two\nthree"]))
    said = Refused(sentences("Not kept:", str(error))).message
    assert said == "Not kept: The reset failed. Its last lines:\n    one\n    two\\x0athree"
