"""Objects from an instance on their way into the main repository.

A pack from inside is a stranger's. It is indexed with full checks in a folder of its own, which
sees the main objects without being seen, and moves in when nothing about it is wrong. (`git
fetch` of a bundle would not check: it ignores transfer.fsckObjects before git 2.46.)
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from runner.adapters import disk
from runner.adapters.git import Git
from runner.adapters.steps import step
from runner.domain.errors import GitFailed, Refused

CPU_SECONDS = 600  # for index-pack; a pack of 2 MB that unpacks to 600 MB took 23
MEMORY_ABOVE = 2**30  # bytes of memory that index-pack may need beside the largest object
KEPT = 3  # refused packs per instance


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
    """Remove quarantines of before, of who was killed. The caller holds the instance's lock."""
    for left in folder.iterdir() if folder.is_dir() else ():
        disk.remove_tree(left)


def examine(git: Git, arrived: Incoming, wanted: list[str], known: list[str], limit: int) -> None:
    """Check a pack and that it makes `wanted` whole, `known` being here already.

    `limit`: bytes, packed and unpacked. Raises Refused, naming what is wrong with it.
    """
    if arrived.pack.stat().st_size > limit:
        raise too_large(limit)
    step("bring a pack out")
    with arrived.pack.open("rb") as file:
        done = git.run_limited(
            "index-pack", "--stdin", "--fix-thin", "--strict", "--fsck-objects",
            f"--max-input-size={limit}",
            objects=arrived.objects, stdin=file, memory=limit + MEMORY_ABOVE, cpu=CPU_SECONDS,
        )  # fmt: skip
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise Refused(
            f"git found something wrong with the objects from inside: {said[-500:]}",
            hint="They were not taken over. Look inside with: git fsck",
        )
    if _unpacked(git, arrived) > limit:
        raise too_large(limit)
    _require_whole(git, arrived, wanted, known)
    _require_no_gitlinks(git, arrived, wanted, known)


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


def _unpacked(git: Git, arrived: Incoming) -> int:
    """Bytes of all objects of the pack when unpacked."""
    done = git.run_limited(
        "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectsize)",
        objects=arrived.objects, alone=True,
    )  # fmt: skip
    if done.returncode:
        raise GitFailed(f"git cat-file failed: {done.stderr.decode(errors='replace').strip()}")
    return sum(int(size) for size in done.stdout.split())


def _require_whole(git: Git, arrived: Incoming, wanted: list[str], known: list[str]) -> None:
    done = git.run_limited(
        "rev-list", "--objects", "--quiet", *wanted, "--not", *known, objects=arrived.objects
    )
    if done.returncode:
        raise Refused(
            "The commits from inside are not whole: objects of them are missing.",
            hint="Look inside with: git fsck",
        )


def _require_no_gitlinks(git: Git, arrived: Incoming, wanted: list[str], known: list[str]) -> None:
    """A gitlink over a planted folder runs code in a plain `git status` on this machine, and no
    configuration keeps it from that."""
    commits = git.run_limited("rev-list", *wanted, "--not", *known, objects=arrived.objects)
    done = git.run_limited(
        "diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--no-renames",
        "--no-commit-id", objects=arrived.objects, stdin=commits.stdout,
    )  # fmt: skip
    if commits.returncode or done.returncode:
        raise GitFailed("git could not list what the commits from inside change.")
    fields = done.stdout.split(b"\0")
    for entry, path in pairwise(fields):
        if entry.startswith(b":") and entry.split(b" ")[1:2] == [b"160000"]:
            raise Refused(
                f"A commit from inside makes {path.decode(errors='replace')!r} a submodule: git "
                "would run what is planted there on this machine.",
                hint="Rewrite that commit inside without the submodule (git rebase -i).",
            )


def too_large(limit: int) -> Refused:
    """The refusal of more than `limit` bytes."""
    return Refused(
        f"What was committed inside is larger than limits.bundle, {limit / 2**20:.0f} MiB.",
        hint="Take large files out of the commits (git rebase -i), or raise limits.bundle.",
    )
