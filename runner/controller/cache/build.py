"""A clean run: one set-up step in a throwaway instance at a commit of base, that runs nothing but
the steps up to it. What it makes there becomes a snapshot, and nothing else ever does."""

import re
import secrets
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path

from runner.adapters.engine.protocol import Exec, Filter
from runner.adapters.files import untrusted
from runner.adapters.git.first_parents import before_changes
from runner.adapters.store import locks
from runner.adapters.store.records import now
from runner.adapters.store.snapshots import Snapshot
from runner.controller.instance.bring_up import bring_up_to_set_up
from runner.controller.instance.setup import ensure_setup, named
from runner.controller.instance.throwaway import dispose, gate_project, lay_out
from runner.controller.operation import Operation
from runner.controller.stream import Stream
from runner.controller.volumes.layers import copy_folders, put_folders
from runner.controller.volumes.snapshots import (
    Steps,
    ensure_mounted,
    steps_of,
    steps_read,
    take_known,
    whole,
)
from runner.domain.cache.managers import verified
from runner.domain.cache.produces import below_home, downloads_of, overlap
from runner.domain.errors import CommandFailed, EngineFailed, GitFailed, Refused
from runner.domain.instance import container as names
from runner.domain.instance.container import WORKSPACE
from runner.domain.instance.names import snapshot_volumes, throwaway
from runner.domain.text import sentences, without_lines

_GENERATED = re.compile(r"(^|/)(__pycache__|[^/]+\.egg-info)(/|$)")
# Whether every one of these folders has something in it.
_FILLED = 'for folder; do [ -n "$(ls -A "$folder")" ] || exit 1; done'


def made_clean(operation: Operation, number: int, steps: Steps) -> Snapshot | None:
    """Make the snapshot of a step, whose lock is held. None, with a word why, where that fails:
    the step then runs in the instance and says itself what is the matter. None too where base has
    other key files: what a branch decides alone is not shared."""
    commit = _commit_of_base(operation, number, steps)
    if commit is None:
        return None
    key = steps.key(number)
    if key in operation.repository.unclean:
        return None
    inner, made = _throwaway(operation, number, key), None
    prefix = snapshot_volumes(operation.project.name, key, secrets.token_hex(3))
    with operation.step(f"{named(steps.steps[number])}, once for all instances"), inner.locked():
        dispose(inner)  # of one that was killed
        try:
            made = _made(inner, number, key, prefix, commit)
        except (CommandFailed, EngineFailed, GitFailed, Refused) as error:
            operation.repository.unclean.add(key)  # the next instance need not try it as well
            said = f"a clean run of {named(steps.steps[number])} failed:"
            operation.warn(sentences(said, without_lines(error.message)))
            return None
        finally:
            dispose(inner)
            if made is None or made.unfit:
                _remove_volumes(operation, key, prefix)
    if made and made.unfit:
        operation.warn(f"{made.step} is not shared: {made.unfit}")
    return made


def _commit_of_base(operation: Operation, number: int, steps: Steps) -> str | None:
    """Base's head where that has the same key files, else the newest commit of its first parents
    that has. What a branch says beside its lock file (scripts that run at installation) must not
    reach its siblings, and what a merged branch held on its way to base was never reviewed."""
    git, base = operation.git, operation.project.base
    heads = [head for head in (git.newest(base)[0], *git.heads(base)) if head]
    files = {path: steps.read(path) or b"" for path in steps.product(number).key}

    def fits(commit: str) -> bool:
        there = steps_read(operation, lambda path: git.blob(commit, path))
        return there.products[number] is not None and there.key(number) == steps.key(number)

    at_heads = (head for head in dict.fromkeys(heads) if fits(head))
    before = (one for head in dict.fromkeys(heads) for one in before_changes(git, head, files))
    return next(chain(at_heads, filter(fits, before)), None)


def _throwaway(operation: Operation, number: int, key: str) -> Operation:
    """An instance with no more set-up steps than this one. What it does is the step of another."""
    elsewhere = gate_project(operation.project)
    steps = operation.config.setup[: number + 1]
    config = replace(elsewhere.config, setup=steps, services={})
    project = replace(elsewhere, config=config)
    inner = Operation(project, throwaway(f"snapshot-{key[:12]}"), Stream())
    inner.image = operation.image
    return inner


def _made(
    inner: Operation,
    number: int,
    key: str,
    prefix: str,
    commit: str,
) -> Snapshot | None:
    lay_out(inner, commit)
    steps = steps_of(inner)
    if steps.products[number] is None or steps.key(number) != key:
        return None
    products = steps.product(number).paths
    caches = downloads_of(steps.steps[number])
    volumes = {path: f"{prefix}{at}" for at, path in enumerate((*products, *caches))}
    _make_volumes(inner, list(volumes.values()), key)
    _begin_near(inner, steps, number, {path: volumes[path] for path in caches})
    inner.change(mounts=volumes)
    take_known(inner, steps)
    ensure_mounted(inner)
    running = bring_up_to_set_up(inner, steps=number)
    before = _files(inner)
    ensure_setup(inner, running)
    step = steps.steps[number]
    filled = Exec(["sh", "-c", _FILLED, "sh", *products], workdir=WORKSPACE)
    empty = inner.engine.exec(running.id, filled).exit_code != 0
    made = sorted(_files(inner) - before)
    beside = [path for path in made if not any(overlap(path, own) for own in products)]
    inner.engine.remove(running.id)  # no one writes any more
    unfit = f"it left nothing in {' or '.join(products)}" if empty else ""
    if beside and step.produces is None:
        unfit = f"it also makes {beside[0]}; `produces` and `key` can say what all of it depends on"
    if unfit:
        volumes = {}
    snapshot = Snapshot(key, steps.kin(number), named(step), volumes, now(), unfit)
    inner.repository.snapshots.write(snapshot)
    return snapshot


def _begin_near(inner: Operation, steps: Steps, number: int, caches: dict[str, str]) -> None:
    """Let download caches begin with what the last run for another lock file downloaded, as far as
    it is verified when it is used: a package that is built in that run could rewrite the rest, and
    would reach those whose lock file does not have it."""
    repository, kin = inner.repository, steps.kin(number)
    snapshots = repository.snapshots
    files = [steps.read(path) or b"" for path in steps.product(number).key]
    parts = {path: verified(below_home(path) or "", files) for path in caches}
    for near in snapshots.all():
        # One that is not whole may be in the making, by someone who waits for the one we make.
        if near.kin == kin and near.volumes.keys() & caches and whole(repository, near.key):
            with locks.hold(snapshots.lock(near.key)):
                if whole(repository, near.key):
                    for path in near.volumes.keys() & {path for path in parts if parts[path]}:
                        copy_folders(inner, near.volumes[path], caches[path], parts[path])
            return


def _files(inner: Operation) -> set[str]:
    """Everything in the worktree, less what Python and its packages make again."""
    top = inner.record.worktree
    found = (str(entry.path.relative_to(top)) for entry in untrusted.entries(Path(top)))
    return {path for path in found if not _GENERATED.search(path)}


def _make_volumes(inner: Operation, volumes: list[str], key: str) -> None:
    """Empty volumes of the user's, under names that no one knows yet."""
    for name in volumes:
        inner.engine.ensure_volume(name, snapshot_labels(inner, key))
    put_folders(inner, dict.fromkeys(volumes, ("",)))


def _remove_volumes(operation: Operation, key: str, prefix: str) -> None:
    for name in operation.engine.volumes(Filter(snapshot=key)):
        if name.startswith(prefix):
            with suppress(EngineFailed):  # doctor finds what is left
                operation.engine.remove_volume(name)


def snapshot_labels(operation: Operation, key: str) -> dict[str, str]:
    """Of a volume that is part of the snapshot `key`."""
    return {
        names.LABEL: "snapshot",
        names.LABEL_PROJECT: operation.project.name,
        names.LABEL_REPOSITORY: operation.repository.key,
        names.LABEL_CACHE: "snapshot",
        names.LABEL_SNAPSHOT: key,
    }
