"""An operation that is cancelled ends soon, and the next one goes on from there; several operations
at once, in one process and on one repository."""

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runner.adapters import cancellation
from runner.adapters.cancellation import Cancelled, Token
from runner.adapters.git.process import spawn
from runner.adapters.store import locks
from runner.controller.parallel import map_parallel
from runner.controller.verbs import Controller
from runner.domain.events import Notice, StepFailed, StepStarted
from runner.domain.requests.cleanup import Clean
from runner.domain.requests.lifecycle import Down, Up
from runner.domain.requests.observe import List
from runner.domain.requests.request import Request
from tests.at_once import all_at_once
from tests.cancelling import SOON, cancelled_while
from tests.running import CHECKOUT
from tests.shop import Shop
from tests.waiting import eventually


def controller_of(shop: Shop) -> Controller:
    return Controller.open(shop.repo, connect=lambda: shop.engine)


def test_waiting_for_a_lock_is_broken_off_and_leaves_it_alone(tmp_path: Path) -> None:
    lock, waiting = tmp_path / "lock", threading.Event()

    def wait() -> None:
        with locks.hold(lock, waiting=lambda who: waiting.set()):
            raise AssertionError("it got the lock")

    with locks.hold(lock):
        cancelled_while(wait, waiting.is_set)
        assert locks.is_held(lock)
    with locks.hold(lock, timeout=0):
        pass


def test_git_is_broken_off_with_what_it_started(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! >{tmp_path}/child; wait"
    child = tmp_path / "child"
    cancelled_while(lambda: spawn(["sh", "-c", script], cwd=tmp_path), child.exists)
    eventually(lambda: not _is_running(child.read_text().strip()))


def _is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # of a zombie it is empty
    except OSError:
        return False


def test_a_pause_is_broken_off_in_every_thread_of_the_operation() -> None:
    at_work = threading.Semaphore(0)

    def one(number: int) -> None:
        at_work.release()
        cancellation.sleep(600)

    cancelled_while(
        lambda: map_parallel(one, range(3)), lambda: all(at_work.acquire() for _ in range(3))
    )


def test_nothing_begins_once_it_is_cancelled(tmp_path: Path) -> None:
    token = Token()
    token.cancel()
    with pytest.raises(Cancelled), cancellation.within(token):
        raise AssertionError("it began")
    cancellation.look()  # this thread works for no operation again


def test_what_a_cancellation_makes_necessary_is_not_cancelled(tmp_path: Path) -> None:
    token = Token()
    with cancellation.within(token):
        token.cancel()
        with cancellation.shielded():
            assert spawn(["true"], cwd=tmp_path).returncode == 0
        with pytest.raises(Cancelled):
            spawn(["true"], cwd=tmp_path)


def test_a_cancelled_up_says_so_and_the_next_one_completes_it(shop: Shop) -> None:
    gate = shop.repo / "gate"
    shop.configure(setup=[{"run": f"until test -e {gate}; do sleep 0.05; done; touch done"}])
    heard: list[Notice] = []
    token = Token()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(controller_of(shop).run, Up(ids=("auth", "pay")), heard.append, token)
        eventually(lambda: sum(_is_set_up(notice) for notice in heard) == 2, 30)
        token.cancel()
        answer = running.result(SOON)
    assert answer.exit_code == 130
    assert answer.error is not None
    assert answer.error.code == "cancelled"
    failed = [notice.event for notice in heard if isinstance(notice.event, StepFailed)]
    assert [event.code for event in failed] == ["cancelled", "cancelled"]
    gate.touch()
    again = controller_of(shop).run(Up(ids=("auth", "pay")))
    assert again.exit_code == 0
    assert [view.state for view in again.instances] == ["running", "running"]
    assert all((shop.tree(instance) / "done").exists() for instance in ("auth", "pay"))


def _is_set_up(notice: Notice) -> bool:
    return isinstance(notice.event, StepStarted) and notice.event.step.startswith("until")


def test_cancelling_one_operation_leaves_the_others_alone(shop: Shop) -> None:
    gate = shop.repo / "gate"
    shop.configure(setup=[{"run": f"until test -e {gate}; do sleep 0.05; done"}])
    heard: list[Notice] = []
    token = Token()
    with ThreadPoolExecutor() as pool:
        doomed = pool.submit(
            lambda: controller_of(shop).run(Up(ids=("auth",)), heard.append, token)
        )
        other = pool.submit(controller_of(shop).run, Up(ids=("pay",)), heard.append)
        eventually(lambda: sum(_is_set_up(notice) for notice in heard) == 2, 30)
        token.cancel()
        assert doomed.result(SOON).exit_code == 130
        assert not other.done()
        gate.touch()
        assert other.result(30).exit_code == 0


def test_several_operations_of_one_process_work_on_one_repository(shop: Shop) -> None:
    controller = controller_of(shop)
    ids = ("auth", "login", "pay")
    requests: list[Request[Any]] = [Up(ids=(instance,)) for instance in ids]
    all_at_once(controller, [*requests, List(), *requests])
    slots = [shop.record(instance).slot for instance in ids]
    assert len(set(slots)) == 3
    again: list[Request[Any]] = [Down(ids=("auth",)), Clean(ids=("login",)), Up(ids=("pay",))]
    all_at_once(controller, [*again, List(), Up(ids=("new",))])
    assert {view.id: view.state for view in shop.list()} == {
        "auth": "stopped", "pay": "running", "new": "running",
    }  # fmt: skip


WORK = """
import sys, time
from runner.adapters import cancellation
from runner.cli.process import cancellable
token = cancellation.Token()
with cancellable(token.cancel), cancellation.within(token):
    print("at work", flush=True)
    try:
        {work}
    except cancellation.Cancelled:
        print("cancelled", flush=True)
        sys.exit(130)
"""
LOOKS = "cancellation.sleep(600)"
DEAF = "time.sleep(600)"


@pytest.mark.parametrize(("work", "signals"), [(LOOKS, 1), (DEAF, 1), (DEAF, 2)])
def test_ctrl_c_ends_the_process_within_two_seconds(work: str, signals: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORK.format(work=work)],
        cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        begun = time.monotonic()
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            eventually(lambda: process.poll() is not None or time.monotonic() > begun + 0.2)
        out, err = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert out == ("cancelled\n" if work is LOOKS else "")
    assert ("interrupted; the same command goes on from here" in err) == (work is DEAF)


IGNORED = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
import runner.cli.start
assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
from runner.cli.process import cancellable
with cancellable(lambda: print("cancelled")) as came:
    signal.raise_signal(signal.SIGINT)
assert not came
"""


def test_an_interrupt_that_was_to_be_ignored_stays_so() -> None:
    done = subprocess.run([sys.executable, "-c", IGNORED], cwd=CHECKOUT, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
