"""One tar of files that a container could write: nothing is followed, nothing blocks."""

import os
import stat
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, BinaryIO, cast

from runner.adapters.failpoints import step
from runner.adapters.files import disk, untrusted

CHUNK = 2**20  # bytes
_ZEROS = bytes(CHUNK)


def write(target: Path, root: Path, paths: Iterable[str]) -> list[str]:
    """Write what lies at `paths` below `root` to the new tar `target`, and see it on the disk.

    A folder comes with all below it, a symlink as a symlink. Returns what was left out: pipes,
    devices, and what cannot be read. Raises OSError where the disk is full.
    """
    omitted = []
    with target.open("xb") as file:
        sparse = cast(IO[bytes], _Sparse(file))
        with tarfile.TarFile(fileobj=sparse, mode="w", copybufsize=CHUNK) as tar:
            for path in _all_below(root, paths):
                if not _add(tar, root, path):
                    omitted.append(path)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    step(f"write {target.name}")
    return omitted


class _Sparse:
    """A new file in which zeros are holes: what is sparse in a worktree must not fill the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.tell = file.tell

    def write(self, data: bytes) -> int:
        if len(data) == CHUNK and data == _ZEROS:
            self._file.seek(len(data), os.SEEK_CUR)
        else:
            self._file.write(data)
        return len(data)


def size(root: Path, paths: Iterable[str]) -> int:
    """How many bytes the files at `paths` have; the holes of sparse ones count."""
    found = (untrusted.look(root / path, root) for path in _all_below(root, paths))
    return sum(seen.st_size for seen in found if seen)


def held(tar: Path, root: Path, paths: Iterable[str]) -> set[str]:
    """Those of these paths of which the tar has what lies there below `root` now, byte by byte, a
    folder with all below it."""
    try:
        with tarfile.open(tar) as opened:
            members = {member.name: member for member in opened.getmembers()}
            return {path for path in paths if _has_all(opened, members, root, path)}
    except (OSError, tarfile.TarError):
        return set()


def _has_all(
    opened: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], root: Path, path: str
) -> bool:
    try:
        there = list(_all_below(root, [path.rstrip("/")]))
        return bool(there) and all(_has(opened, members[one], root, one) for one in there)
    except (OSError, KeyError, tarfile.TarError):
        return False


def _has(opened: tarfile.TarFile, member: tarfile.TarInfo, root: Path, path: str) -> bool:
    if member.isdir():
        return untrusted.kind(root, path) == "folder"
    if member.issym():
        return untrusted.link(root / path, root) == member.linkname
    inside = opened.extractfile(member)
    return inside is not None and _is_same(root, path, inside, member.size)


def _is_same(root: Path, path: str, inside: IO[bytes], length: int) -> bool:
    descriptor = untrusted.open_file(root / path, root)
    if descriptor is None:
        return False
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(file.fileno()).st_size != length:
            return False
        while chunk := file.read(CHUNK):
            if chunk != inside.read(len(chunk)):
                return False
    return True


def _all_below(root: Path, paths: Iterable[str]) -> Iterator[str]:
    """Each path that is there, and for a folder everything in it. None leads through a symlink."""
    todo = sorted(paths, reverse=True)
    while todo:
        path = todo.pop()
        seen = untrusted.look(root / path, root)
        if seen is None:
            continue
        yield path
        if stat.S_ISDIR(seen.st_mode):
            names = (entry.path.name for entry in untrusted.entries_of(root / path, root))
            todo += [f"{path}/{name}" for name in sorted(names, reverse=True)]


def _add(tar: tarfile.TarFile, root: Path, path: str) -> bool:
    seen = untrusted.look(root / path, root)
    if seen is None:
        return False
    target = untrusted.link(root / path, root) if stat.S_ISLNK(seen.st_mode) else ""
    if target or stat.S_ISDIR(seen.st_mode):
        tar.addfile(_entry(path, seen, target or ""))
        return True
    descriptor = _open(root, path) if stat.S_ISREG(seen.st_mode) else None
    if descriptor is None:
        return False
    with os.fdopen(descriptor, "rb") as file:
        tar.addfile(tar.gettarinfo(fileobj=file, arcname=path), file)
    return True


def _entry(path: str, seen: os.stat_result, target: str) -> tarfile.TarInfo:
    """A folder, or the symlink to `target`, as it was seen."""
    made = tarfile.TarInfo(path)
    made.type = tarfile.SYMTYPE if target else tarfile.DIRTYPE
    made.linkname, made.mode, made.mtime = target, stat.S_IMODE(seen.st_mode), seen.st_mtime
    made.uid, made.gid = seen.st_uid, seen.st_gid
    return made


def _open(root: Path, path: str) -> int | None:
    descriptor = untrusted.open_file(root / path, root)
    if descriptor is None:  # the right to read may have been taken away from its owner
        disk.make_readable(root / path, root)
        descriptor = untrusted.open_file(root / path, root)
    return descriptor
