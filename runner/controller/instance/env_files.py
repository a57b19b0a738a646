"""The files treedock puts into a worktree: .ports.env, .env, copies of ignored files.

Nothing of it shows in `git status`, nothing follows a symlink, nothing tracked is touched.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.controller.instance.copies import Copies, fault
from runner.controller.operation import Operation
from runner.domain.cache.produces import folders_of
from runner.domain.instance import environment
from runner.domain.instance.environment import ENV_BYTES, ENV_FILE, PORTS_FILE
from runner.domain.sizes import shown_size


def exclude_patterns(operation: Operation) -> list[str]:
    """What git must not show: the worktrees, what treedock writes, the database, and what set-up
    steps make."""
    config = operation.config
    trees = operation.project.worktrees_inside
    patterns = [f"/{_literal(trees)}/"] if trees else []
    patterns += ["/.treedock/", f"/{PORTS_FILE}", f"/{ENV_FILE}"]
    checkout = operation.repository.checkout
    patterns += [
        f"/{_literal(name)}" for name in config.env.copied if not (checkout / name).is_dir()
    ]
    if config.database and config.database.path:
        path = f"/{_literal(config.database.path)}"
        patterns += [path + end for end in ("", "-wal", "-shm", "-journal")]
        patterns += [f"{path}-before{end}" for end in ("", "-wal", "-shm", "-journal")]
    patterns += [f"/{_literal(path)}" for step in config.setup for path in folders_of(step)]
    return list(dict.fromkeys(patterns))


def _literal(path: str) -> str:
    """A path as a pattern of an exclude file that matches nothing else."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def write_files(operation: Operation, copies: Copies) -> None:
    """Copy the ignored files once, and write .ports.env and .env with today's values."""
    worktree = Path(operation.record.worktree)
    tracked = operation.git.tracked(worktree, [PORTS_FILE, ENV_FILE, *operation.config.env.copied])
    copied = [*copies.files, *copies.links]
    for name in (*copied, *(copies.faults or ())):
        _copy(operation, worktree, name, copies)
    for remark in () if operation.record.ready else copies.remarks:  # once, when it is new
        operation.warn(remark)
    known = tuple(sorted({*operation.record.copied, *copied, ENV_FILE} - tracked))
    if known != operation.record.copied:
        operation.change(copied=known)
    write_values(operation, tracked)


def write_values(operation: Operation, tracked: Collection[str]) -> None:
    """Write .ports.env and .env with today's values, but neither where it is `tracked`."""
    worktree, values = Path(operation.record.worktree), operation.values()
    _write(operation, worktree, PORTS_FILE, environment.render_ports_env(values), tracked)
    data = untrusted.read(worktree / ENV_FILE, ENV_BYTES + 1) or b""
    if len(data) > ENV_BYTES:
        operation.warn(f"{ENV_FILE} has over {shown_size(ENV_BYTES)}; it was left as it is")
        return
    kept = data.decode(errors="surrogateescape")
    _write(operation, worktree, ENV_FILE, environment.with_block(kept, values), tracked)


def _copy(operation: Operation, worktree: Path, name: str, copies: Copies) -> None:
    """Copy one file unless something is there already: an instance's own edits stay. Raises
    ConfigError where it cannot be copied."""
    kind = untrusted.kind(worktree, name)
    source = operation.project.repository.checkout / name
    if kind == "symlink" and name not in copies.links:
        operation.warn(f"{name} is, or lies behind, a symlink in this branch; it was left alone")
    if kind != "absent":
        return
    if copies.faults and name in copies.faults:
        raise fault(copies.faults[name])
    if name in copies.links:
        disk.link_below(worktree, name, os.fspath(source.readlink()))
        return
    data = source.read_bytes()
    if operation.config.env.is_rewritten(name):
        data = environment.rewritten(
            data, str(operation.project.repository.checkout), str(worktree)
        )
    disk.write_below(worktree, name, data, mode=source.stat().st_mode & 0o777)


def _write(
    operation: Operation, worktree: Path, name: str, text: str, tracked: Collection[str]
) -> None:
    """Write a generated file, but never over a tracked one or through a symlink."""
    data = text.encode(errors="surrogateescape")
    kind = untrusted.kind(worktree, name)
    if name in tracked:
        if operation.record.ready:
            return  # it was said when the instance was new
        if kind == "symlink":
            operation.say(
                f"{name} is a symlink in this branch; it was neither followed nor changed"
            )
        else:
            operation.say(
                f"{name} is tracked and stays as it is; the values are in the environment"
            )
    elif kind in ("symlink", "folder", "other"):
        operation.warn(f"{name} is a {kind} in this worktree; it was neither followed nor changed")
    elif untrusted.read(worktree / name, len(data) + 1, below=worktree) != data:
        disk.write_below(worktree, name, data, mode=0o600 if name == ENV_FILE else 0o644)
