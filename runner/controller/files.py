"""The files treedock puts into a worktree: .ports.env, .env, copies of ignored files.

Nothing of it shows in `git status`, nothing follows a symlink, nothing tracked is touched.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from runner.adapters import disk, env_file
from runner.controller.work import ProjectWork
from runner.domain import environment
from runner.domain.produces import folders_of

PORTS_FILE = ".ports.env"
ENV_FILE = ".env"


def exclude_patterns(work: ProjectWork) -> list[str]:
    """What git must not show: the worktrees, what treedock writes, the database, and what set-up
    steps make."""
    config = work.config
    patterns = [f"/{config.worktrees}/", "/.treedock/", f"/{PORTS_FILE}", f"/{ENV_FILE}"]
    checkout = work.repository.checkout
    patterns += [
        f"/{_literal(name)}" for name in config.env.copy_ if not (checkout / name).is_dir()
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


def write_files(work: ProjectWork, values: Mapping[str, str]) -> None:
    """Copy the ignored files once, and write .ports.env and .env with today's values."""
    worktree = Path(work.record.worktree)
    names = [PORTS_FILE, ENV_FILE, *work.config.env.copy_]
    tracked = work.git.tracked(worktree, names)
    copied = _to_copy(work)
    for name in copied:
        _copy(work, worktree, name)
    known = tuple(sorted({*work.record.copied, *copied, ENV_FILE} - tracked))
    if known != work.record.copied:
        work.change(copied=known)
    _write(work, worktree, PORTS_FILE, environment.render_ports_env(values), tracked)
    kept = (disk.read_untrusted(worktree / ENV_FILE) or b"").decode(errors="surrogateescape")
    _write(work, worktree, ENV_FILE, environment.with_block(kept, values), tracked)


def env_file_values(work: ProjectWork) -> dict[str, str]:
    """What the instance's .env holds, for the container's environment."""
    data = disk.read_untrusted(Path(work.record.worktree) / ENV_FILE, 2**20) or b""
    return env_file.values(data.decode(errors="replace"))


def _to_copy(work: ProjectWork) -> list[str]:
    """Ignored files of the main checkout that instances get a copy of."""
    checkout = work.project.repository.checkout
    for name in work.config.env.copy_:  # git would not look behind a symlink either
        disk.inside(checkout, str(Path(name).parent), "env.copy")
    listed = [name for name in work.config.env.copy_ if (checkout / name).is_file()]
    names = sorted(work.git.ignored(checkout, listed))
    patterns = checkout / ".worktreeinclude"
    if patterns.is_file() and not patterns.is_symlink():
        trees = f"{work.config.worktrees}/"
        found = work.git.ignored_matching(checkout, patterns)
        names += [
            name
            for name in found
            if not name.startswith(trees) and disk.entry_kind(checkout, name) == "file"
        ]
    return list(dict.fromkeys(names))


def _copy(work: ProjectWork, worktree: Path, name: str) -> None:
    """Copy one file unless something is there already: an instance's own edits stay."""
    kind = disk.entry_kind(worktree, name)
    if kind == "symlink":
        work.warn(f"{name} is, or lies behind, a symlink in this branch; it was left alone")
    if kind != "absent":
        return
    checkout = work.project.repository.checkout
    source = disk.inside(checkout, name, "env.copy")
    data = source.read_bytes()
    if name in work.config.env.rewrite:
        data = data.replace(str(checkout).encode(), str(worktree).encode())
    disk.write_below(worktree, name, data, mode=source.stat().st_mode & 0o777)


def _write(work: ProjectWork, worktree: Path, name: str, text: str, tracked: set[str]) -> None:
    """Write a generated file, but never over a tracked one or through a symlink."""
    data = text.encode(errors="surrogateescape")
    kind = disk.entry_kind(worktree, name)
    if name in tracked:
        if work.record.ready:
            return  # it was said when the instance was new
        if kind == "symlink":
            work.say(f"{name} is a symlink in this branch; it was neither followed nor changed")
        else:
            work.say(f"{name} is tracked and stays as it is; the values are in the environment")
    elif kind in ("symlink", "folder", "other"):
        work.warn(f"{name} is a {kind} in this worktree; it was neither followed nor changed")
    elif disk.read_untrusted(worktree / name) != data:
        disk.write_below(worktree, name, data, mode=0o600 if name == ENV_FILE else 0o644)
