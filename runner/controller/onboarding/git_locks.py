"""Lock files of git's own that a git which was killed has left: every later git refuses."""

import time
from collections.abc import Iterator
from pathlib import Path

from runner.adapters.host import machine
from runner.controller.project import Repository
from runner.domain.instance.health import Finding, is_stale_lock
from runner.domain.text import listed

_CHECK = "git-locks"


def git_locks(repository: Repository, *, fix: bool) -> Finding:
    """Those that no process holds. `fix` moves them aside, so that nothing of them is lost."""
    stale = [path for path in _locks(repository.common_dir) if _is_abandoned(repository, path)]
    if not stale:
        return Finding(_CHECK, "ok", "no lock of git's own is left")
    said = listed([str(path) for path in stale])
    if not fix:
        message = f"Left by a git that was killed, and held by no process: {said}."
        return Finding(_CHECK, "problem", message, "treedock doctor --fix moves them aside.")
    aside = repository.records.root / "aside"
    aside.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in stale:
        path.rename(aside / f"{path.name}-{time.time_ns()}")
    return Finding(_CHECK, "ok", f"moved to {aside}: {said}", fixed=True)


def _locks(common_dir: Path) -> Iterator[Path]:
    """Of the index, of HEAD, of the configuration and of refs."""
    for pattern in ("*.lock", "worktrees/*/*.lock", "refs/**/*.lock"):
        yield from sorted(common_dir.glob(pattern))


def _is_abandoned(repository: Repository, path: Path) -> bool:
    try:
        age = time.time() - path.lstat().st_mtime
    except FileNotFoundError:
        return False  # its git is done
    places = [repository.common_dir, *(one.path for one in repository.git.worktrees())]
    return is_stale_lock(age, held=machine.git_at_work(places, path))
