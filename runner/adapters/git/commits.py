"""What commits hold and how they lie to each other. Of ids this never changes, so each question is
asked once."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from runner.adapters.git.process import failed
from runner.adapters.git.worktrees import Worktrees
from runner.domain.errors import GitFailed, Refused
from runner.domain.text import with_words

_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_GITLINK = b"160000 commit "
LISTINGS = 4  # commits whose files are kept; a list of 50,000 has 5 MB


class Commits(Worktrees):
    """The commits of a repository. Methods raise GitFailed unless said."""

    def __init__(self, common_dir: Path, checkout: Path | None = None) -> None:
        super().__init__(common_dir, checkout)
        self._forks: dict[tuple[str, str], str | None] = {}
        self._listings: dict[str, bytes] = {}
        self._changed: dict[tuple[str, str], dict[str, str]] = {}
        self._meant: dict[str, str | None] = {}
        self._unheld: dict[tuple[frozenset[str], frozenset[str]], list[str]] = {}

    def commit(self, name: str) -> str | None:
        """The id of the commit that `name` means, or None."""
        arguments = ["--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        done = self.run("rev-parse", *arguments, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def commits_meant(self, ids: Iterable[str]) -> dict[str, str | None]:
        """The commit that each of these objects is or, for a tag, means; None for a tree or a
        blob."""
        wanted = set(ids)
        unknown = sorted(wanted - self._meant.keys())
        if unknown:
            asked = "".join(f"{one}\n" for one in unknown).encode()
            shape = "--batch-check=%(objectname) %(objecttype)"
            out = self.run("cat-file", shape, stdin=asked).stdout.decode()
            for id_, _, kind in (line.partition(" ") for line in out.splitlines()):
                if kind == "missing":
                    raise GitFailed(f"The object {id_} is missing.")
                self._meant[id_] = self.commit(id_) if kind == "tag" else None
                if kind == "commit":
                    self._meant[id_] = id_
        return {id_: self._meant[id_] for id_ in wanted}

    def fork_point(self, one: str, other: str) -> str | None:
        """The merge base of two commits, or None where their histories are unrelated."""
        pair = (min(one, other), max(one, other))
        if pair in self._forks:
            return self._forks[pair]
        done = self.run("merge-base", one, other, check=False)
        if done.returncode not in (0, 1):
            raise failed(done)
        found = done.stdout.decode().strip() or None
        if _ID.fullmatch(one) and _ID.fullmatch(other):
            self._forks[pair] = found
        return found

    def is_ancestor(self, older: str, newer: str) -> bool:
        if _ID.fullmatch(older) and _ID.fullmatch(newer):
            return self.fork_point(older, newer) == older
        done = self.run("merge-base", "--is-ancestor", older, newer, check=False)
        if done.returncode not in (0, 1):
            raise failed(done)
        return done.returncode == 0

    def unheld(self, commits: Iterable[str], held: Iterable[str]) -> list[str]:
        """What is reachable from `commits`, and from none of the ids `held`."""
        key = frozenset(commits), frozenset(held)
        if not key[0]:
            return []
        if key not in self._unheld:
            lines = [*sorted(key[0]), *(f"^{id_}" for id_ in sorted(key[1]))]
            asked = "".join(f"{line}\n" for line in lines).encode()
            self._unheld[key] = self.run("rev-list", "--stdin", stdin=asked).stdout.decode().split()
        return self._unheld[key]

    def changed_between(self, old: str, new: str) -> dict[str, str]:
        """Path -> 'A', 'M', 'D' or 'T' for every file that differs between two commits, by their
        ids."""
        if (old, new) not in self._changed:
            arguments = ["-r", "--name-status", "-z", "--no-renames", "--no-commit-id"]
            fields = os.fsdecode(self.run("diff-tree", *arguments, old, new).stdout).split("\0")
            self._changed[old, new] = dict(zip(fields[1::2], fields[::2], strict=False))
        return self._changed[old, new]

    def listing(self, commit: str) -> bytes:
        """What `ls-tree -r -z` prints of a commit: an entry for each file, each with a \\0."""
        if commit in self._listings:
            return self._listings[commit]
        found = self.run("ls-tree", "-r", "-z", "--full-tree", commit).stdout
        if _ID.fullmatch(commit):
            kept = [*self._listings.items(), (commit, found)]
            self._listings = dict(kept[-LISTINGS:])
        return found

    def files_of(self, commit: str) -> Iterator[tuple[str, str, str]]:
        """(mode, id, path) of all files of a commit."""
        for entry in os.fsdecode(self.listing(commit)).split("\0")[:-1]:
            facts, _, path = entry.partition("\t")
            mode, _, id_ = facts.split(" ")
            yield mode, id_, path

    def names(self, commit: str) -> list[str]:
        """The paths of all files of a commit."""
        return [path for _, _, path in self.files_of(commit)]

    def has_gitlinks(self, commit: str) -> bool:
        """Whether a commit has submodules."""
        found = self.listing(commit)
        return found.startswith(_GITLINK) or b"\0" + _GITLINK in found

    def blob(self, commit: str, path: str) -> bytes | None:
        """The content of a file of a commit, or None where there is none."""
        if not self._may_have(commit, path):
            return None
        done = self.run("cat-file", "blob", f"{commit}:{path}", check=False)
        return done.stdout if done.returncode == 0 else None

    def contents(self, blobs: Iterable[str]) -> dict[str, bytes]:
        """What these blobs hold, by their ids: one process, however many they are."""
        wanted = list(dict.fromkeys(blobs))
        if not wanted:
            return {}
        asked = "".join(f"{blob}\n" for blob in wanted).encode()
        out = self.run("cat-file", "--batch", stdin=asked).stdout
        found, at = {}, 0
        for blob in wanted:  # '<id> blob <size>', the content, and the end of a line
            end = out.index(b"\n", at)
            size = out[at:end].split(b" ")[-1]
            if not size.isdigit():
                raise GitFailed(f"The object {blob} is missing.")
            at = end + 1 + int(size) + 1
            found[blob] = out[end + 1 : at - 1]
        return found

    def object_id(self, commit: str, path: str) -> str | None:
        """The id of a file of a commit, or None where there is none."""
        done = self.run("rev-parse", "--verify", "--quiet", f"{commit}:{path}", check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def _may_have(self, commit: str, path: str) -> bool:
        """Whether a commit whose files were listed has one; of any other nothing is known."""
        listing = self._listings.get(commit)
        return listing is None or b"\t%s\0" % os.fsencode(path) in listing

    def commit_tree(self, tree: str, parents: list[str], message: str) -> str:
        """The id of a new commit. Raises Refused where git knows no author."""
        given = [part for parent in parents for part in ("-p", parent)]
        done = self.run(
            "commit-tree", tree, *given, stdin=message.encode(errors="replace"), check=False
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise Refused(
                with_words("git could not make a commit", said),
                hint='Tell git who you are: git config --global user.name "...", user.email "..."',
            )
        made = done.stdout.decode().strip()
        self._forks |= {(min(made, one), max(made, one)): one for one in parents}
        return made
