"""Real merges without a checkout, in numbers: one git process for any number of pairs.

A rehearsal keeps every object it makes in a folder of its own that sees the main objects
without being seen, so nothing of it ever lands in the repository.
"""

import contextlib
import os
import re
import tempfile
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha1, sha256
from pathlib import Path

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.git.process import failed, quoted_path, safe_flags, spawn
from runner.adapters.git.repository import Git, Merged
from runner.domain.errors import GitFailed
from runner.domain.frozen import dataclass

TIMEOUT = 300  # seconds
_FILTERS = r"^filter\..*\.(clean|smudge|process|required)$"
_ATTRIBUTES = ".gitattributes"
_NAME = "treedock-rehearsal-"
_ABANDONED = 86400  # seconds; no rehearsal takes a day, so its process was killed
# A merge writes a few small objects, and of 3,000 merges on a disk most of the time was that.
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30  # bytes free, for memory to be used
_WHO = "treedock <treedock@localhost>"  # no one needs an identity to look

Pair = tuple[str, str]


@dataclass(frozen=True)
class Histories:
    """How commits lie to each other. `forks`: a best common ancestor of each pair, both ways
    round; a pair without one is left out. An equal or older commit is its own fork. `crossed`:
    pairs that may have several."""

    forks: Mapping[Pair, str]
    crossed: Collection[Pair]

    def related(self, one: str, other: str) -> bool:
        return (one, other) in self.forks

    def holds(self, newer: str, older: str) -> bool:
        """Whether `older` is in the history of `newer`."""
        return self.forks.get((newer, older)) == older


class Rehearsal:
    """Merges under the attributes of one commit. Made by `rehearsal` and `merge_trees`.

    `folder` is for what is larger. New objects go to `objects`, those of whole files to
    folder/objects; None: to the repository itself.
    """

    def __init__(self, git: Git, folder: Path, base: str, objects: Path | None) -> None:
        self.git = git
        self.folder = folder
        self._objects = objects
        self._large = folder / "objects"
        self._large.mkdir()
        self._time = int(time.time())
        # git honours merge=union and its like only in the files of a work tree.
        self._scratch = folder / "attributes"
        self._scratch.mkdir()
        write_attributes(git, base, self._scratch)

    @cached_property
    def filters(self) -> list[str]:
        """The names of the filters that are configured."""
        arguments = ["-z", "--name-only", "--get-regexp", _FILTERS]
        keys = os.fsdecode(self.run("config", *arguments, codes=(0, 1))).split("\0")
        names = {re.sub(r"^filter\.(.*)\.[^.]*$", r"\1", key, flags=re.S) for key in keys if key}
        return sorted(names)

    def merges(self, pairs: Sequence[Pair]) -> list[Merged]:
        """The merge of each pair of commits, in their order; all of them have to exist. Commits
        without a common ancestor are merged as if it were empty."""
        if not pairs:
            return []
        shape = ["--write-tree", "--stdin", "-z", "--name-only", "--no-messages"]
        asked = "".join(f"{ours} {theirs}\n" for ours, theirs in pairs).encode()
        out = self.run(
            *("merge-tree", *shape, "--allow-unrelated-histories"),
            work_tree=self._scratch,
            stdin=asked,
        )
        fields = iter(out.split(b"\0"))
        return [_merged(fields, pair) for pair in pairs]

    def commit(self, tree: str, parents: Sequence[str]) -> str:
        """The id of a new commit. It is written here, as the loose object that git reads: a
        process for every link of a chain would take as long as its merges. Not in a real one."""
        assert self._objects, "commits of the repository are made by git"
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"{role} {_WHO} {self._time} +0000" for role in ("author", "committer")]
        text = "\n".join([*lines, "", "rehearsed", ""]).encode()
        data = b"commit %d\0%s" % (len(text), text)
        name = (sha256 if len(tree) == 64 else sha1)(data).hexdigest()
        path = self._objects / name[:2] / name[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(data))
        return name

    def histories(self, commits: Sequence[str]) -> Histories:
        """How these commits lie to each other: two processes, however many they are."""
        distinct = list(dict.fromkeys(commits))
        # What all of them hold need not be walked; where nothing is, that is everything.
        oldest = self.run("merge-base", "--octopus", *distinct, codes=(0, 1)).decode().strip()
        known = [f"^{oldest}"] if oldest else []
        out = self.run("rev-list", "--topo-order", "--parents", *distinct, *known).decode()
        return _histories(distinct, out.splitlines(), oldest)

    def changed_files(self, pairs: Iterable[Pair]) -> dict[Pair, dict[str, str]]:
        """The files that differ between an old and a new commit, for each (old, new): path ->
        'A', 'M', 'D' or 'T'."""
        distinct = list(dict.fromkeys(pairs))
        if not distinct:
            return {}
        shape = ["--stdin", "--always", "-r", "-z", "--name-status", "--no-renames"]
        # A commit with another one behind it is shown as if that were its parent.
        asked = "".join(f"{new} {old}\n" for old, new in distinct).encode()
        fields = os.fsdecode(self.run("diff-tree", *shape, stdin=asked)).split("\0")
        found: list[dict[str, str]] = []
        entries = iter(fields[:-1])
        for entry in entries:
            if len(entry) == 1:  # the kind of change, and not the id of the next commit
                found[-1][next(entries)] = entry
            else:
                found.append({})
        return dict(zip(distinct, found, strict=True))

    def run(
        self,
        *arguments: str,
        before: Sequence[str] = (),
        work_tree: Path | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
        large: bool = False,
    ) -> bytes:
        """What git prints, seeing the objects of the rehearsal and writing there. `large`: it
        writes whole files."""
        where = [f"--git-dir={self.git.common_dir}"]
        if work_tree:
            where.append(f"--work-tree={work_tree}")
        own = dict(env or {})
        if self._objects:
            first, second = (self._objects, self._large)[:: -1 if large else 1]
            behind = [second, self.git.common_dir / "objects"]
            own["GIT_OBJECT_DIRECTORY"] = str(first)
            own["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = ":".join(map(quoted_path, behind))
        done = spawn(
            ["git", *safe_flags(), *before, *where, *arguments],
            cwd=work_tree or self.git.common_dir, stdin=stdin, timeout=TIMEOUT, env=own,
        )  # fmt: skip
        if done.returncode not in codes:
            raise failed(done)
        return done.stdout


@contextlib.contextmanager
def rehearsal(git: Git, base: str) -> Iterator[Rehearsal]:
    """A place to merge in, under the attributes of the commit `base`; gone afterwards. Raises
    Refused where a merge driver of the configuration could be steered by a branch."""
    git.require_safe_drivers()
    with _scratch() as folder, _scratch(_fast()) as objects:
        yield Rehearsal(git, folder, base, objects)


def merge_trees(git: Git, ours: str, theirs: str, base: str) -> Merged:
    """The real merge of two commits under the attributes of `base`, its objects in the main
    repository. Raises GitFailed for unrelated histories, and what `rehearsal` does."""
    git.require_safe_drivers()
    if git.fork_point(ours, theirs) is None:
        raise GitFailed(f"{ours[:10]} and {theirs[:10]} have no common ancestor.")
    with _scratch() as folder:
        place = Rehearsal(git, folder, base, None)
        (merged,) = place.merges([(ours, theirs)])
        step("git merge-tree")
        return merged


@contextlib.contextmanager
def _scratch(where: Path | None = None) -> Iterator[Path]:
    """A new folder, gone afterwards; those that someone left behind go as well."""
    folder = Path(tempfile.mkdtemp(prefix=_NAME, dir=where))
    for left in folder.parent.glob(f"{_NAME}*"):
        with contextlib.suppress(FileNotFoundError):
            found = left.lstat()
            if found.st_uid == os.getuid() and time.time() - found.st_mtime > _ABANDONED:
                disk.remove_tree(left)
    try:
        yield folder
    finally:
        disk.remove_tree(folder)


def _fast() -> Path | None:
    """A folder in memory with room enough, or None for the usual place."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if usable and disk.free_bytes(_MEMORY) > _ROOM else None


def _merged(fields: Iterator[bytes], pair: Pair) -> Merged:
    """One answer of merge-tree: '1' for clean, the tree, the conflicting files, and nothing."""
    clean = next(fields) == b"1"
    tree = next(fields).decode()
    files = []
    for field in iter(lambda: next(fields), b""):
        name = os.fsdecode(field)
        # A file in the way of a folder is put beside it, under the name of its commit.
        for commit in pair:
            name = name.removesuffix(f"~{commit}")
        files.append(name)
    return Merged(tree if clean else None, tuple(dict.fromkeys(files)))


def _histories(commits: Sequence[str], walked: Sequence[str], oldest: str) -> Histories:
    """`walked`: 'commit parent...', children first, without what `oldest` holds."""
    bits = {commit: 1 << at for at, commit in enumerate(commits)}
    reached: dict[str, int] = dict(bits)
    first: dict[int, str] = {}  # by the set of those that reach it: the newest such commit
    joined: set[int] = set()  # who reaches a merge
    for line in walked:
        commit, *parents = line.split(" ")
        by = reached.pop(commit, 0)
        first.setdefault(by, commit)
        if len(parents) > 1:
            joined.add(by)
        for parent in parents:
            reached[parent] = reached.get(parent, 0) | by
    forks, crossed = {}, set()
    order = list(first.items())
    for one in commits:
        for other in commits:
            both = bits[one] | bits[other]
            fork = next((commit for by, commit in order if by & both == both), oldest)
            if fork:
                forks[one, other] = fork
            # With one way only from one of the two to what both hold, there is one fork.
            if all(any(by & both == bits[end] for by in joined) for end in (one, other)):
                crossed.add((one, other))
    return Histories(forks, crossed)


def write_attributes(git: Git, commit: str, folder: Path) -> None:
    """Write every .gitattributes of a commit below `folder`."""
    if _ATTRIBUTES.encode() not in git.listing(commit):
        return
    found = {
        path: blob
        for mode, blob, path in git.files_of(commit)
        if path.rpartition("/")[2] == _ATTRIBUTES and mode.startswith("100")
    }
    contents = git.contents(found.values())
    for path, blob in found.items():
        disk.write_below(folder, path, contents[blob])
