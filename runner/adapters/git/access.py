"""A repository that git is run on: every call names its git directory."""

import contextlib
import os
import re
import subprocess
from pathlib import Path
from typing import BinaryIO

from runner.adapters.failpoints import step
from runner.adapters.files import untrusted
from runner.adapters.git.process import (
    CHANGING,
    FRUGAL,
    LOOK_CPU,
    LOOKING,
    TIMEOUT,
    Bounds,
    failed,
    quoted_path,
    safe_flags,
    spawn,
)
from runner.adapters.git.ref_files import Odd, RefFiles
from runner.domain.errors import Refused
from runner.domain.frozen import dataclass
from runner.domain.git.drivers import is_steady, program_of
from runner.domain.text import printable

# By these a worktree's configuration can be another than the repository's.
_ELSEWHERE = r"includeif\..*\.path$|extensions\.worktreeconfig$"
_OF_WORKTREE = "config.worktree"
_DRIVERS = (
    rf"^({_ELSEWHERE}|filter\..*\.(clean|smudge|process)|diff\..*\.(command|textconv)|diff\.external"
    r"|merge\..*\.driver|lfs\.extension\..*\.(clean|smudge)|lfs\.customtransfer\..*\.path)$"
)


@dataclass(frozen=True)
class Worktree:
    """A worktree of a repository: on `branch`, a short name, or at the commit `detached`."""

    path: Path
    branch: str | None
    detached: str | None
    bare: bool = False


@dataclass(frozen=True)
class Marked:
    """Paths of an index. `skipped`: marked skip-worktree; `assumed`: marked assume-unchanged;
    `links`: submodules."""

    skipped: tuple[str, ...]
    assumed: tuple[str, ...]
    links: tuple[str, ...]


class Access:
    """The repository with this common git directory. Methods raise GitFailed unless said."""

    def __init__(self, common_dir: Path, checkout: Path | None = None) -> None:
        self.common_dir = common_dir
        self.checkout = checkout or common_dir
        self._safe_for: set[Path] = set()  # git directories whose drivers no branch steers
        self._differs = False  # whether worktrees can have configuration of their own
        self.marks: dict[Path, tuple[object, Marked]] = {}
        self.last_index: tuple[object, str] = (None, "")  # what the last index holds that was read
        self._configurations: dict[Path, tuple[object, list[tuple[str, str]]]] = {}
        self._ref_files = RefFiles(common_dir)
        self.look_cpu = LOOK_CPU

    def worktrees(self) -> list[Worktree]:
        """The main worktree (or the bare repository) first, then the linked ones.

        Read where git keeps them (gitrepository-layout: HEAD, worktrees/<id>/gitdir and HEAD):
        a verb asks this often, and a process for each time takes longer than all else it does.
        """
        is_bare = self.settings().get("core.bare") == "true"
        top = self.common_dir.parent if self.common_dir.name == ".git" else self.common_dir
        linked = (_linked_worktree(file.parent) for file in sorted(self._linked.glob("*/gitdir")))
        main = Worktree(top, *head_in(self.common_dir), bare=is_bare)
        return [main, *(found for found in linked if found)]

    def configuration(self, git_dir: Path | None = None) -> list[tuple[str, str]]:
        """Every key and value as they count in a git directory, by default the repository's own:
        keys in lower case except their middle; a key without a value is true.

        Kept until one of git's own files changes; read each time where it includes others.
        """
        where = git_dir or self.common_dir
        if where != self.common_dir and not self._differs_elsewhere():
            where = self.common_dir
        stamp = _stamp_of([*_personal_files(), self.common_dir / "config", where / _OF_WORKTREE])
        known = self._configurations.get(where)
        if known and known[0] == stamp:
            return known[1]
        out = os.fsdecode(self.run("config", "-z", "--list", git_dir=where).stdout)
        parts = (entry.partition("\n") for entry in out.split("\0") if entry)
        pairs = [(key, value if between else "true") for key, between, value in parts]
        if not any(key.startswith(("include.", "includeif.")) for key, _ in pairs):
            self._configurations[where] = (stamp, pairs)
        return pairs

    def _differs_elsewhere(self) -> bool:
        """Whether a linked worktree can have configuration of its own."""
        return any(re.match(_ELSEWHERE, key) for key, _ in self.configuration())

    def settings(self, worktree: Path | None = None) -> dict[str, str]:
        """The same as it counts in a linked worktree, or in the repository: the last value of each
        key."""
        return dict(self.configuration(self.worktree_dir(worktree) if worktree else None))

    def refs(self, *prefixes: str) -> dict[str, str]:
        """The ids of all refs with these full names or below them, by full name."""
        try:
            return self._ref_files.below(*prefixes)
        except Odd:
            shape = "--format=%(objectname) %(refname)"
            out = self.output("for-each-ref", shape, "--", *prefixes)
        # Not splitlines(): a name may hold what Unicode, but not git, takes for the end of a line.
        found = (line.partition(" ") for line in out.split("\n") if line)
        return {name: commit for commit, _, name in found}

    def ref(self, name: str) -> str | None:
        """The id of the ref with this full name, or None."""
        return self.refs(name).get(name)

    def ref_behind(self, name: str) -> str | None:
        """The full name of the ref that a symbolic one leads to; None for any other, and for one
        that leads nowhere."""
        if self.ref(name) is None:
            return None
        try:
            return self._ref_files.link(name)
        except Odd:
            done = self.run("symbolic-ref", "--quiet", name, check=False)
            return os.fsdecode(done.stdout).rstrip("\n") or None

    def ask(
        self, *arguments: str, timeout: float, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """A command that talks to a remote. It runs where the person would run it: a relative
        address is one from the top of the checkout."""
        return self.run(*arguments, timeout=timeout, check=check, cwd=self.checkout)

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
            self.run("update-ref", "--stdin", "-z", stdin=os.fsencode("".join(lines)))

    def branch_in(self, worktree: Path) -> str | None:
        """The branch that a linked worktree is on, or None. Raises Refused for what is none."""
        head = (self.worktree_dir(worktree) / "HEAD").read_text().strip()
        return head.removeprefix("ref: refs/heads/") if head.startswith("ref: ") else None

    def head_of(self, worktree: Path) -> str:
        """The commit that a linked worktree is on. Raises GitFailed where there is none yet."""
        where = self.worktree_dir(worktree)
        branch, detached = head_in(where)
        commit = self.ref(f"refs/heads/{branch}") or detached
        if commit is None:  # where HEAD is odd, or its branch: git says what it means
            out = self.run("rev-parse", "--verify", "HEAD", git_dir=where).stdout
            commit = os.fsdecode(out).strip()
        return commit

    def worktree_dir(self, worktree: Path) -> Path:
        """The git directory of a linked worktree, after a look that its .git file is genuine.

        Raises Refused where it is not what git wrote: something tampered with it.
        """
        text = os.fsdecode(untrusted.read(worktree / ".git", 4096) or b"")
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

    def worktree_entries(self, path: Path) -> list[Path]:
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
        for key, command in self.configuration(where):
            if not re.match(_DRIVERS, key):
                continue
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
            own["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = quoted_path(self.common_dir / "objects")
        limits = f"ulimit -c 0; ulimit -t {bounds.cpu}; ulimit -v {bounds.memory // 1024}; "
        limits += f"ulimit -f {bounds.file // 512 + 1}"
        bounded = ["sh", "-c", f'{limits}; exec "$@"', "git", "git", *safe_flags(), *FRUGAL]
        done = spawn(
            [*bounded, f"--git-dir={self.common_dir}", *arguments],
            cwd=self.common_dir,
            stdin=stdin,
            stdout=stdout,
            env=own,
            timeout=timeout,
        )
        step(f"git {arguments[0]}")
        return done

    def run_in(
        self,
        checkout: Path,
        *arguments: str,
        git_dir: Path | None = None,
        timeout: float = TIMEOUT,
        env: dict[str, str] | None = None,
    ) -> str:
        """The output of a command about the files of a checkout, main or linked."""
        where = git_dir or self.git_dir(checkout)
        self.require_safe_drivers(where)
        done = self.run(*arguments, git_dir=where, work_tree=checkout, timeout=timeout, env=env)
        return os.fsdecode(done.stdout)

    def git_dir(self, checkout: Path) -> Path:
        """The git directory of the user's own checkout, which no container can write."""
        text = os.fsdecode(untrusted.read(checkout / ".git", 4096) or b"")
        named = Path(text.removeprefix("gitdir: ").removesuffix("\n"))
        # A main checkout has a folder there, or a file when made with --separate-git-dir.
        if not text or named.resolve() == self.common_dir:
            return self.common_dir
        return self.worktree_dir(checkout)

    def output(self, *arguments: str, before: list[str] | None = None) -> str:
        return os.fsdecode(self.run(*arguments, before=before).stdout)

    def run(
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
        done = spawn(
            ["git", *safe_flags(), *(before or ()), *where, *arguments],
            cwd=cwd or work_tree or self.common_dir,
            stdin=stdin,
            timeout=timeout,
            env=env,
            looks_at=work_tree if LOOKING.intersection(arguments[:3]) else None,
            cpu=self.look_cpu,
        )
        if arguments[0] in CHANGING:
            step(f"git {arguments[0]}")
        if check and done.returncode:
            raise failed(done)
        return done


def entries(folder: Path) -> "list[os.DirEntry[str]]":
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        return list(found)
    return []


def _leads_back(git_dir: Path, worktree: Path) -> bool:
    """Whether a linked git directory belongs to this worktree, and not to a sibling."""
    text = os.fsdecode(untrusted.read(git_dir / "gitdir", 4096) or b"")
    back = git_dir / text.removesuffix("\n")
    return back.name == ".git" and back.parent.resolve() == worktree.resolve()


def head_in(git_dir: Path) -> tuple[str | None, str | None]:
    """(branch, commit where there is none), as HEAD of a git directory says."""
    try:
        head = (git_dir / "HEAD").read_text(errors="surrogateescape").strip()
    except OSError:
        return None, None
    if head.startswith("ref: "):
        return head.removeprefix("ref: ").removeprefix("refs/heads/"), None
    return None, head or None


def _linked_worktree(entry: Path) -> Worktree | None:
    """The worktree of a folder below worktrees/; None for one that git is about to remove."""
    try:
        named = (entry / "gitdir").read_bytes().rstrip(b"\n")
    except OSError:
        return None
    path = Path(os.path.normpath(entry / os.fsdecode(named)))
    return Worktree(path.parent if path.name == ".git" else path, *head_in(entry))


def _personal_files() -> list[Path]:
    """Where git finds configuration beside the repository's own."""
    home = os.environ.get("HOME", "")
    more = os.environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = [os.environ.get(name, "") for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")]
    files = [f"{home}/.gitconfig", f"{more}/git/config", "/etc/gitconfig", *filter(None, named)]
    return [Path(file) for file in files]


def _stamp_of(files: list[Path]) -> object:
    """What tells whether a file was written since."""
    found = []
    for file in files:
        with contextlib.suppress(OSError):
            seen = file.stat()
            found.append((str(file), seen.st_ino, seen.st_mtime_ns, seen.st_size))
    return found
