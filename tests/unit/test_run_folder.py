"""Processes: the wrapper run by a plain sh on this host, and what the run folder says of it."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.adapters.files import untrusted
from runner.adapters.store.run_folder import WRAPPER, RunFolder
from tests.waiting import eventually

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def processes(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RunFolder(folder)


@pytest.fixture
def start(processes: RunFolder, tmp_path: Path) -> Iterator[Start]:
    """start(command): the wrapper in a session of its own, as a detached exec has one."""
    all_started = []

    def begin(
        command: str, *, process: str = "service.web", restart: str = "no", folder: Path = tmp_path
    ) -> "subprocess.Popen[bytes]":
        argv = [
            "sh",
            "-c",
            WRAPPER,
            "treedock",
            f"{processes.folder}/{process}",
            restart,
            str(folder),
        ]
        started = subprocess.Popen([*argv, command], start_new_session=True)
        all_started.append(started)
        return started

    yield begin
    for started in all_started:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def test_a_process_leaves_its_exit_code_and_both_streams_in_its_log(
    processes: RunFolder, start: Start
) -> None:
    start("echo out; echo err >&2; exit 3").wait()
    process = processes.process("service.web")
    assert (process.exit_code, process.alive, process.stopped, process.restarts) == (
        3,
        False,
        False,
        0,
    )
    assert sorted(processes.last_lines("service.web")) == ["err", "out"]
    assert processes.logs(["web"]) == ["service.web"]


def test_a_running_process_is_alive_under_the_pid_of_its_process_group(
    processes: RunFolder, start: Start
) -> None:
    started = start("exec sleep 60")
    eventually(lambda: processes.process("service.web").pid)
    process = processes.process("service.web")
    assert (process.pid, process.alive, process.exit_code) == (started.pid, True, None)


def test_it_runs_in_its_folder_and_a_missing_one_is_127(
    processes: RunFolder, start: Start, tmp_path: Path
) -> None:
    start("pwd", folder=processes.folder).wait()
    assert processes.last_lines("service.web") == [str(processes.folder)]
    start("pwd", folder=tmp_path / "absent").wait()
    assert processes.process("service.web").exit_code == 127


def test_a_process_told_to_stop_is_stopped_and_not_failed(
    processes: RunFolder, start: Start
) -> None:
    started = start("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    eventually(lambda: processes.last_lines("service.web") == ["up"])
    os.killpg(started.pid, signal.SIGTERM)
    started.wait(10)
    process = processes.process("service.web")
    assert (process.stopped, process.alive, process.exit_code) == (True, False, 7)
    assert processes.last_lines("service.web")[-1] == "bye"


def test_a_stopped_process_is_not_started_again_by_its_policy(
    processes: RunFolder, start: Start
) -> None:
    started = start("echo up; exec sleep 60", restart="on-failure")
    eventually(lambda: processes.last_lines("service.web"))
    os.killpg(started.pid, signal.SIGTERM)
    started.wait(10)
    assert processes.process("service.web").restarts == 0


def test_a_process_that_was_killed_whole_counts_as_137(processes: RunFolder, start: Start) -> None:
    started = start("exec sleep 60")
    eventually(lambda: processes.process("service.web").pid)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    eventually(lambda: not processes.process("service.web").alive)
    assert processes.process("service.web").exit_code == 137


def test_on_failure_starts_it_again_and_success_ends_it(
    processes: RunFolder, start: Start, tmp_path: Path
) -> None:
    command = f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; exit 9; }}"
    start(command, restart="on-failure").wait()
    process = processes.process("service.web")
    assert (process.restarts, process.exit_code) == (1, 0)
    assert "exit code 9; start 1 of 5" in processes.last_lines("service.web")[-1]


def test_a_second_wrapper_for_a_living_process_goes_away(
    processes: RunFolder, start: Start
) -> None:
    first = start("exec sleep 60")
    eventually(lambda: processes.process("service.web").pid)
    assert start("echo never").wait(10) == 0
    assert processes.process("service.web").pid == first.pid
    assert processes.last_lines("service.web") == []


def test_whoever_looks_in_the_moment_of_the_start_does_not_prevent_it(
    processes: RunFolder, start: Start
) -> None:
    with (processes.folder / "service.web.lock").open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        started = start("echo up")
        with pytest.raises(subprocess.TimeoutExpired):
            started.wait(0.2)
    assert started.wait(10) == 0
    assert processes.last_lines("service.web") == ["up"]


def test_a_process_that_ends_while_it_is_looked_at_is_not_taken_for_killed(
    processes: RunFolder, start: Start
) -> None:
    for _ in range(100):
        processes.forget("service.web")
        started = start("exit 5")
        while started.poll() is None:
            seen = processes.process("service.web")
            assert seen.alive or seen.exit_code in (None, 5)


def test_what_a_process_leaves_behind_does_not_keep_it_alive(
    processes: RunFolder, start: Start
) -> None:
    started = start("sleep 60 & exit 0")
    started.wait(10)
    assert not processes.process("service.web").alive
    os.killpg(started.pid, signal.SIGKILL)


def test_the_log_of_the_life_before_is_kept_once(processes: RunFolder, start: Start) -> None:
    start("echo first").wait()
    start("echo second").wait()
    assert processes.last_lines("service.web") == ["second"]
    assert (processes.folder / "service.web.log.1").read_text() == "first\n"


def test_a_process_nobody_started_is_nothing(processes: RunFolder) -> None:
    process = processes.process("reset")
    assert (process.pid, process.exit_code, process.stopped, process.restarts, process.alive) == (
        *(None, None, False, 0, False),
    )


def test_without_flock_in_the_image_the_pid_file_is_believed(processes: RunFolder) -> None:
    (processes.folder / "reset.pid").write_text("12 none\n")
    assert processes.process("reset").alive
    (processes.folder / "reset.exit").write_text("0 \n")
    process = processes.process("reset")
    assert (process.alive, process.exit_code) == (False, 0)


def test_to_forget_a_process_keeps_its_log(processes: RunFolder, start: Start) -> None:
    start("echo kept; exit 1").wait()
    processes.forget("service.web")
    processes.forget("service.web")
    assert processes.process("service.web").exit_code is None
    assert processes.last_lines("service.web") == ["kept"]


@pytest.mark.parametrize("text", ["", "x", "-5", "1e3", "٣", "\0", "9" * 5000, "\xff" * 10])
def test_nonsense_that_code_inside_writes_is_no_number(processes: RunFolder, text: str) -> None:
    for kind in ("pid", "exit", "restarts"):
        (processes.folder / f"service.web.{kind}").write_text(text)
    process = processes.process("service.web")
    assert (process.pid, process.restarts) == (None, 0)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("pid", "1 "), ("pid", "0 "), ("pid", str(2**22 + 1)), ("exit", "256 "), ("restarts", "6"),
        ("exit", "7 no"), ("pid", "7 nothing"),
    ],
)  # fmt: skip
def test_a_number_that_no_process_could_have_is_none(
    processes: RunFolder, kind: str, text: str
) -> None:
    (processes.folder / f"service.web.{kind}").write_text(text)
    process = processes.process("service.web")
    assert process.pid in (None, 7)
    assert process.exit_code in (None, 7, 137)
    assert not process.stopped
    assert not process.alive
    assert process.restarts == 0


def test_logs_are_those_of_processes_and_of_planted_ones_a_few(processes: RunFolder) -> None:
    for name in ("x.log", "service.Web.log", "setup-0.log", "service..log", "service.a\nb.log"):
        (processes.folder / name).write_text("planted")
    (processes.folder / "service.api.log").mkdir()
    assert processes.logs(["api"]) == []
    for name in ("setup-1", "verify", "reset", "service.api-2"):
        (processes.folder / f"{name}.log").write_text("said")
    assert processes.logs([]) == ["reset", "service.api-2", "setup-1", "verify"]
    for number in range(300):
        (processes.folder / f"service.n{number}.log").write_text("planted")
    (processes.folder / "service.web.log").write_text("said")
    assert len(processes.logs(["web"])) in (untrusted.NAMES, untrusted.NAMES + 1)
    assert "service.web" in processes.logs(["web"])


@pytest.mark.timeout(10)
def test_links_and_fifos_that_code_inside_plants_say_nothing(
    processes: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("1\n")
    for kind in ("pid", "log"):
        (processes.folder / f"service.web.{kind}").symlink_to(tmp_path / "secret")
    os.mkfifo(processes.folder / "service.web.exit")
    os.mkfifo(processes.folder / "service.web.lock")
    process = processes.process("service.web")
    assert (process.pid, process.exit_code, process.alive) == (None, None, False)
    assert processes.last_lines("service.web") == []


@pytest.mark.timeout(10)
def test_a_planted_folder_does_not_stop_a_process_from_being_forgotten(
    processes: RunFolder,
) -> None:
    (processes.folder / "service.web.pid").mkdir()
    processes.forget("service.web")
    assert processes.process("service.web").pid is None


@pytest.mark.timeout(20)
def test_names_that_code_inside_makes_up_do_not_hold_up_the_next_start(
    processes: RunFolder,
) -> None:
    for number in range(20_000):
        (processes.folder / f"n{number}.pid").touch()
    (processes.folder / "**.pid").touch()
    (processes.folder / "folder.exit").mkdir()
    (processes.folder / "service.web.log").write_text("said\n")
    processes.forget_all()
    assert [path.name for path in processes.folder.iterdir()] == ["service.web.log"]
