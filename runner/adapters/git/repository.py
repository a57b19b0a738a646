"""A repository: its commits, branches, refs and remotes."""

import os
import subprocess
from pathlib import Path
from typing import BinaryIO

from runner.adapters.files import untrusted
from runner.adapters.git.commits import Commits
from runner.adapters.git.process import TIMEOUT, environment, failed, safe_flags, spawn
from runner.domain.errors import GitFailed, NotFound
from runner.domain.frozen import dataclass

LFS_CONFIG = ".lfsconfig"


@dataclass(frozen=True)
class Merged:
    """A merge: its tree, or None and the files in conflict."""

    tree: str | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """Where a folder lies: the top of its checkout (None in a bare one) and the git directory."""

    checkout: Path | None
    common_dir: Path


def locate(folder: Path) -> Place | None:
    """The repository that `folder` lies in, or None."""
    arguments = ["--path-format=absolute", "--git-common-dir", "--show-toplevel"]
    done = spawn(["git", *safe_flags(), "rev-parse", *arguments], cwd=folder)
    # In a bare repository the first line comes out before git finds that there is no second.
    lines = os.fsdecode(done.stdout).splitlines()
    if not lines or (done.returncode and len(lines) > 1):
        return None
    top = None if done.returncode else Path(lines[1])
    return Place(checkout=top, common_dir=Path(lines[0]).resolve())


def common_dir_of(checkout: Path) -> Path | None:
    """The git common directory that the .git of a folder leads to, looked up without git; None
    where there is none (any more)."""
    found = checkout / ".git"
    try:
        if not found.is_dir():
            text = os.fsdecode(untrusted.read(found, 4096) or b"")
            if not text.startswith("gitdir: "):
                return None
            found = checkout / text.removeprefix("gitdir: ").removesuffix("\n")
            if found.parent.name == "worktrees":
                found = found.parent.parent
        return found.resolve() if (found / "HEAD").exists() else None
    except PermissionError:
        return found  # there, and another user's


def create(folder: Path, message: str) -> None:
    """Make `folder` a repository with one commit of all its files on main. Raises GitFailed.

    Nothing of the user's own configuration takes part: no template, no ignore file, no signature.
    """
    own = {
        "user.name": "treedock",
        "user.email": "treedock@localhost",
        "commit.gpgSign": "false",
        "core.excludesFile": "/dev/null",
        "core.autocrlf": "false",
    }
    settings = [part for key, value in own.items() for part in ("-c", f"{key}={value}")]
    for arguments in (
        ["init", "--quiet", "--template=", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", message],
    ):
        done = spawn(["git", *safe_flags(), *settings, *arguments], cwd=folder)
        if done.returncode:
            raise failed(done)


class Git(Commits):
    """The repository with this common git directory. Methods raise GitFailed unless said."""

    def branch(self, name: str) -> str | None:
        """The commit at the head of a local branch, or None where there is no such branch."""
        return self.ref(f"refs/heads/{name}")

    def remotes(self) -> list[str]:
        """The names of all remotes."""
        return self._remotes[0]

    def remote_of(self, branch: str) -> str | None:
        """The remote of a branch: branch.<name>.remote, else origin, else the only one."""
        known, of_branch = self._remotes
        named = of_branch.get(branch)
        if named in known:  # '.' is this repository itself
            return named
        if "origin" in known or len(known) == 1:
            return "origin" if "origin" in known else known[0]
        return None

    def tracking(self, branch: str) -> str:
        """Where a branch stood at its remote when that was asked last: 'upstream/main'."""
        return f"{self.remote_of(branch) or 'origin'}/{branch}"

    @property
    def _remotes(self) -> tuple[list[str], dict[str, str]]:
        """(the remotes, the one of each branch that has one of its own)."""
        known: list[str] = []
        of_branch: dict[str, str] = {}
        for key, value in self.configuration():
            kind, _, name = key.partition(".")
            if kind == "remote" and name.endswith(".url"):
                known.append(name.removesuffix(".url"))
            if kind == "branch" and name.endswith(".remote"):
                of_branch[name.removesuffix(".remote")] = value
        return list(dict.fromkeys(known)), of_branch

    def heads(self, branch: str) -> tuple[str | None, str | None]:
        """The commits at the heads of a branch here and at its remote, as far as they are known."""
        names = [f"refs/heads/{branch}", f"refs/remotes/{self.tracking(branch)}"]
        found = self.refs(*names)
        return found.get(names[0]), found.get(names[1])

    def branches(self) -> tuple[list[str], str | None]:
        """The local branches, and the branch that origin/HEAD means, if it means one; that of
        the only remote where there is no origin."""
        remote = f"refs/remotes/{self.tracking('HEAD')}"
        default = (self.ref_behind(remote) or "").removeprefix(remote.removesuffix("HEAD"))
        local = [name.removeprefix("refs/heads/") for name in self.refs("refs/heads")]
        return local, default or None

    def ahead_behind(self, branch: str, base: str) -> tuple[int, int]:
        """How many commits `branch` has that `base` lacks, and the other way round."""
        behind, ahead = self.output(
            "rev-list", "--left-right", "--count", "--end-of-options", f"{base}...{branch}"
        ).split()
        return int(ahead), int(behind)

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return self.output("log", "-1", "--format=%s", commit).strip()

    def is_integrated(self, branch: str, base: str) -> bool:
        """Whether `base` holds the branch's changes already, be it by a squash merge.

        True when merging would change nothing, or when one commit of base has the patch-id of
        the whole branch.
        """
        if self.is_ancestor(branch, base):
            return True
        self.require_safe_drivers()
        merged = self.run("merge-tree", "--write-tree", base, branch, check=False)
        if merged.returncode == 0 and merged.stdout.decode().strip() == self._tree(base):
            return True
        fork = self.fork_point(base, branch)
        if not fork:
            return False
        whole = self._patch_ids("diff-tree", fork, branch)
        return bool(whole) and whole <= self._patch_ids("log", "--no-merges", f"{fork}..{base}")

    def _patch_ids(self, *arguments: str) -> set[str]:
        """The ids of the patches that a command prints; white space counts, as it does in code."""
        shape = ["-p", "--full-index", "--binary", "--no-ext-diff", "--no-textconv"]
        command, *rest = arguments
        patches = self.run(command, *shape, *rest).stdout
        out = self.run("patch-id", "--verbatim", stdin=patches).stdout.decode()
        return {line.split(" ")[0] for line in out.splitlines()}

    def archive(self, commit: str, folder: str, target: BinaryIO) -> None:
        """Write the tar of a committed folder ('.' for all) to `target`, its top stripped."""
        tree = commit if folder in (".", "") else f"{commit}:{folder.rstrip('/')}"
        if self.run("rev-parse", "--verify", "--quiet", tree, check=False).returncode:
            raise NotFound(f"The commit {commit[:12]} has no folder {folder}.")
        done = subprocess.run(
            ["git", *safe_flags(), f"--git-dir={self.common_dir}", "archive", "--format=tar", tree],
            cwd=self.common_dir, env=environment(), stdin=subprocess.DEVNULL, stdout=target,
            stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise failed(done)

    def is_on_main_line(self, commit: str, head: str) -> bool:
        """Whether a commit that `head` holds is one of its first parents: it did not come in by
        a merge commit."""
        out = self.output("rev-list", "--first-parent", "--parents", head, f"^{commit}")
        lines = out.splitlines()
        return not lines or lines[-1].split(" ")[1:2] == [commit]

    def rebased(self) -> set[str]:
        """The branches that someone is rebasing in any worktree: git shows these as detached."""
        places = [self.common_dir, *self._linked.glob("*")]
        files = [place / name / "head-name" for place in places
                 for name in ("rebase-merge", "rebase-apply")]  # fmt: skip
        found = {file.read_text().strip() for file in files if file.exists()}
        return {name.removeprefix("refs/heads/") for name in found}

    def missing(self, ids: list[str]) -> list[str]:
        """Which of these objects are not here."""
        asked = "".join(f"{one}\n" for one in ids).encode()
        out = self.run("cat-file", "--batch-check=%(objectname)", stdin=asked).stdout.decode()
        answers = (line.partition(" ") for line in out.split("\n") if line)
        return [one for one, _, what in answers if what == "missing"]

    def count(self, commit: str, *, without: list[str]) -> int | None:
        """How many commits are reachable from `commit` and from none of `without`; None for
        what is no commit."""
        arguments = ["--count", commit, "--not", *without]
        done = self.run("rev-list", *arguments, check=False)
        return int(done.stdout) if done.returncode == 0 else None

    def fetch(self, branch: str, timeout: float) -> None:
        """Bring what is known of a branch at its remote up to date. GitFailed after `timeout`
        seconds, and where it has no remote."""
        remote = self.remote_of(branch)
        if remote is None:
            raise GitFailed(f"The branch {branch} has no remote.")
        refspec = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
        alone = ["--quiet", "--no-tags", "--no-recurse-submodules"]
        self.ask("fetch", *alone, "--", remote, refspec, timeout=timeout)

    def is_lfs_of(self, worktree: Path, base: str | None) -> bool:
        """Whether the addresses that git-lfs finds in a worktree's .lfsconfig are those of the
        commit `base`: else a branch decides where this machine sends requests, and as who."""
        if not any(key.startswith("filter.lfs.") for key in self.settings(worktree)):
            return True  # nothing is downloaded without it
        head, name = self.head_of(worktree), LFS_CONFIG
        there = os.path.lexists(worktree / name)
        if not there:
            self.listing(head)  # what looks for submodules needs it next, and blob() then knows
        found = untrusted.read(worktree / name) if there else self.blob(head, name)
        if found is None:
            return not there
        if base is None:
            return False
        landed = found == self.blob(head, name) and self.is_ancestor(head, base)
        return landed or found == self.blob(base, name)

    def delete_branch(self, branch: str, commit: str) -> None:
        """Delete a local branch if it still is at `commit`. Repository lock."""
        self.run("update-ref", "-d", f"refs/heads/{branch}", commit)
        self.forget_branch(branch)

    def forget_branch(self, branch: str) -> None:
        """Remove the settings of a branch, if it has any."""
        if any(key.startswith(f"branch.{branch}.") for key, _ in self.configuration()):
            self.run("config", "--remove-section", f"branch.{branch}", check=False)

    def newest(self, branch: str) -> tuple[str | None, bool]:
        """(commit, diverged): where work on a branch starts from, which is the origin's head when
        that is ahead of ours; `diverged` when neither holds the other."""
        return self.newer(*self.heads(branch))

    def newer(self, local: str | None, remote: str | None) -> tuple[str | None, bool]:
        """The same of the heads of a branch here and at its remote."""
        if not local or not remote or local == remote or self.is_ancestor(remote, local):
            return local or remote, False
        return (remote, False) if self.is_ancestor(local, remote) else (local, True)

    def _tree(self, commit: str) -> str:
        return self.output("rev-parse", "--verify", f"{commit}^{{tree}}").strip()
