"""Files of the host, written so that a crash leaves the old or the new, and so that a container
that can write there, too, leads no write elsewhere."""

import contextlib
import errno
import io
import json
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from runner.adapters.failpoints import step
from runner.adapters.files import untrusted
from runner.adapters.files.untrusted import FOLDER
from runner.domain.errors import ConfigError, Refused


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by a file with this content; parents are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        step(f"write {path.name}")
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def append_json(path: Path, entry: dict[str, Any]) -> None:
    """Append one line of JSON; where that is impossible it is left out."""
    line = json.dumps(entry, separators=(",", ":")) + "\n"
    with contextlib.suppress(OSError):  # a full disk must not keep anybody from cleaning
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
        step(f"append to {path.name}")


def free_bytes(path: Path) -> int:
    """Free space, for an ordinary user, of the file system that holds `path`."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def noexec_mount(path: Path) -> str | None:
    """The mount point of the file system that holds `path`, or its nearest parent that is there,
    if it is mounted so that no program on it may be run; else None."""
    while not path.exists():
        path = path.parent
    if not os.statvfs(path).f_flag & os.ST_NOEXEC:
        return None
    while not path.is_mount() and path != path.parent:
        path = path.parent
    return str(path)


def used_bytes(paths: Iterable[Path], timeout: float) -> int | None:
    """Bytes on the disk of all that lies below these; None where counting takes more than
    `timeout` seconds. By `du`, which is fast, and which deep folders do not stop."""
    there = [os.fspath(path) for path in paths if path.exists()]
    if not there:
        return 0
    command = ["du", "--summarize", "--total", "--one-file-system", "--block-size=1", "--", *there]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    total = done.stdout.rpartition(b"\ttotal")[0].rpartition(b"\n")[2]
    return int(total) if total.isdigit() else None


def copy_file(source: Path, target: Path) -> None:
    """Copy a regular file, which is not followed anywhere, into a new one, which appears when it
    is whole; shared blocks where the file system has them, and holes stay holes: they cost no one
    anything to make. What it grows by meanwhile is left. Raises Refused where it is no file."""
    descriptor = untrusted.open_file(source)
    if descriptor is None:
        raise Refused(f"{source} is no file.", hint="Something else lies there; look at it.")
    with os.fdopen(descriptor, "rb"), appearing(target) as here:
        size = os.fstat(descriptor).st_size
        here.truncate(size)
        for start, end in _filled(descriptor, size):
            at = start
            while at < end and (
                count := os.copy_file_range(descriptor, here.fileno(), end - at, at, at)
            ):
                at += count


def _filled(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """From where to where a file has anything but holes."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
        yield start, end


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[BinaryIO]:
    """A new file that bears its name once it is whole, and on disk for good; what someone who was
    killed left under the other name goes. Only one may write it at a time."""
    made = target.with_name(f"{target.name}.new-")
    remove_entry(made)
    try:
        with made.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        made.rename(target)
    except BaseException:
        made.unlink(missing_ok=True)
        raise


def inside(root: Path, relative: str, what: str) -> Path:
    """`root`/`relative` if no part of it is a symlink. Raises ConfigError, naming `what`."""
    path = root
    for part in Path(relative).parts:
        path = path / part
        if path.is_symlink():
            raise ConfigError(
                f"{what}: {relative} leads through the symlink {path}.",
                hint="Name the real path inside the checkout.",
            )
    return path


def write_below(root: Path, relative: str, data: bytes | BinaryIO, mode: int = 0o644) -> None:
    """Write a file somewhere below `root`, which a container can write too: what it holds, or
    what another one holds from its place on.

    Every folder on the way is opened without following symlinks, and the file is replaced as a
    whole, so nothing outside `root` is ever touched. Raises Refused where something is in the way.
    """
    *folders, name = Path(relative).parts
    with contextlib.ExitStack() as stack:
        folder = os.open(root, FOLDER)
        stack.callback(os.close, folder)
        try:
            for part in folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=folder)
                folder = os.open(part, FOLDER, dir_fd=folder)
                stack.callback(os.close, folder)
            _replace_at(folder, name, data, mode)
        except OSError as error:
            if (
                isinstance(error, IsADirectoryError | NotADirectoryError)
                or error.errno == errno.ELOOP
            ):
                raise Refused(
                    f"{root / relative} cannot be written: {error.strerror}.",
                    hint="Something else lies there; move it away and try again.",
                ) from error
            raise


def link_below(root: Path, relative: str, target: str) -> None:
    """Make a symlink that says `target` somewhere below `root`, as `write_below` goes there,
    unless something is there. Raises Refused where something else than a folder is in the way."""
    *folders, name = Path(relative).parts
    ensure_folder_below(root, str(Path(*folders)))
    with untrusted.open_folder(root, folders) as folder, contextlib.suppress(FileExistsError):
        os.symlink(target, name, dir_fd=folder)


def ensure_folder_below(root: Path, relative: str) -> None:
    """Make a folder somewhere below `root`, as `write_below` goes there. Raises Refused where
    something else is in the way."""
    with contextlib.ExitStack() as stack:
        folder = os.open(root, FOLDER)
        stack.callback(os.close, folder)
        for part in Path(relative).parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=folder)
            try:
                folder = os.open(part, FOLDER, dir_fd=folder)
            except OSError as error:
                raise Refused(
                    f"{root / relative} has to be a folder: {error.strerror}.",
                    hint="Something else lies there; move it away and try again.",
                ) from error
            stack.callback(os.close, folder)


def _replace_at(folder: int, name: str, data: bytes | BinaryIO, mode: int) -> None:
    temporary = f".{name}.treedock-new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, mode, dir_fd=folder), "wb") as file:
        shutil.copyfileobj(io.BytesIO(data) if isinstance(data, bytes) else data, file)
        os.fchmod(file.fileno(), mode)
    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    step(f"write {name}")


def wait_until_next_second() -> None:
    """git reads a file again that is no older than the index, in whole seconds, and inside that
    fails for files under a filter which is not there. File systems are a tick behind the clock."""
    time.sleep(1.02 - time.time() % 1.0)


def remove_tree(path: Path, *, last: str | None = None) -> None:
    """Delete a folder and all below it, unwritable folders too; a missing one is no error. The
    entry `last` of it goes when nothing else is left.

    By `rm`: code in a container can nest folders deeper than Python's recursion goes.
    """
    if path.is_symlink() or not path.is_dir():
        return
    if last:
        others = ["-mindepth", "1", "-maxdepth", "1", "!", "-name", last]
        _remove(path, ["find", os.fspath(path), *others, "-exec", "rm", "-rf", "--", "{}", "+"])
    _remove(path, ["rm", "-rf", "--", os.fspath(path)])
    step(f"remove {path.name}")


def remove_entry(path: Path) -> None:
    """Delete whatever lies there, a folder with all below it; nothing is followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        remove_tree(path)


def remove_oldest(folder: Path, *, beyond: int) -> None:
    """Delete all but the newest `beyond` files of a folder of treedock's own."""
    with contextlib.suppress(OSError):
        paths = sorted(folder.iterdir(), key=lambda path: path.lstat().st_mtime, reverse=True)
        for path in paths[beyond:]:
            path.unlink(missing_ok=True)


def _remove(path: Path, remove: list[str]) -> None:
    """Run a command that deletes things below `path`, writable or not."""
    if subprocess.run(remove, capture_output=True, check=False).returncode:
        _make_writable(path)
        done = subprocess.run(remove, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(errno.EACCES, done.stderr.strip()[-300:], os.fspath(path))


def make_readable(path: Path, below: Path) -> None:
    """Let the owner read a regular file that a container may have written, if that can be."""
    _add_mode(path, below, stat.S_IRUSR, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)


def _make_writable(top: Path) -> None:
    """Let the owner change every folder from `top` on. Not by `chmod -R`: it follows a symlink
    that is put in place of what it has just looked at."""
    todo = [top]
    while todo:
        path = todo.pop()
        _add_mode(path, top.parent, stat.S_IRWXU, FOLDER | os.O_PATH)
        todo += [entry.path for entry in untrusted.entries_of(path, top.parent) if entry.is_folder]


def _add_mode(path: Path, below: Path, mode: int, flags: int) -> None:
    """By a descriptor, which never means a symlink's target; a symlink itself has no mode."""
    with contextlib.suppress(OSError), untrusted.holding(path, below) as above:
        descriptor = os.open(path.name, flags, dir_fd=above)
        try:
            found = os.fstat(descriptor).st_mode
            if stat.S_ISREG(found) or stat.S_ISDIR(found):
                Path(f"/proc/self/fd/{descriptor}").chmod(stat.S_IMODE(found) | mode)
        finally:
            os.close(descriptor)
