"""Files under a filter that git has to apply (Git LFS, git-crypt), after the branch has moved.

git inside has no such filter and writes them as they are committed: a pointer. What the filter
makes of them is written from the host, as at `up`, and git on both sides then takes it for clean.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.adapters.git.private import filters_of
from runner.adapters.git.repository import LFS_CONFIG
from runner.controller.operation import Operation
from runner.controller.sync.git_inside import run_git
from runner.domain.errors import RunnerError
from runner.domain.instance.record import lands_in
from runner.domain.text import listed, sentences

POINTER = 2**20  # bytes; what is committed in place of a file is smaller
_AT_ONCE = 200  # paths on one command line

# $1: filters, one a line; the rest are paths. What is committed counts as what the file becomes.
_TAKE_AS_COMMITTED = """
filters=$1; shift
set -- "$@" --
for name in $filters; do
  set -- "$@" -c "filter.$name.clean=git cat-file blob :%f"
done
paths=; until [ "$1" = -- ]; do paths="$paths$1
"; shift; done; shift
printf %s "$paths" | tr '\\n' '\\0' | git "$@" update-index -z --stdin
"""


def ensure_filtered(operation: Operation, old: str, new: str) -> None:
    """Write the files of `new` that `old` had otherwise and that a filter has to make; what was
    edited since stays. A file that cannot be made is a warning."""
    worktree = Path(operation.record.worktree)
    if not worktree.is_dir():
        return
    filters = filters_of(operation.git.settings(worktree))
    if not filters:
        return
    changed = operation.git.changed_between(old, new)
    there = [path for path, what in changed.items() if what != "D"]
    paths = operation.git.under_filter(worktree, there, filters)
    if not paths:
        return
    written = _write(operation, worktree, new, paths)
    disk.wait_until_next_second()
    operation.git.take_again(worktree, written)
    dirty = set(operation.git.dirty(worktree))
    clean = [path for path in paths if path not in dirty and "\n" not in path]
    for at in range(0, len(clean), _AT_ONCE):
        script = ["sh", "-c", _TAKE_AS_COMMITTED, "treedock", "\n".join(filters)]
        run_git(operation, [*script, *clean[at : at + _AT_ONCE]], check=False)


def _write(operation: Operation, worktree: Path, commit: str, paths: Sequence[str]) -> list[str]:
    """Put what the filter makes in place of what is committed; returns where that was done."""
    written, left, why = list[str](), list[str](), ""
    with _rules(operation, commit) as rules:
        for path in _as_committed(operation, worktree, commit, paths):
            try:
                with tempfile.TemporaryFile(dir=operation.records.folder(operation.id)) as made:
                    operation.git.smudge(worktree, rules, commit, path, made)
                    made.seek(0)
                    there = untrusted.look(worktree / path, worktree)
                    mode = there.st_mode & 0o777 if there else 0o644
                    disk.write_below(worktree, path, made, mode)
                written.append(path)
            except (RunnerError, OSError) as error:
                left.append(path)
                why = why or str(error)
    if left:
        hint = f"Once that is repaired: git -C {worktree} lfs pull"
        operation.warn(sentences(f"{listed(left)} stay as committed, a pointer:", why, hint))
    return written


@contextlib.contextmanager
def _rules(operation: Operation, commit: str) -> Iterator[Path]:
    """A folder with the attributes of a commit, and with base's .lfsconfig: code inside can write
    that of the worktree at any moment, and would decide where this machine sends requests."""
    from runner.adapters.git.rehearsal import write_attributes

    with tempfile.TemporaryDirectory() as made:
        write_attributes(operation.git, commit, Path(made))
        base = operation.git.newest(lands_in(operation.record, operation.records.all()))[0]
        own = operation.git.blob(base, LFS_CONFIG) if base else None
        (Path(made) / LFS_CONFIG).write_bytes(own or b"")
        yield Path(made)


def _as_committed(
    operation: Operation, worktree: Path, commit: str, paths: Sequence[str]
) -> Iterator[str]:
    """Those of these paths that are regular files with exactly what is committed."""
    for path in paths:
        if untrusted.kind(worktree, path) == "file":
            there = untrusted.read(worktree / path, POINTER, below=worktree)
            if there == operation.git.blob(commit, path):
                yield path
