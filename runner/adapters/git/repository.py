"""git, spawned here and nowhere else.

Every call names its git directory, runs no hook and no file system monitor, ignores
submodules, and asks in git's machine voice: exit codes, porcelain -z, object ids.
"""

import contextlib
import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.git import status
from runner.adapters.store import locks
from runner.domain.errors import GitFailed, NotFound, Refused
from runner.domain.git.drivers import is_steady, program_of
from runner.domain.git.hooks import Hooks
from runner.domain.text import printable, shell_word, with_words

TIMEOUT = 600  # seconds; a checkout of a very large repository on a slow disk
LOOK_TIMEOUT = 120  # seconds; git reads a file of hundreds of gigabytes that code inside made
REFRESH_TIMEOUT = 20  # seconds; reading 50,000 files took 0.1
GRACE = 2  # seconds that git has to remove its lock files

_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
# What would make git look at another repository than the one it is told (git rev-parse
# --local-env-vars), set for instance when treedock is run by a hook.
_FOREIGN = re.compile(
    r"GIT_(ALTERNATE_OBJECT_DIRECTORIES|CONFIG(_PARAMETERS|_COUNT|_KEY_.*|_VALUE_.*)?|OBJECT_DIRECTORY"
    r"|DIR|WORK_TREE|IMPLICIT_WORK_TREE|GRAFT_FILE|INDEX_FILE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE"
    r"|ATTR_SOURCE|PREFIX|SHALLOW_FILE|COMMON_DIR|NAMESPACE|EXTERNAL_DIFF|INTERNAL_SUPER_PREFIX)"
)
_RULES = r"^core\.(attributesfile|excludesfile|autocrlf|eol|safecrlf|checkroundtripencoding)$"
# By these a worktree's configuration can be another than the repository's.
_ELSEWHERE = r"includeif\..*\.path$|extensions\.worktreeconfig$"
_DRIVERS = (
    rf"^({_ELSEWHERE}|filter\..*\.(clean|smudge|process)|diff\..*\.(command|textconv)|diff\.external"
    r"|merge\..*\.driver|lfs\.extension\..*\.(clean|smudge)|lfs\.customtransfer\..*\.path)$"
)
# Commands that change something; the kill points of the tests come after them.
_CHANGING = {
    "update-ref",
    "worktree",
    "reset",
    "merge",
    "merge-tree",
    "commit-tree",
    "read-tree",
    "update-index",
    "restore",
    "config",
    "fetch",
    "push",
    "-c",
}
# With these, packs of any size here do not count against Bounds.memory.
_FRUGAL = ("-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m")
# Commands that read .gitignore files. Code in a container can make one a FIFO, which git opens
# and waits for without end, or as large as it likes, and git 2.39 reads it whole.
_LOOKING = {"status", "ls-files", "check-ignore", "check-attr", "--refresh"}
_LOOK_PATIENCE = 2.0  # seconds before we look what keeps git
_LOOK_MEMORY = 2**31  # bytes of git's own; packs, which are mapped, do not count
# Seconds of a processor. Patterns such as a*a*a*...b take git longer than anybody waits, and the
# kernel ends it also where treedock was killed.
LOOK_CPU = 30
LFS_CONFIG = ".lfsconfig"
KEYS = "git-crypt"  # the folder of git-crypt's keys in a git directory
_BLOCK_START = "# >>> treedock >>>"
_BLOCK_END = "# <<< treedock <<<"


@dataclass(frozen=True)
class Worktree:
    """One entry of `git worktree list`. `branch` is the short name, None when detached."""

    path: Path
    head: str | None
    branch: str | None
    bare: bool


@dataclass(frozen=True)
class Merged:
    """A merge: its tree, or None and the files in conflict."""

    tree: str | None
    files: tuple[str, ...]


@dataclass(frozen=True)
class Rules:
    """The text of an attributes file and of an ignore file, and the settings that decide how
    files look."""

    attributes: bytes
    ignore: bytes
    settings: dict[str, str]


@dataclass(frozen=True)
class Sparse:
    """The text of info/sparse-checkout, and whether it is in cone mode."""

    patterns: bytes
    cone: bool


@dataclass(frozen=True)
class Bounds:
    """What a command may use: bytes of memory, seconds of a processor, bytes of each file."""

    memory: int
    cpu: int
    file: int


@dataclass(frozen=True)
class Place:
    """Where a folder lies: the top of its checkout (None in a bare one) and the git directory."""

    checkout: Path | None
    common_dir: Path


def version() -> tuple[int, ...]:
    """git's version, e.g. (2, 39, 5). Raises NotFound where there is no git."""
    out = _spawn(["git", "--version"], cwd=None).stdout.decode()
    return tuple(int(part) for part in re.findall(r"\d+", out)[:3])


def locate(folder: Path) -> Place | None:
    """The repository that `folder` lies in, or None."""
    arguments = ["--path-format=absolute", "--git-common-dir", "--show-toplevel"]
    done = _spawn(["git", *_flags(), "rev-parse", *arguments], cwd=folder)
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
            text = os.fsdecode(disk.read_untrusted(found, 4096) or b"")
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
        done = _spawn(["git", *_flags(), *settings, *arguments], cwd=folder)
        if done.returncode:
            raise _failed(done)


class Git:
    """The repository with this common git directory. Methods raise GitFailed unless said."""

    def __init__(self, common_dir: Path, checkout: Path | None = None) -> None:
        self.common_dir = common_dir
        self.checkout = checkout or common_dir
        self._safe_for: set[Path] = set()  # git directories whose drivers no branch steers
        self._differs = False  # whether worktrees can have configuration of their own
        self._gitlinks: dict[str, bool] = {}
        self.look_cpu = LOOK_CPU

    # --- asking ---------------------------------------------------------------------------

    def worktrees(self) -> list[Worktree]:
        """The main worktree (or the bare repository) first, then the linked ones."""
        found = []
        for entry in self._out("worktree", "list", "--porcelain", "-z").split("\0\0"):
            fields = dict(line.partition(" ")[::2] for line in entry.split("\0") if line)
            if "worktree" in fields:
                branch = fields.get("branch")
                found.append(
                    Worktree(
                        path=Path(fields["worktree"]),
                        head=fields.get("HEAD"),
                        branch=branch.removeprefix("refs/heads/") if branch else None,
                        bare="bare" in fields,
                    )
                )
        return found

    def commit(self, name: str) -> str | None:
        """The id of the commit that `name` means, or None."""
        arguments = ["--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        done = self._run("rev-parse", *arguments, check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def branch(self, name: str) -> str | None:
        """The commit at the head of a local branch, or None where there is no such branch."""
        return self.commit(f"refs/heads/{name}")

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

    @cached_property
    def _remotes(self) -> tuple[list[str], dict[str, str]]:
        """(the remotes, the one of each branch that has one of its own)."""
        wanted = r"^(remote\..*\.url|branch\..*\.remote)$"
        out = self._run("config", "-z", "--get-regexp", wanted, check=False).stdout
        known: list[str] = []
        of_branch: dict[str, str] = {}
        for entry in os.fsdecode(out).split("\0"):
            key, _, value = entry.partition("\n")
            if key.startswith("remote."):
                known.append(key.removeprefix("remote.").removesuffix(".url"))
            elif key:
                of_branch[key.removeprefix("branch.").removesuffix(".remote")] = value
        return list(dict.fromkeys(known)), of_branch

    def heads(self, branch: str) -> tuple[str | None, str | None]:
        """The commits at the heads of a branch here and at its remote, as far as they are known."""
        names = [f"refs/heads/{branch}", f"refs/remotes/{self.tracking(branch)}"]
        out = self._out("for-each-ref", "--format=%(refname) %(objectname)", "--", *names)
        found = dict(line.split(" ") for line in out.split("\n") if line)
        return found.get(names[0]), found.get(names[1])

    def all_heads(self) -> dict[str, str]:
        """The commit at the head of every branch, here and at remotes, by the full name of
        the ref: one process, where many instances are looked at."""
        names = ["refs/heads", "refs/remotes"]
        out = self._out("for-each-ref", "--format=%(refname) %(objectname)", "--", *names)
        return dict(line.split(" ") for line in out.split("\n") if line)

    def branches(self) -> tuple[list[str], str | None]:
        """The local branches, and the branch that origin/HEAD means, if it means one; that of
        the only remote where there is no origin."""
        remote = f"refs/remotes/{self.tracking('HEAD')}"
        out = self._out("for-each-ref", "--format=%(refname) %(symref)", "refs/heads", remote)
        found = dict(line.split(" ") for line in out.split("\n") if line)
        default = found.pop(remote, "").removeprefix(remote.removesuffix("HEAD"))
        return [name.removeprefix("refs/heads/") for name in found], default or None

    def is_ancestor(self, older: str, newer: str) -> bool:
        done = self._run("merge-base", "--is-ancestor", older, newer, check=False)
        if done.returncode not in (0, 1):
            raise _failed(done)
        return done.returncode == 0

    def ahead_behind(self, branch: str, base: str) -> tuple[int, int]:
        """How many commits `branch` has that `base` lacks, and the other way round."""
        behind, ahead = self._out(
            "rev-list", "--left-right", "--count", "--end-of-options", f"{base}...{branch}"
        ).split()
        return int(ahead), int(behind)

    def commits_only_at(self, commit: str, *, besides: str) -> list[str]:
        """Commits reachable from `commit` that no branch, local or of a remote, holds; the local
        branch `besides` does not count."""
        others = [f"--exclude={besides}", "--branches", "--remotes"]
        return self._out("rev-list", commit, "--not", *others).split()

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return self._out("log", "-1", "--format=%s", commit).strip()

    def is_integrated(self, branch: str, base: str) -> bool:
        """Whether `base` holds the branch's changes already, be it by a squash merge.

        True when merging would change nothing, or when one commit of base has the patch-id of
        the whole branch.
        """
        if self.is_ancestor(branch, base):
            return True
        self.require_safe_drivers()
        merged = self._run("merge-tree", "--write-tree", base, branch, check=False)
        if merged.returncode == 0 and merged.stdout.decode().strip() == self._tree(base):
            return True
        fork = self._run("merge-base", base, branch, check=False).stdout.decode().strip()
        if not fork:
            return False
        whole = self._patch_ids("diff-tree", fork, branch)
        return bool(whole) and whole <= self._patch_ids("log", "--no-merges", f"{fork}..{base}")

    def _patch_ids(self, *arguments: str) -> set[str]:
        """The ids of the patches that a command prints; white space counts, as it does in code."""
        shape = ["-p", "--full-index", "--binary", "--no-ext-diff", "--no-textconv"]
        command, *rest = arguments
        patches = self._run(command, *shape, *rest).stdout
        out = self._run("patch-id", "--verbatim", stdin=patches).stdout.decode()
        return {line.split(" ")[0] for line in out.splitlines()}

    def tracked(self, worktree: Path, paths: list[str]) -> set[str]:
        """Which of `paths` are tracked in a linked worktree."""
        return self._tracked(worktree, paths, self.worktree_dir(worktree))

    def tracked_here(self, checkout: Path, paths: list[str]) -> set[str]:
        """The same in the user's own checkout."""
        return self._tracked(checkout, paths, self._git_dir(checkout))

    def _tracked(self, folder: Path, paths: list[str], git_dir: Path) -> set[str]:
        if not paths:
            return set()
        out = self._in(
            folder, "--literal-pathspecs", "ls-files", "-z", "--", *paths, git_dir=git_dir
        )
        return set(out.split("\0")) - {""}

    def files(
        self, checkout: Path, patterns: Sequence[str] = (), *, untracked: bool = False
    ) -> list[str]:
        """The tracked files of a checkout, and the others that are not ignored if asked for; with
        `patterns` (globs, in which only ** crosses folders) those that match one."""
        others = ["--others", "--exclude-standard"] if untracked else []
        wanted = ["--", *(f":(top,glob){pattern}" for pattern in patterns)] if patterns else []
        out = self._in(checkout, "ls-files", "-z", "--cached", *others, *wanted)
        return [name for name in out.split("\0") if name]

    def head_of(self, worktree: Path) -> str:
        """The commit that a linked worktree is on."""
        where = self.worktree_dir(worktree)
        return self._in(worktree, "rev-parse", "--verify", "HEAD", git_dir=where).strip()

    def tree_of(self, worktree: Path) -> str:
        """The tree of the commit that a linked worktree is on."""
        where = self.worktree_dir(worktree)
        return self._in(worktree, "rev-parse", "--verify", "HEAD^{tree}", git_dir=where).strip()

    def ignored(self, checkout: Path, paths: list[str]) -> set[str]:
        """Which of these existing paths git ignores there."""
        if not paths:
            return set()
        done = self._run(
            *("check-ignore", "-z", "--stdin"),
            git_dir=self._git_dir(checkout),
            work_tree=checkout,
            stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
            check=False,
        )
        if done.returncode not in (0, 1):
            raise _failed(done)
        return set(os.fsdecode(done.stdout).split("\0")) - {""}

    def ignored_below(self, checkout: Path, folder: str) -> list[str]:
        """Ignored, untracked files below a folder of a checkout; a repository in it is one entry
        that ends with a slash."""
        found = self._in(
            *(checkout, "--literal-pathspecs", "ls-files", "-z", "--others", "--ignored"),
            *("--exclude-standard", "--", folder),
        )
        return [name for name in found.split("\0") if name]

    def ignored_matching(self, checkout: Path, patterns: Path) -> list[str]:
        """Ignored, untracked files of a checkout that match the patterns of a file."""
        found = self._in(
            checkout, "ls-files", "-z", "--others", "--ignored", f"--exclude-from={patterns}"
        )
        names = [name for name in found.split("\0") if name]
        ignored = self.ignored(checkout, names)
        return [name for name in names if name in ignored]

    def all_ignored(self, worktree: Path) -> list[str]:
        """The ignored, untracked files of a linked worktree; a repository is one, with a '/'."""
        kinds = ["--others", "--ignored", "--exclude-standard"]
        out = self._in(
            worktree, "ls-files", "-z", *kinds, git_dir=self.worktree_dir(worktree),
            timeout=LOOK_TIMEOUT,
        )  # fmt: skip
        return [name for name in out.split("\0") if name]

    def dirty(self, worktree: Path) -> list[str]:
        """Paths of a linked worktree with uncommitted changes, untracked ones included, and files
        that its index marks to be passed over; submodules that hold anything, as git is not asked
        about them."""
        git_dir = self.worktree_dir(worktree)
        self.require_safe_drivers(git_dir)
        marked = status.marks(self, git_dir, worktree)
        found = status.entries(self, git_dir, worktree, marked, timeout=LOOK_TIMEOUT)
        filled = [link for link in marked.links if disk.holds_anything(worktree / link, worktree)]
        return _paths(found) + filled

    def index_differs(self, worktree: Path, other: Path) -> list[str]:
        """Paths that another index, which code in a container may have written, has otherwise
        than that of a linked worktree: content, mode, or how git is to look at them."""
        return status.index_differs(self, self.worktree_dir(worktree), worktree, other)

    def passed_over(self, worktree: Path, paths: Sequence[str]) -> dict[str, str]:
        """Those of these paths that the index of a checkout marks to be passed over, each with the
        option of `git update-index` that ends it."""
        if not paths:
            return {}
        marked = status.marks(self, self._git_dir(worktree), worktree)
        assumed = dict.fromkeys(marked.assumed, "--no-assume-unchanged")
        ends = assumed | dict.fromkeys(marked.skipped, "--no-skip-worktree")
        return {path: ends[path] for path in paths if path in ends}

    def archive(self, commit: str, folder: str, target: BinaryIO) -> None:
        """Write the tar of a committed folder ('.' for all) to `target`, its top stripped."""
        tree = commit if folder in (".", "") else f"{commit}:{folder.rstrip('/')}"
        if self._run("rev-parse", "--verify", "--quiet", tree, check=False).returncode:
            raise NotFound(f"The commit {commit[:12]} has no folder {folder}.")
        done = subprocess.run(
            ["git", *_flags(), f"--git-dir={self.common_dir}", "archive", "--format=tar", tree],
            cwd=self.common_dir, env=_environment(), stdin=subprocess.DEVNULL, stdout=target,
            stderr=subprocess.PIPE, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise _failed(done)

    def settings(self, worktree: Path | None = None) -> dict[str, str]:
        """The whole configuration as it counts in a linked worktree, or in the repository: keys in
        lower case except their middle, the last value of each; a key without a value is true."""
        git_dir = self.worktree_dir(worktree) if worktree else self.common_dir
        out = os.fsdecode(self._run("config", "-z", "--list", git_dir=git_dir).stdout)
        pairs = (entry.partition("\n") for entry in out.split("\0") if entry)
        return {key: value if between else "true" for key, between, value in pairs}

    def personal_rules(self, worktree: Path) -> Rules:
        """The attributes and ignore rules that the person's configuration names for a linked
        worktree, or that lie where git looks by itself."""
        arguments = ["-z", "--type=path", "--get-regexp", _RULES]
        where = self.worktree_dir(worktree)
        out = os.fsdecode(self._run("config", *arguments, git_dir=where, check=False).stdout)
        named = dict(entry.partition("\n")[::2] for entry in out.split("\0") if entry)
        home = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '')}/.config"
        attributes = named.pop("core.attributesfile", f"{home}/git/attributes")
        ignore = named.pop("core.excludesfile", f"{home}/git/ignore")
        return Rules(_content(worktree, attributes), _content(worktree, ignore), named)

    def sparse(self, worktree: Path) -> Sparse | None:
        """What the sparse checkout of a linked worktree shows, or None where it shows all."""
        git_dir = self.worktree_dir(worktree)
        path = git_dir / "info/sparse-checkout"
        if not path.exists():
            return None
        arguments = ["-z", "--type=bool", "--get-regexp", r"^core\.sparsecheckout(cone)?$"]
        out = os.fsdecode(self._run("config", *arguments, git_dir=git_dir, check=False).stdout)
        named = dict(entry.partition("\n")[::2] for entry in out.split("\0") if entry)
        if named.get("core.sparsecheckout") != "true":
            return None
        return Sparse(path.read_bytes(), cone=named.get("core.sparsecheckoutcone") == "true")

    def refs(self, *prefixes: str) -> dict[str, str]:
        """The ids of all refs with these full names or below them, by full name."""
        out = self._out("for-each-ref", "--format=%(objectname) %(refname)", "--", *prefixes)
        # Not splitlines(): a name may hold what Unicode, but not git, takes for the end of a line.
        found = (line.partition(" ") for line in out.split("\n") if line)
        return {name: commit for commit, _, name in found}

    def is_on_main_line(self, commit: str, head: str) -> bool:
        """Whether a commit that `head` holds is one of its first parents: it did not come in by
        a merge commit."""
        out = self._out("rev-list", "--first-parent", "--parents", head, f"^{commit}")
        lines = out.splitlines()
        return not lines or lines[-1].split(" ")[1:2] == [commit]

    def in_progress(self, checkout: Path) -> str | None:
        """The operation that the user has begun in a checkout of theirs and not ended."""
        folder = self._git_dir(checkout)
        names = {
            "MERGE_HEAD": "merge",
            "CHERRY_PICK_HEAD": "cherry-pick",
            "REVERT_HEAD": "revert",
            "rebase-apply/applying": "am",
        }
        return next((what for name, what in names.items() if (folder / name).exists()), None)

    def rebased(self) -> set[str]:
        """The branches that somebody is rebasing in any worktree: git shows these as detached."""
        places = [self.common_dir, *self._linked.glob("*")]
        files = [place / name / "head-name" for place in places
                 for name in ("rebase-merge", "rebase-apply")]  # fmt: skip
        found = {file.read_text().strip() for file in files if file.exists()}
        return {name.removeprefix("refs/heads/") for name in found}

    def changed_between(self, old: str, new: str) -> dict[str, str]:
        """Path -> 'A', 'M', 'D' or 'T' for every file that differs between two commits."""
        arguments = ["-r", "--name-status", "-z", "--no-renames", "--no-commit-id"]
        fields = os.fsdecode(self._run("diff-tree", *arguments, old, new).stdout).split("\0")
        return dict(zip(fields[1::2], fields[::2], strict=False))

    def uncommitted(self, checkout: Path) -> list[str]:
        """Paths of the user's own checkout that are changed, staged or untracked."""
        git_dir = self._git_dir(checkout)
        self.require_safe_drivers(git_dir)
        marked = status.marks(self, git_dir, checkout)
        return _paths(status.entries(self, git_dir, checkout, marked, timeout=LOOK_TIMEOUT))

    def uses_filter(self, checkout: Path, name: str) -> bool:
        """Whether a committed file of a checkout goes through the filter `name`."""
        return bool(self._in(checkout, "ls-files", "-z", "--", f":(attr:filter={name})"))

    def under_filter(
        self, worktree: Path, paths: Sequence[str], filters: Sequence[str]
    ) -> list[str]:
        """Those of these paths of a linked worktree that go through one of these filters."""
        if not paths:
            return []
        out = self._run(
            *("check-attr", "-z", "--stdin", "filter"),
            git_dir=self.worktree_dir(worktree), work_tree=worktree, timeout=LOOK_TIMEOUT,
            stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
        ).stdout  # fmt: skip
        fields = os.fsdecode(out).split("\0")  # path, 'filter', its name
        return [p for p, name in zip(fields[::3], fields[2::3], strict=False) if name in filters]

    def take_again(self, worktree: Path, paths: Sequence[str]) -> None:
        """Read these files of a linked worktree into its index: one whose size has changed counts
        as changed otherwise, whatever its filter makes of it."""
        if paths:
            self._run(
                *("update-index", "-z", "--stdin"),
                git_dir=self.worktree_dir(worktree), work_tree=worktree,
                stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
            )  # fmt: skip

    def smudge(self, worktree: Path, rules: Path, commit: str, path: str, target: BinaryIO) -> None:
        """Write to a file what the filter of a path makes of what is committed there. The files of
        the folder `rules` decide which one, and where git-lfs asks."""
        git_dir = self.worktree_dir(worktree)
        self.require_safe_drivers(git_dir)
        where = [f"--git-dir={git_dir}", f"--work-tree={rules}"]
        command = ["git", *_flags(), *where, "cat-file", "--filters", f"{commit}:{path}"]
        done = _spawn(command, cwd=rules, stdout=target)
        if done.returncode:
            raise _failed(done)

    def missing(self, ids: list[str]) -> list[str]:
        """Which of these objects are not here."""
        asked = "".join(f"{one}\n" for one in ids).encode()
        out = self._run("cat-file", "--batch-check=%(objectname)", stdin=asked).stdout.decode()
        answers = (line.partition(" ") for line in out.split("\n") if line)
        return [one for one, _, what in answers if what == "missing"]

    def count(self, commit: str, *, without: list[str]) -> int | None:
        """How many commits are reachable from `commit` and from none of `without`; None for
        what is no commit."""
        arguments = ["--count", commit, "--not", *without]
        done = self._run("rev-list", *arguments, check=False)
        return int(done.stdout) if done.returncode == 0 else None

    def names(self, commit: str) -> list[str]:
        """The paths of all files of a commit."""
        out = self._run("ls-tree", "-r", "-z", "--full-tree", "--name-only", commit).stdout
        return os.fsdecode(out).split("\0")[:-1]

    def has_gitlinks(self, commit: str) -> bool:
        """Whether a commit, given by its id, has submodules. Looked up once for each."""
        if commit not in self._gitlinks:
            out = self._run("ls-tree", "-r", "-z", commit).stdout
            entries = out.split(b"\0")
            self._gitlinks[commit] = any(entry.startswith(b"160000 ") for entry in entries)
        return self._gitlinks[commit]

    # --- changing; the caller holds the repository lock where it says so -------------------

    def fetch(self, branch: str, timeout: float) -> None:
        """Bring what is known of a branch at its remote up to date. GitFailed after `timeout`
        seconds, and where it has no remote."""
        remote = self.remote_of(branch)
        if remote is None:
            raise GitFailed(f"The branch {branch} has no remote.")
        refspec = f"+refs/heads/{branch}:refs/remotes/{remote}/{branch}"
        alone = ["--quiet", "--no-tags", "--no-recurse-submodules"]
        self.ask("fetch", *alone, "--", remote, refspec, timeout=timeout)

    def ask(
        self, *arguments: str, timeout: float, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """A command that talks to a remote. It runs where the person would run it: a relative
        address is one from the top of the checkout."""
        return self._run(*arguments, timeout=timeout, check=check, cwd=self.checkout)

    def init_bare(self, folder: Path, branch: str, *, sha256: bool) -> None:
        """An empty repository in `folder`, with nothing of the user's own template."""
        kind = "sha256" if sha256 else "sha1"
        arguments = ["init", "--quiet", "--bare", "--template=", f"--object-format={kind}"]
        where = [f"--initial-branch={branch}", "--", str(folder)]
        done = _spawn(["git", *_flags(), *arguments, *where], cwd=self.common_dir)
        step("git init")
        if done.returncode:
            raise _failed(done)

    def update_refs(self, changes: dict[str, tuple[str | None, str | None]]) -> None:
        """Move refs, all or none: name -> (new, old), None being no such ref. Raises GitFailed
        where one is not at `old` any more. Repository lock."""
        lines = []
        for name, (new, old) in changes.items():
            if new is None:
                lines.append(f"delete {name}\0{old or ''}\0")
            else:
                lines.append(f"update {name}\0{new}\0{old or '0' * len(new)}\0")
        if lines:
            self._run("update-ref", "--stdin", "-z", stdin=os.fsencode("".join(lines)))

    def add_worktree(self, path: Path, branch: str, commit: str | None) -> None:
        """Register a worktree at `path` without its files, on a new branch at `commit`, or on
        the existing branch where `commit` is None. Needs the repository lock: of 20 at once
        6 to 11 failed without one.
        """
        new = ["--no-track", "-b", branch] if commit else []
        # Twice --force: take over the entry of a worktree whose folder somebody deleted, or that
        # git itself had no time to finish (it locks such an entry).
        again = ["--force", "--force"] if self._entries(path) else []
        self._run(
            *("worktree", "add", "--quiet", "--no-checkout", *again, *new),
            *("--", str(path), commit or branch),
        )
        self._link_keys(path)

    def _link_keys(self, worktree: Path) -> None:
        """git-crypt (0.7) looks for its keys in the git directory of each worktree alone."""
        if (self.common_dir / KEYS).is_dir():
            link = self.worktree_dir(worktree) / KEYS
            if not os.path.lexists(link):
                link.symlink_to(f"../../{KEYS}")

    def hash_file(self, checkout: Path, path: str) -> str:
        """The id that a file of the user's own checkout would have if it were added."""
        return self._in(checkout, "hash-object", f"--path={path}", "--", path).strip()

    def commit_tree(self, tree: str, parents: list[str], message: str) -> str:
        """The id of a new commit. Raises Refused where git knows no author."""
        given = [part for parent in parents for part in ("-p", parent)]
        done = self._run(
            "commit-tree", tree, *given, stdin=message.encode(errors="replace"), check=False
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise Refused(
                with_words("git could not make a commit", said),
                hint='Tell git who you are: git config --global user.name "...", user.email "..."',
            )
        return done.stdout.decode().strip()

    def blob(self, commit: str, path: str) -> bytes | None:
        """The content of a file of a commit, or None where there is none."""
        name = f"{commit}:{path}"
        done = self._run("cat-file", "blob", name, check=False)
        return done.stdout if done.returncode == 0 else None

    def object_id(self, commit: str, path: str) -> str | None:
        """The id of a file of a commit, or None where there is none."""
        done = self._run("rev-parse", "--verify", "--quiet", f"{commit}:{path}", check=False)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def add_detached_worktree(self, path: Path, commit: str) -> None:
        """Register a worktree at `path` without its files, on no branch. Repository lock."""
        arguments = ["--quiet", "--detach", "--no-checkout", "--force", "--force"]
        self._run("worktree", "add", *arguments, "--", str(path), commit)
        self._link_keys(path)

    def require_unlocked(self) -> None:
        """Raises Refused where files go through git-crypt, and it cannot read them here."""
        command = self.settings().get("filter.git-crypt.smudge")
        if command is None:
            return
        if shutil.which(program_of(command)) is None:
            raise Refused(
                "git's configuration has git-crypt read files, and there is none on this machine.",
                hint="Install git-crypt; or, to go on with encrypted files: git config "
                "--remove-section filter.git-crypt",
            )
        if not disk.holds_anything(self.common_dir / KEYS / "keys"):
            raise Refused(
                f"git-crypt has no key in {self.common_dir / KEYS}.",
                hint="Unlock the repository first: git-crypt unlock",
            )

    def branch_in(self, worktree: Path) -> str | None:
        """The branch that a linked worktree is on, or None. Raises Refused for what is none."""
        head = (self.worktree_dir(worktree) / "HEAD").read_text().strip()
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else None

    def is_checked_out(self, worktree: Path) -> bool:
        """Whether the checkout was finished: git writes the index after the last file."""
        return (self.worktree_dir(worktree) / "index").exists()

    def check_out(self, worktree: Path, *, download: bool = True) -> None:
        """Write the files of HEAD into a worktree that add_worktree registered. Without
        `download` a Git LFS file whose content is not here yet stays a pointer."""
        git_dir = self.worktree_dir(worktree)
        (git_dir / "index.lock").unlink(missing_ok=True)  # of a killed one
        arguments = ["-c", "checkout.workers=0", "reset", "--quiet", "--hard"]
        env = {} if download else {"GIT_LFS_SKIP_SMUDGE": "1"}
        self._in(worktree, *arguments, git_dir=git_dir, env=env)

    def is_lfs_of(self, worktree: Path, base: str | None) -> bool:
        """Whether the addresses that git-lfs finds in a worktree's .lfsconfig are those of the
        commit `base`: else a branch decides where this machine sends requests, and as who."""
        head, name = self.head_of(worktree), LFS_CONFIG
        there = os.path.lexists(worktree / name)
        found = disk.read_untrusted(worktree / name) if there else self.blob(head, name)
        if found is None:
            return not there
        if base is None:
            return False
        landed = found == self.blob(head, name) and self.is_ancestor(head, base)
        return landed or found == self.blob(base, name)

    def remove_worktree(self, path: Path) -> bool:
        """Delete a worktree's files and its entry; each may be gone already. A folder that is no
        worktree of this repository stays. Returns whether the folder is gone. Repository lock."""
        gone = self._delete_files(path)
        for entry in self._entries(path):
            if gone:
                self._run("worktree", "remove", "--force", "--force", "--", str(path))
            else:  # git itself refuses where the two do not name each other
                disk.remove_tree(entry)
        return gone

    def owns(self, worktree: Path) -> bool:
        """Whether a folder is a worktree of this repository: its .git file names an entry here,
        and that leads back to it."""
        try:
            self.worktree_dir(worktree)
        except Refused:
            return False
        return not worktree.is_symlink()

    def repair_worktrees(self, paths: Sequence[Path]) -> None:
        """Have worktrees that were moved, or whose repository was, and their entries name each
        other again. Repository lock."""
        self._run("worktree", "repair", "--", *map(str, paths))

    def _delete_files(self, path: Path) -> bool:
        """Whether nothing is left of a worktree. What it is known by goes last, so that one that
        was cut off can be gone on with."""
        if self.owns(path):
            disk.remove_tree(path, last=".git")
        elif path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
        return not os.path.lexists(path)

    def delete_branch(self, branch: str, commit: str) -> None:
        """Delete a local branch if it still is at `commit`. Repository lock."""
        self._run("update-ref", "-d", f"refs/heads/{branch}", commit)
        self._run("config", "--remove-section", f"branch.{branch}", check=False)

    def exclude(self, patterns: list[str]) -> None:
        """See to it that info/exclude holds these patterns, in a marked block of its own.
        Repository lock."""
        path = self.common_dir / "info" / "exclude"
        text = path.read_text(errors="surrogateescape") if path.exists() else ""
        before, _, rest = text.partition(_BLOCK_START + "\n")
        block, _, after = rest.partition(_BLOCK_END + "\n")
        lines = block.splitlines()
        missing = [pattern for pattern in patterns if pattern not in lines]
        if not missing:
            return
        if before and not before.endswith("\n"):
            before += "\n"
        own = "".join(f"{line}\n" for line in [_BLOCK_START, *lines, *missing, _BLOCK_END])
        data = (before + own + after).encode(errors="surrogateescape")
        disk.write_atomically(path, data)

    # --- spawning ---------------------------------------------------------------------------

    def worktree_dir(self, worktree: Path) -> Path:
        """The git directory of a linked worktree, after a look that its .git file is genuine.

        Raises Refused where it is not what git wrote: something tampered with it.
        """
        text = os.fsdecode(disk.read_untrusted(worktree / ".git", 4096) or b"")
        found = worktree / text.removeprefix("gitdir: ").removesuffix("\n")
        genuine = text.startswith("gitdir: ") and found.parent.resolve() == self._linked
        if not (genuine and _leads_back(found, worktree)):
            raise Refused(
                f"{worktree / '.git'} is not the file that git wrote there.",
                hint="Look at it before you run git there. treedock clean ID --force removes the "
                "instance and leaves this folder.",
            )
        return found

    @property
    def _linked(self) -> Path:
        return self.common_dir / "worktrees"

    def _entries(self, path: Path) -> list[Path]:
        """git's own folders for a worktree at `path`, be it there or not.

        Their layout is git's own promise (gitrepository-layout: worktrees/<id>/gitdir).
        """
        wanted = os.fsencode(path / ".git")
        entries = self._linked.glob("*/gitdir")
        return [file.parent for file in entries if file.read_bytes().rstrip(b"\n") == wanted]

    def require_safe_drivers(self, git_dir: Path | None = None) -> None:
        """Refuse filter, diff and merge commands of the configuration that a branch can steer:
        git would run them here, in files that an instance wrote. Raises Refused with the key.

        `git_dir`: that of a linked worktree, which can have more configuration of its own.
        """
        where = git_dir if git_dir and self._differs else self.common_dir
        if where in self._safe_for:
            return
        done = self._run("config", "-z", "--get-regexp", _DRIVERS, git_dir=where, check=False)
        for entry in os.fsdecode(done.stdout).split("\0"):
            key, _, command = entry.partition("\n")
            if re.match(_ELSEWHERE, key):
                self._differs = True
                continue
            if command and not is_steady(command, os.path.realpath):
                raise self._steered(key, command)
            path = program_of(command)
            if path.startswith("/") and any(self._holds(Path(path), top) for top in self._tops()):
                raise self._steered(key, command)
        self._safe_for.add(where)
        if git_dir and self._differs:
            self.require_safe_drivers(git_dir)

    def _tops(self) -> list[Path]:
        """The folders that what a branch brings is checked out in."""
        return [worktree.path for worktree in self.worktrees() if not worktree.bare]

    @staticmethod
    def _holds(path: Path, top: Path) -> bool:
        return path.is_relative_to(top) or path.resolve().is_relative_to(top.resolve())

    @staticmethod
    def _steered(key: str, command: str) -> Refused:
        return Refused(
            f"git's configuration has the command {key} = {printable(command)}, and a branch could "
            "bring the files that decide what it does on this machine.",
            hint="Name one program by its absolute path outside of the checkout, with options "
            "like --name and words like %f only (a script of yours may call others): "
            f"git config {key} ...",
        )

    def shield_hooks(self, worktree: Path) -> str | None:
        """With a relative core.hooksPath (husky), turn hooks off for git commands that are run in
        the worktree on this machine: a branch could bring such hooks. Returns the path then."""
        path = self.relative_hooks()
        if path is None:
            return None
        self._run("config", "extensions.worktreeConfig", "true")
        self._in(worktree, "config", "--worktree", "core.hooksPath", "/dev/null")
        return path

    def relative_hooks(self) -> str | None:
        """core.hooksPath where it names a folder of the work tree, else None."""
        # The last value is the one that _flags() gives on the command line.
        values = self._out("config", "-z", "--get-all", "core.hooksPath").split("\0")[:-2]
        path = values[-1] if values else ""
        return None if not path or Path(path).is_absolute() or path.startswith("~") else path

    def hooks(self, checkout: Path) -> Hooks:
        """The hooks that git runs for the person in their own checkout and that no branch brings:
        executable ones that are not git-lfs's."""
        relative = self.relative_hooks()
        # The last value is the one that _flags() gives on the command line.
        named = self._out("config", "-z", "--type=path", "--get-all", "core.hooksPath").split("\0")
        path = named[-3] if len(named) > 2 else ""
        folder = checkout / path if path else self.common_dir / "hooks"
        if relative and self.files(checkout, [f"{relative.strip('/')}/*"]):
            return Hooks(str(folder), (), relative=True)
        names = sorted(entry.name for entry in _entries(folder) if _is_hook(Path(entry)))
        return Hooks(str(folder), tuple(names), relative=bool(relative))

    def move_index(self, worktree: Path, branch: str, old: str, new: str) -> bool:
        """Bring a worktree's index from one commit of its branch to another, touching no file.
        False where something is staged that differs; nothing is changed then. A worktree with
        another branch checked out is left alone."""
        git_dir = self.worktree_dir(worktree)
        if self.branch_in(worktree) != branch:
            return True
        self.require_safe_drivers(git_dir)
        arguments = ["read-tree", "-i", "-m", old, new]
        done = self._run(*arguments, git_dir=git_dir, work_tree=worktree, check=False)
        return done.returncode == 0

    def refresh_index(self, worktree: Path) -> None:
        """See which files are as the index says; touches none of them. Given up where code inside
        has made a file so large that it would take minutes."""
        arguments = ["update-index", "-q", "--refresh", "--ignore-submodules"]
        where = self.worktree_dir(worktree)
        self.require_safe_drivers(where)
        with contextlib.suppress(GitFailed, Refused):
            self._run(
                *arguments, git_dir=where, work_tree=worktree, check=False, timeout=REFRESH_TIMEOUT
            )

    def rebuild_index(self, worktree: Path) -> None:
        """Make the index anew from HEAD; the files stay as they are."""
        self._in(worktree, "reset", "--quiet", "--mixed", git_dir=self.worktree_dir(worktree))

    def newest(self, branch: str) -> tuple[str | None, bool]:
        """(commit, diverged): where work on a branch starts from, which is the origin's head when
        that is ahead of ours; `diverged` when neither holds the other."""
        local, remote = self.heads(branch)
        if not local or not remote or local == remote or self.is_ancestor(remote, local):
            return local or remote, False
        return (remote, False) if self.is_ancestor(local, remote) else (local, True)

    def run_limited(
        self,
        *arguments: str,
        objects: Path | None,
        bounds: Bounds,
        alone: bool = False,
        stdin: BinaryIO | bytes | None = None,
        stdout: BinaryIO | None = None,
        timeout: float = TIMEOUT,
    ) -> subprocess.CompletedProcess[bytes]:
        """A command about a stranger's objects, for `timeout` seconds at most. It writes to the
        object folder `objects`, where there is one, and, unless `alone`, sees the main objects
        behind it. `stdout` is a file."""
        own = {}
        if objects:
            own["GIT_OBJECT_DIRECTORY"] = str(objects)
        if objects and not alone:
            own["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _quoted_path(self.common_dir / "objects")
        limits = f"ulimit -c 0; ulimit -t {bounds.cpu}; ulimit -v {bounds.memory // 1024}; "
        limits += f"ulimit -f {bounds.file // 512 + 1}"
        bounded = ["sh", "-c", f'{limits}; exec "$@"', "git", "git", *_flags(), *_FRUGAL]
        done = _spawn(
            [*bounded, f"--git-dir={self.common_dir}", *arguments],
            cwd=self.common_dir,
            stdin=stdin,
            stdout=stdout,
            env=own,
            timeout=timeout,
        )
        step(f"git {arguments[0]}")
        return done

    def _tree(self, commit: str) -> str:
        return self._out("rev-parse", "--verify", f"{commit}^{{tree}}").strip()

    def _in(
        self,
        checkout: Path,
        *arguments: str,
        git_dir: Path | None = None,
        timeout: float = TIMEOUT,
        env: dict[str, str] | None = None,
    ) -> str:
        """The output of a command about the files of a checkout, main or linked."""
        where = git_dir or self._git_dir(checkout)
        self.require_safe_drivers(where)
        done = self._run(*arguments, git_dir=where, work_tree=checkout, timeout=timeout, env=env)
        return os.fsdecode(done.stdout)

    def _git_dir(self, checkout: Path) -> Path:
        """The git directory of the user's own checkout, which no container can write."""
        text = os.fsdecode(disk.read_untrusted(checkout / ".git", 4096) or b"")
        named = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
        # A main checkout has a folder there, or a file when made with --separate-git-dir.
        if not text or named.resolve() == self.common_dir:
            return self.common_dir
        return self.worktree_dir(checkout)

    def _out(self, *arguments: str, before: list[str] | None = None) -> str:
        return os.fsdecode(self._run(*arguments, before=before).stdout)

    def _run(
        self,
        *arguments: str,
        git_dir: Path | None = None,
        work_tree: Path | None = None,
        before: list[str] | None = None,
        stdin: bytes | None = None,
        check: bool = True,
        timeout: float = TIMEOUT,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        where = [f"--git-dir={git_dir or self.common_dir}"]
        if work_tree:
            where.append(f"--work-tree={work_tree}")
        done = _spawn(
            ["git", *_flags(), *(before or ()), *where, *arguments],
            cwd=cwd or work_tree or self.common_dir,
            stdin=stdin,
            timeout=timeout,
            env=env,
            looks_at=work_tree if _LOOKING.intersection(arguments[:3]) else None,
            cpu=self.look_cpu,
        )
        if arguments[0] in _CHANGING:
            step(f"git {arguments[0]}")
        if check and done.returncode:
            raise _failed(done)
        return done


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return list(found)
    return []


def _is_hook(path: Path) -> bool:
    if "." in path.name or not (path.is_file() and os.access(path, os.X_OK)):
        return False
    return b"git lfs " not in path.read_bytes()


def _content(worktree: Path, path: str) -> bytes:
    """What a file of the person's holds; a relative path leads into the worktree, as for git."""
    if path.startswith("/"):
        return Path(path).read_bytes() if Path(path).is_file() else b""
    return (path and disk.reader(worktree)(path)) or b""


def _paths(entries: list[str]) -> list[str]:
    """The paths of what `status --porcelain=v2 -z` prints."""
    # '1 XY sub mH mI mW hH hI path', 'u XY sub m1 m2 m3 mW h1 h2 h3 path', '? path'
    fields = {"1": 8, "u": 10, "?": 1}
    shown = [entry for entry in entries if entry[:1] in fields]
    return [entry.split(" ", fields[entry[0]])[-1] for entry in shown]


def _leads_back(git_dir: Path, worktree: Path) -> bool:
    """Whether a linked git directory belongs to this worktree, and not to a sibling."""
    text = os.fsdecode(disk.read_untrusted(git_dir / "gitdir", 4096) or b"")
    back = git_dir / text.removesuffix("\n")
    return back.name == ".git" and back.parent.resolve() == worktree.resolve()


def _flags() -> list[str]:
    return [part for setting in _SAFE for part in ("-c", setting)]


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not _FOREIGN.fullmatch(key)}
    quiet = {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ATTR_NOSYSTEM": "1",  # instances do not see them either
    }
    # git starts filters from the top of a worktree, where a branch could bring their namesakes.
    absolute = (entry for entry in kept.get("PATH", os.defpath).split(":") if entry[:1] == "/")
    return {**kept, **quiet, "PATH": ":".join(absolute), "SSH_ASKPASS_REQUIRE": "never"}


def _quoted_path(path: Path) -> str:
    """A path as an entry of a list that ':' divides; git unquotes it."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _spawn(
    command: list[str],
    *,
    cwd: Path | None,
    stdin: BinaryIO | bytes | None = None,
    stdout: BinaryIO | None = None,
    timeout: float = TIMEOUT,
    env: dict[str, str] | None = None,
    looks_at: Path | None = None,
    cpu: int = LOOK_CPU,
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end. `looks_at`: a worktree, of which it reads the .gitignore files, for `cpu`
    seconds of a processor at most. Such a look changes nothing, so it holds none of our locks when
    we are killed."""
    source: BinaryIO | int = subprocess.DEVNULL
    if stdin is not None:
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
    limits = f"ulimit -d {_LOOK_MEMORY // 1024}; ulimit -c 0; ulimit -S -t {cpu}"
    bound = ["sh", "-c", f'{limits}; exec "$@"', "sh"] if looks_at else []
    try:
        process = subprocess.Popen(
            [*bound, *command], cwd=cwd, env=_environment() | (env or {}), start_new_session=True,
            stdin=source, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=() if looks_at else locks.held(),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotFound("There is no git on this machine.", hint="Install git 2.39 or newer.") from (
            error
        )
    with process:
        try:
            data = stdin if isinstance(stdin, bytes) else None
            out, err = _communicate(process, data, timeout, looks_at)
        except BaseException as error:
            # A fetch has children (ssh, a helper) that hold the pipes: end the whole group.
            for kind in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, kind)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitFailed(f"git did not end within {timeout:g} seconds.") from error
            raise
    if looks_at and process.returncode == -signal.SIGXCPU:
        raise GitFailed(
            f"git was at work for {cpu} seconds on the files of {looks_at}, and did not end.",
            hint="Patterns in its .gitignore or .gitattributes files, or very large files, keep it "
            "busy.",
        )
    return subprocess.CompletedProcess(command, process.returncode, out or b"", err)


def _communicate(
    process: subprocess.Popen[bytes], data: bytes | None, timeout: float, looks_at: Path | None
) -> tuple[bytes, bytes]:
    """What it prints until its end. Raises Refused where it `looks_at` a worktree and a file
    there keeps it waiting."""
    if looks_at is None:
        return process.communicate(data, timeout)
    try:
        return process.communicate(data, _LOOK_PATIENCE)
    except subprocess.TimeoutExpired:
        _require_files_that_end(looks_at)
    return process.communicate(None, timeout)  # what was read and written so far is kept


def _require_files_that_end(worktree: Path) -> None:
    for entry in disk.entries(worktree):
        if entry.path.name in (".gitignore", ".gitattributes"):
            found = disk.look_untrusted(entry.path, worktree)
            if found and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                raise Refused(
                    f"{entry.path} is no regular file: git waits for it without end.",
                    hint=f"Remove it: rm {shell_word(str(entry.path))}",
                )


def _failed(done: subprocess.CompletedProcess[bytes]) -> GitFailed:
    verb = next(
        (a for a in done.args[1:] if not a.startswith("-") and "=" not in a and "/" not in a), ""
    )
    said = done.stderr.decode(errors="replace").strip()
    return GitFailed(with_words(f"git {verb} failed (exit code {done.returncode})", said))
