"""The names of the commands."""

import pytest
from click.testing import CliRunner

from runner.cli.main import treedock
from tests.running import Cli
from tests.shop import Shop


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("ls", "list"), ("ps", "list"), ("stop", "down"), ("start", "up"), ("rm", "clean")),
        *(("remove", "clean"), ("delete", "clean"), ("sh", "shell"), ("ssh", "shell")),
        *(("run", "exec"), ("log", "logs"), ("lits", "list"), ("statsu", "status")),
    ],
)
def test_a_word_of_another_tool_or_a_slip_leads_to_the_command(word: str, meant: str) -> None:
    answer = CliRunner().invoke(treedock, [word])
    assert answer.exit_code == 2
    assert f"There is no command {word!r}. Did you mean {meant!r}?" in answer.output


def test_a_word_that_is_near_nothing_gets_no_suggestion() -> None:
    answer = CliRunner().invoke(treedock, ["xylophone"])
    assert "There is no command 'xylophone'.\n" in answer.output


def test_undo_stands_alone(shop: Shop) -> None:
    """Else a dry run of it would be none."""
    for words in (["--dry-run"], ["auth", "--no-push"]):
        done = Cli(shop.repo)("merge", "--undo", "last", *words)
        assert done.exit_code == 2, words
        assert "--undo stands alone" in done.stderr


def test_inside_the_git_directory_the_way_to_the_checkout_is_told(shop: Shop) -> None:
    done = Cli(shop.repo)("list", cwd=shop.repo / ".git")
    assert done.exit_code == 4
    assert f"cd {shop.repo}" in done.stderr
