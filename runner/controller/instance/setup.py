"""Set-up steps and the smoke test: each runs once, and again when it changes."""

from collections.abc import Sequence
from pathlib import Path

from runner.adapters.files import untrusted
from runner.controller.instance.container import Running
from runner.controller.instance.executor import Launch
from runner.controller.instance.processes import run_process
from runner.controller.operation import Operation
from runner.domain.cache.produces import Read, done_keys, products_of
from runner.domain.config.sections import Step


def ensure_setup(operation: Operation, running: Running, *, until: int | None = None) -> bool:
    """Run the steps that have not ended well yet, in order, and none from number `until` on.
    Returns whether any ran.

    A changed step runs again, and so do those behind it, except one of which all that it makes is
    there. Raises CommandFailed at the first that fails; the next `up` goes on from there.
    """
    steps, was, keys = operation.config.setup, operation.record.setup_done, _keys(operation)
    kept = 0
    while kept < min(len(keys), len(was)) and keys[kept] == was[kept]:
        kept += 1
    done = list(was[:kept])
    if kept != len(was):
        operation.change(setup_done=tuple(done))
    ran = False
    products = products_of(steps, _read(operation))
    for number, step in enumerate(steps[kept:until], start=kept):
        stays = products[number] is not None and keys[number] in was
        if not stays and keys[number] not in operation.record.supplied:
            _run(operation, running, number, step)
            ran = True
            was = was if products[number] else ()
            keys = _keys(operation)  # it may have written its own lock file
        done.append(keys[number])
        supplied = tuple(key for key in operation.record.supplied if key != keys[number])
        operation.change(setup_done=tuple(done), supplied=supplied)
    return ran


def setup_keys(steps: Sequence[Step], worktree: Path) -> list[str]:
    """What `setup_done` is once every step has ended well."""
    return done_keys(steps, untrusted.reader(worktree))


def _run(operation: Operation, running: Running, number: int, step: Step) -> None:
    if operation.record.verified is not None:  # what passed before says nothing about the new state
        operation.change(verified=None)
    with operation.step(named(step)):
        process = f"setup-{number + 1}"
        run_process(operation, running.id, Launch(process, step.run, step.folder, running.env))


def named(step: Step) -> str:
    """'npm ci in app/client'"""
    return step.run if step.folder == "." else f"{step.run} in {step.folder}"


def _keys(operation: Operation) -> list[str]:
    return setup_keys(operation.config.setup, Path(operation.record.worktree))


def _read(operation: Operation) -> Read:
    return untrusted.reader(Path(operation.record.worktree))


def ensure_verified(operation: Operation, running: Running) -> bool:
    """Run `verify` unless it passed and no set-up step ran since. Returns whether it did."""
    command = operation.config.verify
    if command is None or operation.record.verified == command:
        return False
    with operation.step("verifying"):
        run_process(operation, running.id, Launch("verify", command, ".", running.env))
    operation.change(verified=command)
    return True
