"""The one reader of files that code in an instance may have written.

Every part of a path is opened by itself and no symlink is followed, also where one is put in place
of a folder meanwhile. Only regular files are read, and nothing blocks. A file is read up to
`BOUND` bytes unless the caller says why it reads more; of a folder at most `NAMES` names are taken,
each of which fits a strict pattern. What is read can ask or inform: it never becomes a path, a
command, an id or a host.
"""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from runner.domain.frozen import dataclass

BOUND = 64 * 2**10  # bytes of one file
NAMES = 100  # of one folder
LOOKED_AT = 20_000  # entries of one folder; code inside can make any number
LOG = 16 * 2**20  # bytes of one log, the newest: a failed build may print as much
LOCK_FILE = 2**26  # bytes; the lock files of package managers reach tens of megabytes
FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LONGEST = 4000  # bytes of a path; the kernel takes 4096


def open_file(path: Path, below: Path | None = None) -> int | None:
    """A read descriptor of a regular file that a container may have written; else None.

    `below` is the folder above it which no container can replace, by default the one that holds
    it. Nothing from there on is followed, also where it is swapped meanwhile; never blocks on a
    FIFO or device.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with holding(path, below) as folder:
            descriptor = os.open(path.name, flags, dir_fd=folder)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def look(path: Path, below: Path | None = None) -> os.stat_result | None:
    """What lies there, itself, reached in the same way; None where there is nothing."""
    try:
        with holding(path, below) as folder:
            return os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except OSError:
        return None


def link(path: Path, below: Path | None = None) -> str | None:
    """What a symlink says, reached in the same way; None where there is none."""
    try:
        with holding(path, below) as folder:
            return os.readlink(path.name, dir_fd=folder)
    except OSError:
        return None


@contextlib.contextmanager
def holding(path: Path, below: Path | None) -> Iterator[int]:
    """A descriptor of the folder that holds `path`, each part after `below` opened by itself."""
    root = path.parent if below is None else below
    with open_folder(root, list(path.parent.relative_to(root).parts)) as folder:
        yield folder


def read(path: Path, bound: int = BOUND, *, below: Path | None = None) -> bytes | None:
    """The first `bound` bytes of such a file, or None where there is none."""
    descriptor = open_file(path, below)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(bound)


def digest(path: Path, bound: int = 2**30, *, below: Path | None = None) -> bytes:
    """The SHA-256 of such a file, and of nothing where there is none. Of one of over `bound` bytes
    that of its size and the time of its last change, which no program sets: ten gigabytes of
    holes cost no one anything to make, and a minute to read."""
    descriptor = open_file(path, below)
    if descriptor is None:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if about.st_size > bound:
            return hashlib.sha256(b"%d %d" % (about.st_size, about.st_ctime_ns)).digest()
        return hashlib.file_digest(file, "sha256").digest()


def size(path: Path, below: Path | None = None) -> int:
    """Bytes of such a file; 0 where there is none."""
    found = look(path, below)
    return found.st_size if found else 0


def reader(root: Path) -> Callable[[str], bytes | None]:
    """read(path): a lock file below `root`, which a container may have written, reached without a
    symlink, else None. Each is read once."""

    @cache
    def read_once(relative: str) -> bytes | None:
        return read(root / relative, LOCK_FILE, below=root)

    return read_once


def end(path: Path, bound: int) -> bytes | None:
    """The last `bound` bytes of such a file, or None where there is none."""
    descriptor = open_file(path)
    if descriptor is None:
        return None
    with os.fdopen(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - bound))
        return file.read(bound)


def tail(path: Path, lines: int, bound: int = 2**20) -> list[str]:
    """The last lines of such a file; at most its last `bound` bytes are read."""
    text = (end(path, bound) or b"").decode(errors="replace")
    return text.splitlines()[-lines:] if lines > 0 else []


def kind(root: Path, relative: str) -> str:
    """'absent', 'file', 'folder', 'symlink' or 'other': what lies at `relative` below `root`.

    A symlink anywhere on the way is 'symlink'.
    """
    *above, last = Path(relative).parts or (".",)
    folder = os.open(root, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in above:
            kind = _kind_at(folder, part)
            if kind != "folder":
                return "symlink" if kind == "symlink" else "absent"
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return _kind_at(folder, last)
    except (FileNotFoundError, NotADirectoryError):  # swapped since
        return "absent"
    finally:
        os.close(folder)


def _kind_at(folder: int, name: str) -> str:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return "absent"
    if stat.S_ISLNK(mode):
        return "symlink"
    if stat.S_ISREG(mode):
        return "file"
    return "folder" if stat.S_ISDIR(mode) else "other"


@contextlib.contextmanager
def open_folder(root: Path, parts: "list[str]") -> Iterator[int]:
    """A descriptor of a folder below `root`, reached without following a symlink. Raises OSError
    where something else lies there."""
    folder = os.open(root, os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            inner = os.open(part, FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        yield folder
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Entry:
    """What a folder has: its path, and whether it is a folder itself; no symlink is one."""

    path: Path
    is_folder: bool


def entries(top: Path) -> Iterator[Entry]:
    """Every entry below a folder; symlinks are not followed, also where one is put in place of a
    folder meanwhile; what cannot be read, or named in full, is left out.

    Not by os.walk: it recurses, and folders can be nested deeper than Python's stack.
    """
    todo = [top]
    while todo:
        found = list(entries_of(todo.pop(), top))
        yield from found
        todo += [entry.path for entry in found if entry.is_folder]


def entries_of(folder: Path, below: Path) -> Iterator[Entry]:
    """What one folder has, in the same way; it lies below a folder that no container replaces."""
    if len(os.fspath(folder)) > LONGEST:
        return
    with (
        contextlib.suppress(OSError),
        open_folder(below, list(folder.relative_to(below).parts)) as descriptor,
        os.scandir(descriptor) as found,
    ):
        for entry in found:
            yield Entry(folder / entry.name, entry.is_dir(follow_symlinks=False))


def names(folder: Path, pattern: re.Pattern[str], most: int = NAMES) -> list[str]:
    """The names of regular files in a folder that fit the whole pattern, sorted: `most` of them,
    of the first `LOOKED_AT` entries."""
    found = (entry.path.name for entry in islice(entries_of(folder, folder), LOOKED_AT))
    fit = (name for name in found if pattern.fullmatch(name) and kind(folder, name) == "file")
    return sorted(islice(fit, most))


def holds_anything(folder: Path, below: Path | None = None) -> bool:
    """Whether a folder that a container can write has any entry."""
    try:
        with (
            holding(folder, below) as above,
            _opened(folder.name, above) as descriptor,
            os.scandir(descriptor) as found,
        ):
            return any(True for _ in found)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


@contextlib.contextmanager
def _opened(name: str, above: int) -> Iterator[int]:
    descriptor = os.open(name, FOLDER, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
