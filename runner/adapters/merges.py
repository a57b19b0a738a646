"""Real merges without a checkout, in numbers: one git process for any number of pairs.

A rehearsal keeps every object it makes in a folder of its own that sees the main objects
without being seen, so nothing of it ever lands in the repository.
"""

import contextlib
import itertools
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.adapters import disk
from runner.adapters.git import Git, Merged, _failed, _flags, _quoted_path, _spawn
from runner.adapters.steps import step

TIMEOUT = 300  # seconds
_ATTRIBUTES = ".gitattributes"
_WHO = "treedock <treedock@localhost>"  # nobody needs an identity to look

Pair = tuple[str, str]


@dataclass(frozen=True)
class Histories:
    """How commits lie to each other. `forks`: a best common ancestor of each pair, both ways
    round; a pair without one is left out. An equal or older commit is its own fork."""

    forks: Mapping[Pair, str]

    def related(self, one: str, other: str) -> bool:
        return (one, other) in self.forks

    def holds(self, newer: str, older: str) -> bool:
        """Whether `older` is in the history of `newer`."""
        return self.forks.get((newer, older)) == older


class Rehearsal:
    """Merges under the attributes of one commit. Made by `rehearsal` and `merge_trees`.

    `objects` is where new objects go, None for the repository itself.
    """

    def __init__(self, git: Git, folder: Path, base: str, objects: Path | None) -> None:
        self.git = git
        self.folder = folder
        self._objects = objects
        self._time = int(time.time())
        self._numbers = itertools.count()
        # git honours merge=union and its like only in the files of a work tree.
        self._scratch = folder / "attributes"
        self._scratch.mkdir()
        _write_attributes(git, base, self._scratch)

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

    def commits(self, made: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
        """The ids of new commits with these trees and parents: one process for all, where
        commit-tree takes one for each."""
        paths = []
        for tree, parents in made:
            lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
            lines += [f"{role} {_WHO} {self._time} +0000" for role in ("author", "committer")]
            path = self.folder / f"commit-{next(self._numbers)}"
            path.write_text("\n".join([*lines, "", "rehearsed", ""]))
            paths.append(path)
        asked = b"".join(os.fsencode(path) + b"\n" for path in paths)
        shape = ["-t", "commit", "-w", "--no-filters", "--stdin-paths"]
        return self.run("hash-object", *shape, stdin=asked).decode().split() if made else []

    def histories(self, commits: Sequence[str]) -> Histories:
        """How these commits lie to each other: two processes, however many they are."""
        distinct = list(dict.fromkeys(commits))
        # What all of them hold need not be walked; where nothing is, that is everything.
        oldest = self.run("merge-base", "--octopus", *distinct, codes=(0, 1)).decode().strip()
        known = [f"^{oldest}"] if oldest else []
        out = self.run("rev-list", "--topo-order", "--parents", *distinct, *known).decode()
        return Histories(_forks(distinct, out.splitlines(), oldest))

    def changed_files(self, pairs: Sequence[Pair]) -> list[set[str]]:
        """The files that differ between an old and a new commit, for each (old, new)."""
        distinct = list(dict.fromkeys(pairs))
        if not distinct:
            return []
        shape = ["--stdin", "--always", "-r", "-z", "--name-status", "--no-renames"]
        # A commit with another one behind it is shown as if that were its parent.
        asked = "".join(f"{new} {old}\n" for old, new in distinct).encode()
        fields = os.fsdecode(self.run("diff-tree", *shape, stdin=asked)).split("\0")
        found: list[set[str]] = []
        entries = iter(fields[:-1])
        for entry in entries:
            if len(entry) == 1:  # the kind of change, and not the id of the next commit
                found[-1].add(next(entries))
            else:
                found.append(set())
        by_pair = dict(zip(distinct, found, strict=True))
        return [by_pair[pair] for pair in pairs]

    def run(
        self,
        *arguments: str,
        before: Sequence[str] = (),
        work_tree: Path | None = None,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        codes: Sequence[int] = (0,),
    ) -> bytes:
        """What git prints, seeing the objects of the rehearsal and writing there."""
        where = [f"--git-dir={self.git.common_dir}"]
        if work_tree:
            where.append(f"--work-tree={work_tree}")
        own = dict(env or {})
        if self._objects:
            behind = _quoted_path(self.git.common_dir / "objects")
            own["GIT_OBJECT_DIRECTORY"] = str(self._objects)
            own["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = behind
        done = _spawn(
            ["git", *_flags(), *before, *where, *arguments],
            cwd=work_tree or self.git.common_dir, stdin=stdin, timeout=TIMEOUT, env=own,
        )  # fmt: skip
        if done.returncode not in codes:
            raise _failed(done)
        return done.stdout


@contextlib.contextmanager
def rehearsal(git: Git, base: str) -> Iterator[Rehearsal]:
    """A place to merge in, under the attributes of the commit `base`; gone afterwards. Raises
    Refused where a merge driver of the configuration could be steered by a branch."""
    git.require_safe_drivers()
    with _scratch() as folder:
        objects = folder / "objects"
        objects.mkdir()
        yield Rehearsal(git, folder, base, objects)


def merge_trees(git: Git, ours: str, theirs: str) -> Merged:
    """The real merge of two commits under the attributes of `ours`, its objects in the main
    repository. Raises GitFailed for unrelated histories, and what `rehearsal` does."""
    git.require_safe_drivers()
    with _scratch() as folder:
        place = Rehearsal(git, folder, ours, None)
        place.run("merge-base", ours, theirs)
        (merged,) = place.merges([(ours, theirs)])
        step("git merge-tree")
        return merged


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="treedock-"))
    try:
        yield folder
    finally:
        disk.remove_tree(folder)


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


def _forks(commits: Sequence[str], walked: Sequence[str], oldest: str) -> dict[Pair, str]:
    """`walked`: 'commit parent...', children first, without what `oldest` holds."""
    bits = {commit: 1 << at for at, commit in enumerate(commits)}
    reached: dict[str, int] = dict(bits)
    first: dict[int, str] = {}  # by the set of those that reach it: the newest such commit
    for line in walked:
        commit, *parents = line.split(" ")
        by = reached.pop(commit, 0)
        first.setdefault(by, commit)
        for parent in parents:
            reached[parent] = reached.get(parent, 0) | by
    forks = {}
    order = list(first.items())
    for one in commits:
        for other in commits:
            both = bits[one] | bits[other]
            fork = next((commit for by, commit in order if by & both == both), oldest)
            if fork:
                forks[one, other] = fork
    return forks


def _write_attributes(git: Git, commit: str, folder: Path) -> None:
    """Write every .gitattributes of a commit below `folder`."""
    listed = git._run("ls-tree", "-r", "-z", "--full-tree", commit).stdout
    found = {}
    for entry in os.fsdecode(listed).split("\0"):
        facts, _, path = entry.partition("\t")
        if path.rpartition("/")[2] == _ATTRIBUTES and facts.startswith("100"):
            found[path] = facts.split(" ")[2]
    for path, blob in found.items():
        disk.write_below(folder, path, git._run("cat-file", "blob", blob).stdout)
