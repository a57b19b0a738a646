"""Locks: held by one process at a time, and gone with their holder."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runner.adapters.store import locks
from runner.domain.errors import Busy
from tests.waiting import eventually

HOLD = """
import sys
from pathlib import Path
from runner.adapters.store import locks
with locks.hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder_of(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock until it is killed or told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "locks" / "instance-auth.lock"


def test_a_lock_is_held_for_the_block_only(lock: Path) -> None:
    assert not locks.is_held(lock)
    with locks.hold(lock):
        assert locks.is_held(lock)
    assert not locks.is_held(lock)
    with locks.hold(lock):
        pass


def test_an_error_in_the_block_lets_go(lock: Path) -> None:
    with pytest.raises(ZeroDivisionError), locks.hold(lock):
        raise ZeroDivisionError
    assert not locks.is_held(lock)


def test_a_lock_of_another_process_is_waited_for_and_its_holder_told_once(lock: Path) -> None:
    told: list[str] = []
    got_it = threading.Event()

    def wait() -> None:
        with locks.hold(lock, waiting=told.append):
            got_it.set()

    with holder_of(lock) as process:
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: told)
        assert not got_it.is_set()
        process.communicate("")
        thread.join(10)
    assert got_it.is_set()
    assert told == [f"process {process.pid}"]


def test_a_lock_that_is_not_free_in_time_is_busy_and_its_holder_is_named(lock: Path) -> None:
    with holder_of(lock) as process, pytest.raises(Busy) as refused, locks.hold(lock, timeout=0.05):
        raise AssertionError("it got the lock")
    assert refused.value.holder == f"process {process.pid}"
    assert str(lock) in refused.value.message


def test_the_holder_may_be_another_operation_of_this_process(lock: Path) -> None:
    refused: list[str] = []

    def wait() -> None:
        try:
            with locks.hold(lock, timeout=0.05):
                raise AssertionError("it got the lock")
        except Busy as error:
            refused.append(error.holder)

    with locks.hold(lock):
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join(10)
    assert refused == ["another operation of this process"]


def test_a_holder_that_is_killed_takes_its_lock_along(lock: Path) -> None:
    with holder_of(lock) as process:
        assert locks.is_held(lock)
        process.kill()
        process.wait()
        assert not locks.is_held(lock)


def test_a_lock_is_not_removed_under_its_holder(lock: Path) -> None:
    with holder_of(lock):
        locks.remove(lock)
        assert lock.exists()
    locks.remove(lock)
    assert not lock.exists()


def test_who_waited_for_a_lock_file_that_was_deleted_holds_the_new_one(lock: Path) -> None:
    told: list[str] = []
    held: list[bool] = []

    def wait() -> None:
        with locks.hold(lock, waiting=told.append):
            held.append(locks.is_held(lock))

    with holder_of(lock):
        thread = threading.Thread(target=wait)
        thread.start()
        eventually(lambda: told)
        lock.unlink()
    thread.join(10)
    assert held == [True]


def test_a_planted_symlink_or_fifo_is_not_a_held_lock(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    subprocess.run(["mkfifo", tmp_path / "fifo"], check=True)
    assert not locks.is_held(tmp_path / "link")
    assert not locks.is_held(tmp_path / "fifo")
