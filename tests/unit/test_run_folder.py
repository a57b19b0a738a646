"""Jobs: the wrapper run by a plain sh on this host, and what the run folder says of it."""

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.adapters.store.run_folder import WRAPPER, RunFolder
from tests.waiting import eventually

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def jobs(tmp_path: Path) -> RunFolder:
    folder = tmp_path / "run"
    folder.mkdir()
    return RunFolder(folder)


@pytest.fixture
def start(jobs: RunFolder, tmp_path: Path) -> Iterator[Start]:
    """start(command): the wrapper in a session of its own, as a detached exec has one."""
    started = []

    def begin(
        command: str, *, job: str = "service.web", restart: str = "no", folder: Path = tmp_path
    ) -> "subprocess.Popen[bytes]":
        argv = ["sh", "-c", WRAPPER, "treedock", f"{jobs.folder}/{job}", restart, str(folder)]
        process = subprocess.Popen([*argv, command], start_new_session=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_job_leaves_its_exit_code_and_both_streams_in_its_log(
    jobs: RunFolder, start: Start
) -> None:
    start("echo out; echo err >&2; exit 3").wait()
    job = jobs.job("service.web")
    assert (job.exit_code, job.alive, job.stopped, job.restarts) == (3, False, False, 0)
    assert sorted(jobs.last_lines("service.web")) == ["err", "out"]
    assert jobs.logs() == ["service.web"]


def test_a_running_job_is_alive_under_the_pid_of_its_process_group(
    jobs: RunFolder, start: Start
) -> None:
    process = start("exec sleep 60")
    eventually(lambda: jobs.job("service.web").pid)
    job = jobs.job("service.web")
    assert (job.pid, job.alive, job.exit_code) == (process.pid, True, None)


def test_it_runs_in_its_folder_and_a_missing_one_is_127(
    jobs: RunFolder, start: Start, tmp_path: Path
) -> None:
    start("pwd", folder=jobs.folder).wait()
    assert jobs.last_lines("service.web") == [str(jobs.folder)]
    start("pwd", folder=tmp_path / "absent").wait()
    assert jobs.job("service.web").exit_code == 127


def test_a_job_told_to_stop_is_stopped_and_not_failed(jobs: RunFolder, start: Start) -> None:
    process = start("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done")
    eventually(lambda: jobs.last_lines("service.web") == ["up"])
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(10)
    job = jobs.job("service.web")
    assert (job.stopped, job.alive, job.exit_code) == (True, False, 7)
    assert jobs.last_lines("service.web")[-1] == "bye"


def test_a_stopped_job_is_not_started_again_by_its_policy(jobs: RunFolder, start: Start) -> None:
    process = start("echo up; exec sleep 60", restart="on-failure")
    eventually(lambda: jobs.last_lines("service.web"))
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(10)
    assert jobs.job("service.web").restarts == 0


def test_a_job_that_was_killed_whole_counts_as_137(jobs: RunFolder, start: Start) -> None:
    process = start("exec sleep 60")
    eventually(lambda: jobs.job("service.web").pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    eventually(lambda: not jobs.job("service.web").alive)
    assert jobs.job("service.web").exit_code == 137


def test_on_failure_starts_it_again_and_success_ends_it(
    jobs: RunFolder, start: Start, tmp_path: Path
) -> None:
    command = f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; exit 9; }}"
    start(command, restart="on-failure").wait()
    job = jobs.job("service.web")
    assert (job.restarts, job.exit_code) == (1, 0)
    assert "exit code 9; start 1 of 5" in jobs.last_lines("service.web")[-1]


def test_a_second_wrapper_for_a_living_job_goes_away(jobs: RunFolder, start: Start) -> None:
    first = start("exec sleep 60")
    eventually(lambda: jobs.job("service.web").pid)
    assert start("echo never").wait(10) == 0
    assert jobs.job("service.web").pid == first.pid
    assert jobs.last_lines("service.web") == []


def test_whoever_looks_in_the_moment_of_the_start_does_not_prevent_it(
    jobs: RunFolder, start: Start
) -> None:
    with (jobs.folder / "service.web.lock").open("w") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        process = start("echo up")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
    assert process.wait(10) == 0
    assert jobs.last_lines("service.web") == ["up"]


def test_a_job_that_ends_while_it_is_looked_at_is_not_taken_for_killed(
    jobs: RunFolder, start: Start
) -> None:
    for _ in range(100):
        jobs.forget("service.web")
        process = start("exit 5")
        while process.poll() is None:
            seen = jobs.job("service.web")
            assert seen.alive or seen.exit_code in (None, 5)


def test_what_a_job_leaves_behind_does_not_keep_it_alive(jobs: RunFolder, start: Start) -> None:
    process = start("sleep 60 & exit 0")
    process.wait(10)
    assert not jobs.job("service.web").alive
    os.killpg(process.pid, signal.SIGKILL)


def test_the_log_of_the_life_before_is_kept_once(jobs: RunFolder, start: Start) -> None:
    start("echo first").wait()
    start("echo second").wait()
    assert jobs.last_lines("service.web") == ["second"]
    assert (jobs.folder / "service.web.log.1").read_text() == "first\n"


def test_a_job_nobody_started_is_nothing(jobs: RunFolder) -> None:
    job = jobs.job("reset")
    assert (job.pid, job.exit_code, job.stopped, job.restarts, job.alive) == (
        *(None, None, False, 0, False),
    )


def test_without_flock_in_the_image_the_pid_file_is_believed(jobs: RunFolder) -> None:
    (jobs.folder / "reset.pid").write_text("12 none\n")
    assert jobs.job("reset").alive
    (jobs.folder / "reset.exit").write_text("0 \n")
    job = jobs.job("reset")
    assert (job.alive, job.exit_code) == (False, 0)


def test_to_forget_a_job_keeps_its_log(jobs: RunFolder, start: Start) -> None:
    start("echo kept; exit 1").wait()
    jobs.forget("service.web")
    jobs.forget("service.web")
    assert jobs.job("service.web").exit_code is None
    assert jobs.last_lines("service.web") == ["kept"]


@pytest.mark.parametrize("text", ["", "x", "-5", "1e3", "٣", "\0", "9" * 5000, "\xff" * 10])
def test_nonsense_that_code_inside_writes_is_no_number(jobs: RunFolder, text: str) -> None:
    for kind in ("pid", "exit", "restarts"):
        (jobs.folder / f"service.web.{kind}").write_text(text)
    job = jobs.job("service.web")
    assert job.pid is None or job.pid < 10**100
    assert job.restarts < 10**100


@pytest.mark.timeout(10)
def test_links_and_fifos_that_code_inside_plants_say_nothing(
    jobs: RunFolder, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("1\n")
    for kind in ("pid", "log"):
        (jobs.folder / f"service.web.{kind}").symlink_to(tmp_path / "secret")
    os.mkfifo(jobs.folder / "service.web.exit")
    os.mkfifo(jobs.folder / "service.web.lock")
    job = jobs.job("service.web")
    assert (job.pid, job.exit_code, job.alive) == (None, None, False)
    assert jobs.last_lines("service.web") == []


@pytest.mark.timeout(10)
def test_a_planted_folder_does_not_stop_a_job_from_being_forgotten(jobs: RunFolder) -> None:
    (jobs.folder / "service.web.pid").mkdir()
    jobs.forget("service.web")
    assert jobs.job("service.web").pid is None


@pytest.mark.timeout(20)
def test_names_that_code_inside_makes_up_do_not_hold_up_the_next_start(jobs: RunFolder) -> None:
    for number in range(20_000):
        (jobs.folder / f"n{number}.pid").touch()
    (jobs.folder / "**.pid").touch()
    (jobs.folder / "folder.exit").mkdir()
    (jobs.folder / "service.web.log").write_text("said\n")
    jobs.forget_all()
    assert [path.name for path in jobs.folder.iterdir()] == ["service.web.log"]
