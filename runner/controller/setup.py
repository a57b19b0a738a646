"""Set-up steps and the smoke test: each runs once, and again when it changes."""

import hashlib
from collections.abc import Mapping

from runner.controller.jobs import run_job
from runner.controller.work import ProjectWork
from runner.domain.config import Step


def ensure_setup(work: ProjectWork, container: str, env: Mapping[str, str]) -> bool:
    """Run the steps that have not ended well yet, in order. Returns whether any ran.

    A changed step runs again, and so do those behind it. Raises CommandFailed at the first that
    fails; the next `up` goes on from there.
    """
    steps = work.config.setup
    keys = [step_key(step) for step in steps]
    done = list(work.record.setup_done)
    kept = 0
    while kept < min(len(keys), len(done)) and keys[kept] == done[kept]:
        kept += 1
    if kept != len(done):
        work.change(setup_done=tuple(keys[:kept]))
    for number, step in enumerate(steps[kept:], start=kept + 1):
        where = "" if step.folder == "." else f" in {step.folder}"
        with work.step(f"{step.run}{where}"):
            job = f"setup-{number}"
            run_job(work, container, job, step.run, folder=step.folder, env=env)
        work.change(setup_done=tuple(keys[:number]))
    return kept < len(steps)


def ensure_verified(
    work: ProjectWork, container: str, env: Mapping[str, str], *, again: bool
) -> bool:
    """Run `verify` unless it passed before and nothing was set up since."""
    command = work.config.verify
    if command is None or (work.record.verified == command and not again):
        return False
    with work.step("verifying"):
        run_job(work, container, "verify", command, folder=".", env=env)
    work.change(verified=command)
    return True


def step_key(step: Step) -> str:
    """Changes exactly when a step has to run again."""
    return hashlib.sha256(f"{step.folder}\0{step.run}".encode()).hexdigest()[:16]
