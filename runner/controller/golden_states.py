"""Golden states that all instances share: what `database.reset` made at a commit of base, in an
instance in which nothing else had run. A new instance whose reset would read the same begins with
it, copy-on-write where the database lies in a volume, and does not run the command.
"""

import contextlib
import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from runner.adapters import disk, locks
from runner.adapters.records import now
from runner.adapters.snapshots import Snapshot
from runner.controller.database import required_adapter, site_of
from runner.controller.golden import golden_key, is_personal
from runner.controller.sidecars import await_ready, data_of, wanted_sidecar
from runner.controller.supply import whole
from runner.controller.work import ProjectWork
from runner.domain import container as names
from runner.domain.config import Database
from runner.domain.container import VolumeMount
from runner.domain.errors import CommandFailed, EngineFailed, Refused, RunnerError

COPY_TIMEOUT = 1800.0  # seconds
STOP_TIMEOUT = 60  # seconds; what is copied has to be whole
FROM = "/run/treedock/from"

_COPY = 'cp -a --reflink=auto "$1/." "$2" 2>/dev/null || cp -a "$1/." "$2"'


@dataclass(frozen=True)
class First:
    """The first reset of an instance: of which `key`, the state `found` that it need not run for,
    and whether what it makes is kept for others."""

    key: str = ""
    found: Snapshot | None = None
    keeps: bool = False


@contextlib.contextmanager
def first_reset(work: ProjectWork, *, untouched: bool, fresh: bool = False) -> Iterator[First]:
    """What the first reset has to begin with. Of several instances at once that would make the
    same one does, and the others wait for it. `untouched`: nothing has run in this one yet;
    `fresh`: the command is to run whatever is known. The instance's container runs."""
    database = work.config.database
    if database is None or database.reset is None or work.record.reset_key is not None:
        yield First()
        return
    if database.engine == "command" or is_personal(work, database):
        yield First()
        return
    snapshots, key = work.repository.snapshots, golden_key(work, database)
    found = None if fresh else _whole(work, key)
    if found or fresh or not (untouched and _is_base(work)):
        yield First(key, found)
        return
    with contextlib.ExitStack() as held:
        wait = f"waiting for the database that another one makes for {work.project.base}"
        held.enter_context(locks.hold(snapshots.lock(key), waiting=lambda who: work.say(wait)))
        found = _whole(work, key)
        if found:
            held.close()
        yield First(key, found, keeps=found is None)


def begins_with(work: ProjectWork, database: Database, first: First) -> bool:
    """Have the golden state as the data, if there is one. Returns whether it is."""
    if first.found is None:
        return False
    data = data_of(work, database.beside)
    if data:  # it was mounted when the sidecar was made
        return work.record.data_lowers.get(data) == first.found.volumes.get("")
    site, adapter = site_of(work, _container(work)), required_adapter(work.config)
    golden = adapter.golden_file(site)
    kept = work.repository.snapshots.file(first.key)
    if golden is None or not kept.exists():
        return False
    golden.unlink(missing_ok=True)
    try:
        disk.copy_untrusted(kept, golden)
        return adapter.reset(site)
    except (CommandFailed, Refused, OSError) as error:
        work.warn(f"the golden state of the database cannot be taken: {error}")
        return False


def keep(work: ProjectWork, database: Database, first: First) -> None:
    """Keep what the reset has made for other instances. The key's lock is held; a failure is said
    and changes nothing for this instance."""
    step = f"database: {database.reset}"
    kept = Snapshot(first.key, "database", step, {}, now())
    try:
        data = data_of(work, database.beside)
        if data:
            with work.step("keeping its golden state for all instances"):
                kept = replace(kept, volumes={"": _copied(work, database.beside, data, first.key)})
        else:
            golden = required_adapter(work.config).golden_file(site_of(work, _container(work)))
            if golden is None or not golden.exists():
                return
            target = work.repository.snapshots.file(first.key)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            disk.copy_untrusted(golden, target)
        work.repository.snapshots.write(kept)
    except (CommandFailed, EngineFailed, OSError) as error:
        work.warn(f"the golden state of the database is not kept for others: {error}")


def _whole(work: ProjectWork, key: str) -> Snapshot | None:
    snapshots = work.repository.snapshots
    found = whole(work.engine, snapshots, key)
    return found if found and (found.volumes or snapshots.file(key).exists()) else None


def _copied(work: ProjectWork, sidecar: str, data: str, key: str) -> str:
    """A new volume with what a sidecar has in its own, while it is stopped."""
    there = work.sidecars()[sidecar]
    volume = f"treedock-{work.project.name}-snapshot-{key[:12]}-{secrets.token_hex(3)}.db"
    labels = {
        names.LABEL: "snapshot",
        names.LABEL_PROJECT: work.project.name,
        names.LABEL_REPOSITORY: work.repository.key,
        names.LABEL_CACHE: "snapshot",
        names.LABEL_SNAPSHOT: key,
    }
    target = work.config.sidecars[sidecar].data or ""
    work.engine.ensure_volume(volume, labels)
    work.engine.stop(there.id, STOP_TIMEOUT)
    try:
        like = wanted_sidecar(work, sidecar, _container(work), there.image)
        spec = replace(
            like, name=f"{like.name}.fill", inside=None, network="none", command=None, user="",
            labels={**like.labels, names.LABEL_SIDECAR: ".fill"},
            volumes=(VolumeMount(data, FROM, read_only=True), VolumeMount(volume, target)),
        )  # fmt: skip
        _run(work, spec.name, work.engine.create(spec), [FROM, target])
    except RunnerError:
        with contextlib.suppress(RunnerError):
            work.engine.remove_volume(volume)
        raise
    finally:
        work.engine.start(there.id)
        await_ready(work, _container(work), sidecar)
    return volume


def _run(work: ProjectWork, name: str, container: str, words: list[str]) -> None:
    said = io.BytesIO()
    try:
        work.engine.start(container)
        code = work.engine.exec_attached(
            container, ["sh", "-c", _COPY, "sh", *words], env={}, workdir="/", stdin=None,
            stdout=said, stderr=said, timeout=COPY_TIMEOUT,
        )  # fmt: skip
    finally:
        work.engine.remove(container)
    if code:
        raise CommandFailed(said.getvalue().decode(errors="replace")[-300:].strip())


def _is_base(work: ProjectWork) -> bool:
    """Whether the instance is at a commit of base, with nothing else in its files."""
    git, record = work.git, work.record
    worktree, base = Path(record.worktree), work.project.base
    if record.base != base or git.head_of(worktree) != record.base_commit:
        return False
    heads = [head for head in git.heads(base) if head]
    held = any(git.is_ancestor(record.base_commit, head) for head in heads)
    return held and not git.dirty(worktree)


def _container(work: ProjectWork) -> str:
    found = work.container()
    return found.id if found else ""
