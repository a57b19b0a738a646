"""The names of the commands."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click import Context
from click.testing import CliRunner

from runner.cli.main import treedock
from tests.running import CHECKOUT, Cli
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


def test_help_names_every_command_once_and_whole() -> None:
    shown = CliRunner().invoke(treedock, ["--help"], terminal_width=80).output
    assert max(map(len, shown.splitlines())) <= 80
    assert not [line for line in shown.splitlines()[1:] if line.endswith("...")]
    for command in treedock.list_commands(Context(treedock)):
        assert len(re.findall(rf"^  {command} ", shown, re.MULTILINE)) == 1, command


def test_a_verb_is_run_as_if_started_in_another_folder(shop: Shop, tmp_path: Path) -> None:
    shop.up("auth")
    folders = ["-C", str(shop.repo.parent), "-C", shop.repo.name]
    done = Cli(tmp_path)(*folders, "path", "auth")
    assert done.stdout == f"{shop.tree('auth')}\n"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = Cli(tmp_path)("-C", str(tmp_path / "gone"), "list")
    assert done.exit_code == 2
    assert f"{tmp_path / 'gone'}: No such file or directory." in done.stderr


def test_list_marks_the_instance_you_stand_in(shop: Shop) -> None:
    shop.up("auth")
    shop.up("payments")
    there, cli = shop.tree("auth"), Cli(shop.repo)
    shown = cli("list", cwd=there).stdout.splitlines()
    assert [line[:6] for line in shown[1:]] == ["* auth", "  paym"]
    seen = json.loads(cli("list", "--json", cwd=there).stdout)["instances"]
    assert {one["id"]: one["here"] for one in seen} == {"auth": True, "payments": False}
    assert "*" not in cli("list").stdout


@pytest.mark.parametrize("words", ["--version", "--help", "list --help"])
def test_where_nothing_reads_the_help_the_exit_code_is_that_of_a_broken_pipe(words: str) -> None:
    """As of a program that SIGPIPE ends."""
    command = f"{sys.executable} -m runner {words} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=CHECKOUT, capture_output=True)
    assert (done.returncode, done.stderr) == (141, b"")


END = """
import runner.cli.main, sys, threading, time
from runner.cli import start
def work():
    time.sleep(0.2)
    print("done")
def main():
    threading.Thread(target=work, daemon={daemon}).start()
    print("said", end="")
    sys.exit({code})
runner.cli.main.main = main
start.main()
"""


@pytest.mark.parametrize(
    ("code", "daemon", "out", "left"),
    [(3, False, "saiddone\n", 3), (0, True, "said", 0), ("'bad'", True, "said", 1)],
)
def test_the_process_ends_with_its_output_and_the_work_of_its_threads_done(
    code: str, daemon: bool, out: str, left: int
) -> None:
    program = END.format(code=code, daemon=daemon)
    done = subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True)
    assert (done.stdout.decode(), done.returncode) == (out, left)
