"""What is uncommitted in a checkout, whatever git was told not to see there.

An index can mark files to be passed over (`update-index --skip-worktree`, `--assume-unchanged`),
and a configuration can let git trust an older look at the folders.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from runner.adapters.files import untrusted
from runner.adapters.git.access import Access, Marked
from runner.domain.errors import unavailable
from runner.domain.frozen import dataclass

# The defaults of settings that keep git from looking, and none that write elsewhere.
_LOOK = (
    "core.ignoreStat=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.untrackedCache=false",
    "core.splitIndex=false",
    "sparse.expectFilesOutsideOfPatterns=false",
)
_CASES = "core.ignoreCase=false"  # `true` hides README beside readme, where both can be
# '1 XY sub mH mI mW hH hI path', 'u XY sub m1 m2 m3 mW h1 h2 h3 path', '? path'
_FIELDS = {"1": 8, "u": 10, "?": 1}
_GITLINK = "160000"
INDEX = 2**28  # bytes of an index that is read; one of 500,000 files has 50 MB


@dataclass(frozen=True)
class Entry:
    """A path that differs from HEAD. `staged` and `unstaged` are git's letters for how ('M', 'A',
    'D', 'T'; '.' for not at all; '?' for an untracked one); `mode` and `id` are HEAD's, where that
    has it and it is not `unmerged`."""

    path: str
    staged: str
    unstaged: str
    unmerged: bool = False
    mode: str = "000000"
    id: str = ""

    @property
    def untracked(self) -> bool:
        return self.staged == "?"


def entries(
    git: Access,
    git_dir: Path,
    checkout: Path,
    marked: Marked,
    *,
    before: Sequence[str] = (),
    timeout: float,
) -> list[Entry]:
    """What is uncommitted in a checkout, each untracked file of its own, without submodules.
    `marked` is what marks() gives; `before`: more options for git."""
    with unmarked(git, git_dir, checkout, marked) as env:
        out = git.run(
            "status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames",
            "--ignore-submodules=all", before=[*_options(git), *before], timeout=timeout,
            git_dir=git_dir, work_tree=checkout, env=env,
        ).stdout  # fmt: skip
    return [_entry_of(line) for line in os.fsdecode(out).split("\0") if line[:1] in _FIELDS]


def _entry_of(line: str) -> Entry:
    """A line of `git status --porcelain=v2 -z`."""
    fields = line.split(" ", _FIELDS[line[0]])
    if line[0] == "?":
        return Entry(fields[-1], "?", "?")
    staged, unstaged = fields[1][0], fields[1][1]
    if line[0] == "u":
        return Entry(fields[-1], staged, unstaged, unmerged=True)
    return Entry(fields[-1], staged, unstaged, mode=fields[3], id=fields[6])


def marks(git: Access, git_dir: Path, checkout: Path) -> Marked:
    """What the index of a checkout says beside the content of files. Kept until it is written."""
    stamp = _stamp(git_dir)
    if stamp is None:
        return _read_marks(git, git_dir, checkout)
    known = git.marks.get(git_dir)
    if known is None or known[0] != stamp:
        known = git.marks[git_dir] = (stamp, _read_marks(git, git_dir, checkout))
    return known[1]


def _read_marks(git: Access, git_dir: Path, checkout: Path) -> Marked:
    skipped, assumed, links = list[str](), list[str](), list[str]()
    # 'H 100644 id 0\tpath': S for skip-worktree, small letters for assume-unchanged
    for entry in _own_index(git, git_dir, checkout).split("\0"):
        if entry[:1] in ("S", "s"):
            skipped.append(entry.partition("\t")[2])
        if entry[:1].islower():
            assumed.append(entry.partition("\t")[2])
        if entry[2:8] == _GITLINK:
            links.append(entry.partition("\t")[2])
    return Marked(tuple(skipped), tuple(assumed), tuple(links))


def index_differs(git: Access, git_dir: Path, checkout: Path, other: Path) -> list[str]:
    """Paths that the index in the file `other` has otherwise than that of a checkout."""
    own = set(_own_index(git, git_dir, checkout).split("\0"))
    with tempfile.TemporaryDirectory(prefix="treedock-index-") as folder:
        copy = Path(folder) / "index"
        copy.write_bytes(untrusted.read(other, INDEX) or b"")
        env = {"GIT_INDEX_FILE": str(copy)}
        entries = own ^ set(_listed(git, git_dir, checkout, env).split("\0"))
    return sorted({entry.partition("\t")[2] for entry in entries})


def _own_index(git: Access, git_dir: Path, checkout: Path) -> str:
    """The entries of the index of a checkout. Those of one are kept until it is written: an index
    of 50,000 files has 5 MB."""
    stamp = _stamp(git_dir)
    kept, text = git.last_index
    if stamp is None or kept != stamp:
        text = _listed(git, git_dir, checkout, {})
        git.last_index = (stamp, text)
    return text


def known_paths(git: Access, git_dir: Path) -> set[str] | None:
    """The paths in the index of a checkout, where that was read last and not written since."""
    stamp, text = git.last_index
    if stamp is None or stamp != _stamp(git_dir):
        return None
    return {entry.partition("\t")[2] for entry in text.split("\0")}


def _stamp(git_dir: Path) -> object:
    """What tells whether the index in a git directory was written since; None without one."""
    try:
        seen = (git_dir / "index").stat()
    except OSError:
        return None
    return (git_dir, seen.st_ino, seen.st_mtime_ns, seen.st_size)


def _listed(git: Access, git_dir: Path, checkout: Path, env: dict[str, str]) -> str:
    arguments = ["ls-files", "-s", "-v", "-z"]
    done = git.run(*arguments, git_dir=git_dir, work_tree=checkout, env=env)
    return os.fsdecode(done.stdout)


@contextlib.contextmanager
def unmarked(
    git: Access, git_dir: Path, checkout: Path, marked: Marked
) -> Iterator[dict[str, str]]:
    """The environment in which git reads an index without the marks of files that may differ. A
    file that is absent under skip-worktree is left out by a sparse checkout."""
    skipped = [path for path in marked.skipped if _is_there(checkout, path)]
    absent = set(marked.skipped) - set(skipped)
    assumed = [path for path in marked.assumed if path not in absent]
    if not skipped and not assumed:
        yield {}
        return
    try:
        with tempfile.TemporaryDirectory(prefix="treedock-index-") as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            shutil.copy2(git_dir / "index", env["GIT_INDEX_FILE"])
            for option, paths in (
                ("--no-skip-worktree", skipped),
                ("--no-assume-unchanged", assumed),
            ):
                if paths:
                    git.run(
                        *("update-index", option, "-z", "--stdin"), before=_options(git), env=env,
                        stdin=b"".join(os.fsencode(path) + b"\0" for path in paths),
                        git_dir=git_dir, work_tree=checkout,
                    )  # fmt: skip
            yield env
    except OSError as error:
        raise unavailable(error) from error


def _options(git: Access) -> list[str]:
    look = [*_LOOK, *([] if (git.common_dir / "head").exists() else [_CASES])]
    return [part for setting in look for part in ("-c", setting)]


def _is_there(checkout: Path, path: str) -> bool:
    above = str(Path(path).parent)
    return (above == "." or untrusted.kind(checkout, above) == "folder") and os.path.lexists(
        checkout / path
    )
