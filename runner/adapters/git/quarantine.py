"""Objects from an instance on their way into the main repository.

A pack from inside is a stranger's. It is indexed with full checks in a folder of its own, which
sees the main objects without being seen, and moves in when nothing about it is wrong. (`git
fetch` of a bundle would not check: it ignores transfer.fsckObjects before git 2.46.)
"""

import contextlib
import mmap
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.git.process import Bounds
from runner.adapters.git.repository import Git
from runner.domain.errors import GitFailed, Refused
from runner.domain.frozen import dataclass
from runner.domain.text import with_words

# Linux takes 4,096 bytes for a path and 255 for a part of one; the worktree's own is before it.
_LONG = re.compile(rb"\0(?:[^\0]{3500}|[^\0]*[^\0/]{256})")
CPU_SECONDS = 600  # for index-pack; a pack of 2 MB that unpacks to 600 MB took 23
MEMORY_ABOVE = 2**30  # bytes of memory that index-pack may need beside the largest object
FILE_ABOVE = 2**28  # bytes that a file may have beyond twice limits.bundle
LISTED = 2**28  # bytes of `diff-tree --raw` of what one sync brings: about two million changes
KEPT = 3  # refused packs per instance

# An entry of `diff-tree --raw -z` whose new mode is that of a submodule, with its path.
_GITLINK = re.compile(rb":\d{6} 160000 [0-9a-f]+ [0-9a-f]+ [A-Z]\d*\0([^\0]*)")


@dataclass(frozen=True)
class Incoming:
    """A pack that was brought out, and the folder that it is examined in."""

    folder: Path
    pack: Path

    @property
    def objects(self) -> Path:
        return self.folder / "objects"


@contextlib.contextmanager
def incoming(folder: Path) -> Iterator[Incoming]:
    """A quarantine in `folder`, on the file system of the repository; gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder))
    step("make the quarantine")
    try:
        (made / "objects/pack").mkdir(parents=True)
        yield Incoming(made, made / "incoming.pack")
    finally:
        shutil.rmtree(made, ignore_errors=True)


def clear(folder: Path) -> None:
    """Remove quarantines from before, of who was killed. The caller holds the instance's lock."""
    for left in folder.iterdir() if folder.is_dir() else ():
        disk.remove_tree(left)


def examine(git: Git, arrived: Incoming, limit: int) -> None:
    """Check a pack by itself. `limit`: bytes, packed and unpacked. Raises Refused, naming what is
    wrong with it."""
    if arrived.pack.stat().st_size > limit:
        raise too_large(limit)
    step("bring a pack out")
    with arrived.pack.open("rb") as file:
        done = git.run_limited(
            "index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects", "--threads=2",
            f"--max-input-size={limit}",
            objects=arrived.objects, bounds=bounds_of(limit), stdin=file,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Refused(
            with_words("git found something wrong with the objects from inside", said),
            hint="They were not taken over. Look inside with: git fsck",
        )
    if _unpacked(git, arrived, limit) > limit:
        raise too_large(limit)


def require_sound(
    git: Git, wanted: list[str], known: list[str], limit: int, arrived: Incoming | None = None
) -> None:
    """Check that nothing of `wanted` is missing, `known` being whole, and that no commit of it
    makes a submodule. Objects that are here already are not thereby reachable, nor harmless.

    Raises Refused.
    """
    _require_whole(git, arrived, wanted, known, limit)
    _require_no_gitlinks(git, arrived, wanted, known, limit)


def accept(git: Git, arrived: Incoming) -> None:
    """Move what was examined among the main objects: the index last, as git itself does."""
    for ending in (".pack", ".rev", ".idx"):
        for path in (arrived.objects / "pack").glob(f"*{ending}"):
            target = git.common_dir / "objects/pack" / path.name
            if not target.exists():
                path.rename(target)
                step(f"take over {ending}")


def keep_aside(arrived: Incoming, folder: Path, name: str) -> Path:
    """Keep a refused pack in `folder`, among the last few. Returns where it is."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / f"{name}.pack"
    arrived.pack.rename(kept)
    step("keep a refused pack")
    for old in sorted(folder.glob("*.pack"))[:-KEPT]:
        old.unlink(missing_ok=True)
    return kept


def _unpacked(git: Git, arrived: Incoming, limit: int) -> int:
    """Bytes of all objects of the pack when unpacked."""
    with tempfile.TemporaryFile(dir=arrived.folder) as sizes:
        done = git.run_limited(
            "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectsize)",
            objects=arrived.objects, bounds=bounds_of(limit), alone=True, stdout=sizes,
        )  # fmt: skip
        if done.returncode:
            raise GitFailed(f"git cat-file failed: {done.stderr.decode(errors='replace').strip()}")
        sizes.seek(0)
        return sum(map(int, sizes))


def _require_whole(
    git: Git, arrived: Incoming | None, wanted: list[str], known: list[str], limit: int
) -> None:
    done = git.run_limited(
        "rev-list", "--objects", "--quiet", *wanted, "--not", *known,
        objects=arrived.objects if arrived else None, bounds=bounds_of(limit),
    )  # fmt: skip
    if done.returncode:
        raise Refused(
            "The commits from inside are not whole: objects of them are missing.",
            hint="Look inside with: git fsck",
        )


def _require_no_gitlinks(
    git: Git, arrived: Incoming | None, wanted: list[str], known: list[str], limit: int
) -> None:
    """A gitlink over a planted folder runs code in a plain `git status` on this machine, and no
    configuration keeps it from that.

    A few trees that contain each other many times name more files than fit on any disk: hence
    the bounds of what is listed.
    """
    objects, folder = (arrived.objects, arrived.folder) if arrived else (None, None)
    bounds = bounds_of(limit)
    with (
        tempfile.TemporaryFile(dir=folder) as commits,
        tempfile.TemporaryFile(dir=folder) as changes,
    ):
        listed = git.run_limited(
            "rev-list", *wanted, "--not", *known, objects=objects, bounds=bounds, stdout=commits
        )
        commits.seek(0)
        done = git.run_limited(
            "diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--no-renames",
            "--no-commit-id", "--ignore-submodules=none",
            objects=objects, stdin=commits, stdout=changes,
            bounds=replace(bounds, memory=MEMORY_ABOVE, file=LISTED),
        )  # fmt: skip
        if listed.returncode or done.returncode:
            raise Refused(
                "git could not list what the commits from inside change: too much, or damaged.",
                hint="Commit it in smaller parts, with a sync between them.",
            )
        content = _content(changes)
        found, long = _GITLINK.search(content), _LONG.search(content)
    if long:
        raise Refused(
            "A commit from inside has a path that is too long to be written to a disk.",
            hint="Rewrite that commit inside without it (git rebase -i).",
        )
    if found:
        raise Refused(
            f"A commit from inside makes {found[1].decode(errors='replace')!r} a submodule: git "
            "would run what is planted there on this machine.",
            hint="Rewrite that commit inside without the submodule (git rebase -i).",
        )


def _content(file: BinaryIO) -> mmap.mmap | bytes:
    empty = os.fstat(file.fileno()).st_size == 0
    return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def bounds_of(limit: int) -> Bounds:
    """What git may use on a pack of so many bytes; it adds to a pack what that leans on."""
    return Bounds(memory=limit + MEMORY_ABOVE, cpu=CPU_SECONDS, file=2 * limit + FILE_ABOVE)


def too_large(limit: int) -> Refused:
    """The refusal of more than `limit` bytes."""
    return Refused(
        f"What was committed inside is larger than limits.bundle, {limit / 2**20:.0f} MiB.",
        hint="Take large files out of the commits (git rebase -i), or raise limits.bundle.",
    )
