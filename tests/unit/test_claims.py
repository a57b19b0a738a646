"""A claim tells which process is at work on something, and whether it still is."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from runner.adapters.host.claims import Claim, holds, own
from runner.adapters.store.runs import Run

CLAIM = (
    "import sys; from pathlib import Path; from runner.adapters.store.runs import Run; "
    "print(Run.begin(Path(sys.argv[1]), 'merge').id, flush=True); sys.stdin.read()"
)


def test_a_run_is_claimed_by_the_process_that_began_it_until_that_ends(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout
        run = Run(tmp_path, process.stdout.readline().strip())
        worker = run.worker()
        assert worker is not None
        assert worker.pid == process.pid
        process.kill()
    assert run.worker() is None
    assert run.read().kind == "merge"


def test_a_claim_is_given_up_whatever_the_work_came_to(tmp_path: Path) -> None:
    run = Run.begin(tmp_path, "plan")
    assert run.worker() == own()
    try:
        with run.claimed():
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert run.worker() is None


def test_a_pid_that_another_process_has_now_and_a_boot_that_is_over_are_no_claim() -> None:
    assert holds(own())
    assert not holds(replace(own(), started=own().started - 1))
    assert not holds(replace(own(), boot_id="11111111-2222-3333-4444-555555555555"))
    assert holds(Claim("another-host", "any", 1, 1))  # it cannot be seen from here


def test_the_claim_of_a_process_that_has_ended_and_was_not_waited_for_is_none() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        stat = Path(f"/proc/{process.pid}/stat").read_text()
        started = int(stat.rpartition(")")[2].split()[19])
        claim = replace(own(), pid=process.pid, started=started)
        assert holds(claim)
        process.kill()
        waited = subprocess.run(
            ["sh", "-c", f"until grep -q ') Z ' /proc/{process.pid}/stat; do sleep 0.01; done"],
            timeout=10,
        )
        assert waited.returncode == 0
        assert not holds(claim)
