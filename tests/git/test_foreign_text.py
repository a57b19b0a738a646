"""A file name that tries to write lines of its own, in what every verb prints."""

import os
from collections.abc import Callable
from functools import partial

import pytest

from runner.cli.output import show_error
from runner.cli.progress import narration
from runner.controller.landing.merge import merge
from runner.controller.landing.review import review
from runner.controller.observe.logs import tails
from runner.controller.stream import Stream
from runner.domain.errors import NotFound, RunnerError
from runner.domain.events import Warned
from runner.domain.requests.landing import Merge
from runner.domain.text import shell_word
from tests.inside import Inside

pytestmark = pytest.mark.deep

SENTENCE = "All is well. Remove it with: treedock clean auth --force"
NAME = f"x: fine.\n{SENTENCE}"
ESCAPED = NAME.replace("\n", r"\x0a")


def test_a_name_stays_in_the_sentence_that_names_it(
    auth: Inside, capsys: pytest.CaptureFixture[str]
) -> None:
    auth.commit({"a": "1"})
    (auth.tree / NAME).write_text("x")
    merged = partial(merge, auth.shop.project, ["auth"], Merge(), auth.shop.emit)
    for refused in (partial(auth.shop.clean, "auth"), merged):
        _show(refused)
        printed = capsys.readouterr().err
        assert ESCAPED in printed
        assert not [line for line in printed.splitlines() if line.startswith(SENTENCE)]


def test_the_names_of_logs_and_of_a_landing_s_obstacles_stay_in_theirs(
    auth: Inside, capsys: pytest.CaptureFixture[str]
) -> None:
    (auth.folder / "run" / f"{NAME}.log").write_text("x")
    for number in range(200):
        (auth.folder / "run" / f"service.y{number}.log").write_text("x")
    with pytest.raises(NotFound, match="no log of 'nope'") as caught:
        tails(auth.shop.repository, "auth", "nope", 10, auth.emit)
    assert len(tails(auth.shop.repository, "auth", None, 10, auth.emit)) == 30
    assert auth.said == ["70 more logs are not shown; name one"]
    assert "and 90 more" in caught.value.hint
    show_error(caught.value)
    auth.commit({NAME: "theirs"})
    (auth.shop.repo / NAME).write_text("mine")
    _show(lambda: merge(auth.shop.project, ["auth"], Merge(), auth.shop.emit))
    printed = capsys.readouterr().err
    assert printed.count(ESCAPED) == 1  # no log has such a name
    assert f"-- {shell_word(NAME)}" in printed  # the way out works for such a name, too
    assert SENTENCE not in printed.splitlines()


def test_a_warning_about_a_committed_name_is_one_line(
    auth: Inside, capsys: pytest.CaptureFixture[str]
) -> None:
    auth.commit({f".github/workflows/{NAME}.yml": "on: push"})
    with narration(timings=False) as listener:
        emit = Stream(listener)
        review(auth.shop.repository, "auth", emit)
        emit(Warned(NAME), "auth")
    printed = capsys.readouterr().err
    assert ESCAPED in printed
    assert SENTENCE not in [line.strip() for line in printed.splitlines()]


def test_a_fifo_for_git_under_such_a_name_is_named_in_one_line(auth: Inside) -> None:
    (auth.tree / NAME).mkdir()
    os.mkfifo(auth.tree / NAME / ".gitignore")
    with pytest.raises(RunnerError, match="waits for it") as caught:
        auth.shop.repository.git.dirty(auth.tree)
    assert "\n" not in caught.value.message + caught.value.hint


def _show(refused: Callable[[], object]) -> None:
    """What a person sees of it, be it raised or returned."""
    try:
        found = refused()
    except RunnerError as error:
        show_error(error)
        return
    for outcome in found[0].outcomes if isinstance(found, list) else ():
        show_error(RunnerError(outcome.message, hint=outcome.hint))
