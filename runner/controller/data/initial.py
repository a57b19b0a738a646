"""The data that a new instance begins with: decided before its sidecars are made, applied after its
set-up. Instances share it as golden states."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from runner.adapters.files import untrusted
from runner.adapters.store import locks
from runner.adapters.store.records import now
from runner.controller.cache.prune import prune
from runner.controller.data.golden_key import golden_key, is_personal
from runner.controller.data.golden_state import find, is_base, keep, restored
from runner.controller.data.reset import reset_key, run_reset
from runner.controller.instance import images
from runner.controller.instance.container import Running
from runner.controller.instance.setup import named
from runner.controller.operation import Operation
from runner.controller.volumes.layers import can_overlay
from runner.domain.cache.produces import products_of
from runner.domain.config.sections import Database
from runner.domain.data import initial as decisions
from runner.domain.data.initial import Decision, Keep, Past, Restore, Run, Share
from runner.domain.errors import EngineFailed
from runner.domain.git.hooks import installs_hooks


@contextlib.contextmanager
def initial_data(operation: Operation, share: Share) -> Iterator[Decision]:
    """What the data of an instance with this image begins with. For a state that is made for
    others, its lock is held until the block ends: one of several instances makes it, and the
    others wait and look again."""
    decision = decide(operation, share)
    with contextlib.ExitStack() as held:
        if isinstance(decision, Run) and decision.keep:
            decision = _claim(operation, decision, held)
        yield decision
    if isinstance(decision, Run) and decision.keep:
        with contextlib.suppress(EngineFailed):  # it counts for one at a time; the next one prunes
            prune(operation.repository, max_size=operation.config.limits.cache)


def decide(operation: Operation, share: Share) -> Decision:
    """The decision, without waiting for an instance that makes the state now."""
    database, record = operation.config.database, operation.record
    if database is None or database.reset is None:
        return Keep()
    past = Past(
        record.reset_key,
        begun=record.reset_begun or record.reset_at is not None,
        used=record.ready and record.reset_at is None,
    )
    return decisions.initial_data(
        past,
        reset_key(database),
        share,
        own=lambda: _own(operation, database),
        key_of=lambda: golden_key(operation, database, _images(operation)),
        find=lambda key: find(operation, key),
        is_base=lambda: is_base(operation, database),
    )


def ensure_data(operation: Operation, running: Running, decision: Decision) -> bool:
    """Have the data that was decided on; where its golden state cannot be taken, the reset runs.
    Returns whether it is new. Raises CommandFailed where the reset fails."""
    database = operation.config.database
    if database is None or database.reset is None:
        return False
    key = reset_key(database)
    if isinstance(decision, Keep):
        if decision.reason:
            operation.say(f"{decision.reason}: treedock db reset {operation.id}")
            operation.change(reset_key=key)
        return False
    if isinstance(decision, Restore):
        if restored(operation, database, decision):
            operation.change(reset_key=key, golden=decision.key, reset_at=now())
            return True
        decision = Run()
    if decision.reason:
        operation.say(decision.reason)
    _make(operation, running, database, keep_as=decision.keep)
    return True


def _make(operation: Operation, running: Running, database: Database, *, keep_as: str) -> None:
    others = run_reset(operation, running.id, database, running.env, keeps=bool(keep_as))
    if keep_as and operation.record.golden == keep_as:
        keep(operation, database, keep_as)
    elif keep_as and not others:
        operation.warn(
            "its data is not shared: set-up or the reset has changed what the reset reads"
        )


def _claim(operation: Operation, run: Run, held: contextlib.ExitStack) -> Decision:
    """Hold the lock of the state that `run` makes. Where another instance has made it meanwhile, or
    tried to, nothing is held and the decision is another."""
    waited: list[str] = []

    def wait(holder: str) -> None:
        waited.append(holder)
        base = operation.project.base
        operation.say(f"waiting for the database that another instance makes for {base}")

    held.enter_context(locks.hold(operation.repository.snapshots.lock(run.keep), waiting=wait))
    volume = find(operation, run.keep)
    if volume is None and not waited:
        return run
    held.close()
    return decisions.after_waiting(run.keep, volume)


def _own(operation: Operation, database: Database) -> str:
    """Why no golden state is shared with this one; '' where it is."""
    if database.engine == "command":
        return "treedock does not know where it is"
    if is_personal(operation, database):
        return "the reset reads what differs in every instance"
    sidecar = operation.config.sidecars.get(database.beside)
    if sidecar is None:
        return ""
    if not sidecar.data:
        return f"the sidecar {database.beside} has no volume"
    # They run beside a server that holds all that they did to it before.
    products = products_of(
        operation.config.setup, untrusted.reader(Path(operation.record.worktree))
    )
    for step, product in zip(operation.config.setup, products, strict=True):
        if product is None and not installs_hooks(step.run):
            return f"{named(step)} may write to it (`produces` and `key` tell that it does not)"
    return "" if can_overlay(operation) else "the engine cannot mount overlays"


def _images(operation: Operation) -> list[str]:
    """Those of the container and of the database's sidecar."""
    database = operation.config.database
    sidecar = operation.config.sidecars.get(database.beside) if database else None
    if sidecar is None:
        return [operation.image]
    return [
        operation.image,
        images.ensure_sidecar_image(operation.project, sidecar, operation.emit),
    ]
