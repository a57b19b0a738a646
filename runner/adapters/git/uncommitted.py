"""The uncommitted work of a worktree as a commit of a rehearsal.

Code in a container may change the worktree at any moment. git is asked there for names only;
each file is copied out without following a symlink or waiting for anything, and git works on
the copies. The worktree's index and the repository's objects are left alone.
"""

import contextlib
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.files import disk
from runner.adapters.git import status
from runner.adapters.git.rehearsal import Rehearsal
from runner.adapters.git.repository import Git
from runner.domain.landing.skipped import Skipped

LARGEST = 50 * 2**20  # bytes of one file

ALTOGETHER = 200 * 2**20  # bytes of all of them

FILES = 20_000

TIMEOUT = 60  # seconds for git's look at the files; a FIFO named .gitignore would keep it waiting

# Of the user's configuration, what would make git write elsewhere or refuse a stranger's file.
_PLAIN = (
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    "core.safecrlf=false",
)


@dataclass(frozen=True)
class Snapshot:
    """`commit`: the head, or a commit on top of it with what is uncommitted."""

    commit: str
    dirty: bool
    skipped: tuple[Skipped, ...] = ()


def snapshot(place: Rehearsal, worktree: Path, head: str) -> Snapshot:
    """The files of a linked worktree as they are, whose branch is at `head`: tracked ones, and
    others that are not ignored.

    No filter of the configuration is run: its files are skipped, as are nested repositories,
    what is no file, and what is too large. Raises Refused where its .git file is not genuine.
    """
    filters = place.filters
    changed, untracked, removed = _names(place.git, worktree, filters)
    if not (changed or untracked or removed):
        return Snapshot(head, dirty=False)
    folder = Path(tempfile.mkdtemp(dir=place.folder, prefix="files-"))
    copies = _Copies(worktree, folder)
    for path in dict.fromkeys(changed + untracked):
        copies.take(path)
    copies.link()
    gone = sorted(copies.gone.intersection(changed).union(removed).difference(untracked))
    index = _Index(place, folder, filters)
    index.run("read-tree", head)
    filtered = index.filtered(copies.copied)
    present = [path for path in copies.copied if path not in filtered]
    left = copies.skipped + [Skipped(path, f"filter {name}") for path, name in filtered.items()]
    skipped = tuple(sorted(left, key=lambda one: one.path))
    if not (present or gone):
        return Snapshot(head, dirty=False, skipped=skipped)
    index.remove(gone, none="0" * len(head))
    index.add(present)
    tree = index.run("write-tree").decode().strip()
    disk.remove_tree(folder)
    return Snapshot(place.commit(tree, [head]), dirty=True, skipped=skipped)


def _names(
    git: Git, worktree: Path, filters: Sequence[str]
) -> tuple[list[str], list[str], list[str]]:
    """(changed since HEAD, untracked and not ignored, no longer tracked)."""
    git_dir = git.worktree_dir(worktree)
    marked = status.marks(git, git_dir, worktree)
    plain = _without(filters)
    entries = status.entries(git, git_dir, worktree, marked, before=plain, timeout=TIMEOUT)
    untracked = [one.path for one in entries if one.untracked]
    removed = [one.path for one in entries if one.staged == "D" and not one.unmerged]
    others = {*untracked, *removed}
    return [one.path for one in entries if one.path not in others], untracked, removed


class _Copies:
    """Copies of the files of a worktree below `folder`. Symlinks come last: until then nothing
    below `folder` leads out of it, whatever is swapped in the worktree meanwhile."""

    def __init__(self, worktree: Path, folder: Path) -> None:
        self._worktree = worktree
        self._files = folder / "files"
        self._files.mkdir()
        self._remaining = ALTOGETHER
        self.copied: list[str] = []
        self.gone: set[str] = set()
        self._links: dict[str, str] = {}
        self.skipped: list[Skipped] = []

    def take(self, path: str) -> None:
        """Copy one path, or put it among what is gone or skipped."""
        if path.endswith("/"):
            self._skip(path, "a repository of its own")
            return
        if len(self.copied) >= FILES:
            self._skip(path, f"more than {FILES} files")
            return
        try:
            self._copy(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            self.gone.add(path)
        except OSError as error:
            self._skip(path, f"cannot be read: {error.strerror}")

    def link(self) -> None:
        """Make the symlinks, after all files."""
        for path in self._links:
            with contextlib.suppress(OSError):  # the next loop says so
                (self._files / path).parent.mkdir(parents=True, exist_ok=True)
        for path, leads_to in self._links.items():
            try:
                (self._files / path).symlink_to(leads_to)
            except OSError as error:
                self._skip(path, f"cannot be copied: {error.strerror}")
            else:
                self.copied.append(path)

    def _copy(self, path: str) -> None:
        *folders, name = Path(path).parts
        with contextlib.ExitStack() as stack:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            folder = os.open(self._worktree, flags | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            for part in folders:  # a symlink on the way is ENOTDIR: the path is gone
                folder = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                stack.callback(os.close, folder)
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self._links[path] = os.readlink(name, dir_fd=folder)
            elif stat.S_ISDIR(found.st_mode):
                self.gone.add(path)
            elif stat.S_ISREG(found.st_mode):
                file = os.open(name, flags | os.O_NONBLOCK, dir_fd=folder)
                stack.callback(os.close, file)
                self._fill(path, file)
            else:
                self._skip(path, "neither file nor symlink")

    def _fill(self, path: str, file: int) -> None:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):  # swapped since
            self._skip(path, "neither file nor symlink")
            return
        bound = min(LARGEST, self._remaining)
        target = self._files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            size, data = 0, b"?"
            while data and found.st_size <= bound and size <= bound:
                data = os.read(file, 2**20)
                size += copy.write(data)
        if found.st_size > bound or size > bound:
            target.unlink()
            whole = bound < LARGEST
            over = f"{(ALTOGETHER if whole else LARGEST) // 2**20} MB"
            self._skip(path, f"over {over} altogether" if whole else f"over {over}")
            return
        self._remaining -= size
        target.chmod(0o755 if found.st_mode & 0o100 else 0o644)
        self.copied.append(path)

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(path, reason))


class _Index:
    """An index of its own over the copies in `folder`."""

    def __init__(self, place: Rehearsal, folder: Path, filters: Sequence[str]) -> None:
        self._place = place
        self._files = folder / "files"
        self._env = {"GIT_INDEX_FILE": str(folder / "index")}
        self._filters = filters

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        before = [part for setting in _PLAIN for part in ("-c", setting)]
        return self._place.run(
            *arguments,
            before=[*before, *_without(self._filters)],
            work_tree=self._files,
            stdin=stdin,
            env=self._env,
            large=True,
        )

    def filtered(self, paths: Sequence[str]) -> dict[str, str]:
        """The paths that a configured filter would have to convert, with its name."""
        if not self._filters or not paths:
            return {}
        out = self.run("check-attr", "-z", "--stdin", "filter", stdin=_lines(paths))
        fields = os.fsdecode(out).split("\0")
        named = zip(fields[::3], fields[2::3], strict=False)
        return {path: name for path, name in named if name in self._filters}

    def remove(self, paths: Sequence[str], *, none: str) -> None:
        """`none`: the id of nothing."""
        if paths:
            asked = [f"0 {none}\t{path}" for path in paths]
            self.run("update-index", "-z", "--index-info", stdin=_lines(asked))

    def add(self, paths: Sequence[str]) -> None:
        if paths:
            arguments = ["--add", "--replace", "-z", "--stdin"]
            self.run("update-index", *arguments, stdin=_lines(paths))


def _lines(texts: Sequence[str]) -> bytes:
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def _without(filters: Sequence[str]) -> list[str]:
    """Options that turn these filters off: the branch's .gitattributes would decide which of them
    reads its files."""
    values = ("clean=", "smudge=", "process=", "required=false")
    return [
        part for name in filters for value in values for part in ("-c", f"filter.{name}.{value}")
    ]
