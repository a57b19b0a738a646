"""The files of a checkout as git sees them: its index, ignore rules, filters and hooks."""

import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from runner.adapters.files import disk, untrusted
from runner.adapters.git import status
from runner.adapters.git.access import Access, entries
from runner.adapters.git.process import LOOK_TIMEOUT, failed, safe_flags, spawn
from runner.domain.errors import GitFailed, Refused
from runner.domain.frozen import dataclass
from runner.domain.git.drivers import program_of
from runner.domain.git.hooks import Hooks

REFRESH_TIMEOUT = 20  # seconds; reading 50,000 files took 0.1
_RULES = r"^core\.(attributesfile|excludesfile|autocrlf|eol|safecrlf|checkroundtripencoding)$"
KEYS = "git-crypt"  # the folder of git-crypt's keys in a git directory
_BLOCK_START = "# >>> treedock >>>"
_BLOCK_END = "# <<< treedock <<<"


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


class Checkout(Access):
    """What git says and does about the files of a checkout, main or linked."""

    def tracked(self, worktree: Path, paths: list[str]) -> set[str]:
        """Which of `paths` are tracked in a linked worktree."""
        return self._tracked(worktree, paths, self.worktree_dir(worktree))

    def tracked_here(self, checkout: Path, paths: list[str]) -> set[str]:
        """The same in the user's own checkout."""
        return self._tracked(checkout, paths, self.git_dir(checkout))

    def _tracked(self, folder: Path, paths: list[str], git_dir: Path) -> set[str]:
        if not paths:
            return set()
        known = status.known_paths(self, git_dir)
        if known is not None:
            return known.intersection(paths)
        out = self.run_in(
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
        out = self.run_in(checkout, "ls-files", "-z", "--cached", *others, *wanted)
        return [name for name in out.split("\0") if name]

    def tree_of(self, worktree: Path) -> str:
        """The tree of the commit that a linked worktree is on."""
        where = self.worktree_dir(worktree)
        return self.run_in(worktree, "rev-parse", "--verify", "HEAD^{tree}", git_dir=where).strip()

    def ignored(self, checkout: Path, paths: list[str]) -> set[str]:
        """Which of these existing paths git ignores there."""
        if not paths:
            return set()
        done = self.run(
            *("check-ignore", "-z", "--stdin"),
            git_dir=self.git_dir(checkout),
            work_tree=checkout,
            stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
            check=False,
        )
        if done.returncode not in (0, 1):
            raise failed(done)
        return set(os.fsdecode(done.stdout).split("\0")) - {""}

    def ignored_below(self, checkout: Path, folder: str) -> list[str]:
        """Ignored, untracked files below a folder of a checkout; a repository in it is one entry
        that ends with a slash."""
        found = self.run_in(
            *(checkout, "--literal-pathspecs", "ls-files", "-z", "--others", "--ignored"),
            *("--exclude-standard", "--", folder),
        )
        return [name for name in found.split("\0") if name]

    def ignored_matching(self, checkout: Path, patterns: Path) -> list[str]:
        """Ignored, untracked files of a checkout that match the patterns of a file."""
        found = self.run_in(
            checkout, "ls-files", "-z", "--others", "--ignored", f"--exclude-from={patterns}"
        )
        names = [name for name in found.split("\0") if name]
        ignored = self.ignored(checkout, names)
        return [name for name in names if name in ignored]

    def all_ignored(self, worktree: Path) -> list[str]:
        """The ignored, untracked files of a linked worktree; a repository is one, with a '/'."""
        kinds = ["--others", "--ignored", "--exclude-standard"]
        out = self.run_in(
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
        filled = [
            link for link in marked.links if untrusted.holds_anything(worktree / link, worktree)
        ]
        return [one.path for one in found] + filled

    def index_differs(self, worktree: Path, other: Path) -> list[str]:
        """Paths that another index, which code in a container may have written, has otherwise
        than that of a linked worktree: content, mode, or how git is to look at them."""
        return status.index_differs(self, self.worktree_dir(worktree), worktree, other)

    def passed_over(self, worktree: Path, paths: Sequence[str]) -> dict[str, str]:
        """Those of these paths that the index of a checkout marks to be passed over, each with the
        option of `git update-index` that ends it."""
        if not paths:
            return {}
        marked = status.marks(self, self.git_dir(worktree), worktree)
        assumed = dict.fromkeys(marked.assumed, "--no-assume-unchanged")
        ends = assumed | dict.fromkeys(marked.skipped, "--no-skip-worktree")
        return {path: ends[path] for path in paths if path in ends}

    def personal_rules(self, worktree: Path) -> Rules:
        """The attributes and ignore rules that the person's configuration names for a linked
        worktree, or that lie where git looks by itself."""
        where = self.worktree_dir(worktree)
        named = {}
        if any(re.match(_RULES, key) for key, _ in self.configuration(where)):
            arguments = ["-z", "--type=path", "--get-regexp", _RULES]
            out = os.fsdecode(self.run("config", *arguments, git_dir=where, check=False).stdout)
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
        out = os.fsdecode(self.run("config", *arguments, git_dir=git_dir, check=False).stdout)
        named = dict(entry.partition("\n")[::2] for entry in out.split("\0") if entry)
        if named.get("core.sparsecheckout") != "true":
            return None
        return Sparse(path.read_bytes(), cone=named.get("core.sparsecheckoutcone") == "true")

    def in_progress(self, checkout: Path) -> str | None:
        """The operation that the user has begun in a checkout of theirs and not ended."""
        folder = self.git_dir(checkout)
        names = {
            "MERGE_HEAD": "merge",
            "CHERRY_PICK_HEAD": "cherry-pick",
            "REVERT_HEAD": "revert",
            "rebase-apply/applying": "am",
        }
        return next((what for name, what in names.items() if (folder / name).exists()), None)

    def uncommitted(self, checkout: Path) -> list[str]:
        """Paths of the user's own checkout that are changed, staged or untracked."""
        git_dir = self.git_dir(checkout)
        self.require_safe_drivers(git_dir)
        marked = status.marks(self, git_dir, checkout)
        found = status.entries(self, git_dir, checkout, marked, timeout=LOOK_TIMEOUT)
        return [one.path for one in found]

    def uses_filter(self, checkout: Path, name: str) -> bool:
        """Whether a committed file of a checkout goes through the filter `name`."""
        return bool(self.run_in(checkout, "ls-files", "-z", "--", f":(attr:filter={name})"))

    def under_filter(
        self, worktree: Path, paths: Sequence[str], filters: Sequence[str]
    ) -> list[str]:
        """Those of these paths of a linked worktree that go through one of these filters."""
        if not paths:
            return []
        out = self.run(
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
            self.run(
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
        command = ["git", *safe_flags(), *where, "cat-file", "--filters", f"{commit}:{path}"]
        done = spawn(command, cwd=rules, stdout=target)
        if done.returncode:
            raise failed(done)

    def hash_file(self, checkout: Path, path: str) -> str:
        """The id that a file of the user's own checkout would have if it were added."""
        return self.run_in(checkout, "hash-object", f"--path={path}", "--", path).strip()

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
        if not untrusted.holds_anything(self.common_dir / KEYS / "keys"):
            raise Refused(
                f"git-crypt has no key in {self.common_dir / KEYS}.",
                hint="Unlock the repository first: git-crypt unlock",
            )

    def check_out(self, worktree: Path, *, download: bool = True) -> None:
        """Write the files of HEAD into a worktree that add_worktree registered. Without
        `download` a Git LFS file whose content is not here yet stays a pointer."""
        git_dir = self.worktree_dir(worktree)
        (git_dir / "index.lock").unlink(missing_ok=True)  # of a killed one
        arguments = ["-c", "checkout.workers=0", "reset", "--quiet", "--hard"]
        env = {} if download else {"GIT_LFS_SKIP_SMUDGE": "1"}
        self.run_in(worktree, *arguments, git_dir=git_dir, env=env)

    def exclude(self, patterns: list[str]) -> None:
        """Ensure that info/exclude holds these patterns, in a marked block of its own.
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

    def shield_hooks(self, worktree: Path) -> str | None:
        """With a relative core.hooksPath (husky), turn hooks off for git commands that are run in
        the worktree on this machine: a branch could bring such hooks. Returns the path then."""
        path = self.relative_hooks()
        if path is None:
            return None
        self.run("config", "extensions.worktreeConfig", "true")
        self.run_in(worktree, "config", "--worktree", "core.hooksPath", "/dev/null")
        return path

    def relative_hooks(self) -> str | None:
        """core.hooksPath where it names a folder of the work tree, else None."""
        values = self._hooks_paths()
        path = values[-1] if values else ""
        return None if not path or Path(path).is_absolute() or path.startswith("~") else path

    def _hooks_paths(self) -> list[str]:
        """What core.hooksPath is set to. The last value is what safe_flags() gives."""
        return [value for key, value in self.configuration() if key == "core.hookspath"][:-1]

    def hooks(self, checkout: Path) -> Hooks:
        """The hooks that git runs for the person in their own checkout and that no branch brings:
        executable ones that are not git-lfs's."""
        relative = self.relative_hooks()
        folder = self.common_dir / "hooks"
        if self._hooks_paths():
            asked = ("config", "-z", "--type=path", "--get-all", "core.hooksPath")
            folder = checkout / self.output(*asked).split("\0")[-3]
        if relative and self.files(checkout, [f"{relative.strip('/')}/*"]):
            return Hooks(str(folder), (), relative=True)
        names = sorted(entry.name for entry in entries(folder) if _is_hook(Path(entry)))
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
        done = self.run(*arguments, git_dir=git_dir, work_tree=worktree, check=False)
        return done.returncode == 0

    def refresh_index(self, worktree: Path) -> None:
        """See which files are as the index says; touches none of them. Given up where code inside
        has made a file so large that it would take minutes."""
        arguments = ["update-index", "-q", "--refresh", "--ignore-submodules"]
        where = self.worktree_dir(worktree)
        self.require_safe_drivers(where)
        with contextlib.suppress(GitFailed, Refused):
            self.run(
                *arguments, git_dir=where, work_tree=worktree, check=False, timeout=REFRESH_TIMEOUT
            )

    def rebuild_index(self, worktree: Path) -> None:
        """Make the index again from HEAD; the files stay as they are."""
        self.run_in(worktree, "reset", "--quiet", "--mixed", git_dir=self.worktree_dir(worktree))


def _is_hook(path: Path) -> bool:
    if "." in path.name or not (path.is_file() and os.access(path, os.X_OK)):
        return False
    return b"git lfs " not in path.read_bytes()


def _content(worktree: Path, path: str) -> bytes:
    """What a file of the person's holds; a relative path leads into the worktree, as for git."""
    if path.startswith("/"):
        return Path(path).read_bytes() if Path(path).is_file() else b""
    return (path and untrusted.reader(worktree)(path)) or b""
