"""What a branch changed, and what lies uncommitted in its worktree, as git says it.

No diff driver, text conversion or filter runs: a branch could steer them. What git prints is
bounded, and what it says of names and texts is a stranger's: each face escapes it.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from runner.adapters.files import untrusted
from runner.adapters.git import status
from runner.adapters.git.process import safe_flags, spawn
from runner.adapters.git.repository import Git
from runner.domain.errors import GitFailed
from runner.domain.landing.changes import Change, Commit, Kind, Text, UncommittedFile
from runner.domain.text import with_words

DIFF_BOUND = 4 * 2**20  # bytes of diff text; no one reads more

BIG_FILE = 2**20  # bytes; a larger file is shown as a binary one, so that it hides no other

TEXT_BOUND = 2**20  # bytes of a file that is read to decide about it

COMMITS = 1000  # commits that are listed

ODD_PATHS = 500  # paths that one command line can leave out

TIMEOUT = 120  # seconds

_KINDS: Mapping[str, Kind] = {
    "A": "added", "D": "deleted", "M": "modified", "R": "renamed", "T": "type", "?": "untracked",
}  # fmt: skip

_SHAPE = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short", "--full-index")

_BIG = ("-c", f"core.bigFileThreshold={BIG_FILE}")

_FIELDS = "%H%x00%an%x00%ae%x00%aI%x00%s%x00%b"

# "$1" bytes of the output of "$@", with its own exit code (141 where it had more to say).
_CUT = """
bytes=$1; shift; exec 3>&1
code=$( { { "$@" 3>&- 4>&-; echo $? >&4; } | head -c "$bytes" >&3; } 4>&1 )
exit "$code"
"""

_SIGPIPE = 141


def empty_tree(git: Git) -> str:
    """What to compare with where there is no merge base."""
    return git.run("hash-object", "-t", "tree", "--stdin", stdin=b"").stdout.decode().strip()


def commits(git: Git, base: str, head: str, limit: int = COMMITS) -> list[Commit]:
    """The commits of `head` that `base` lacks, the newest first, at most `limit`."""
    shape = [f"--format={_FIELDS}", "--encoding=UTF-8", "--no-show-signature", "--no-notes"]
    arguments = ["-z", f"--max-count={limit}", "--no-patch", "--no-color", *shape]
    out = git.run("log", *arguments, f"{base}..{head}", "--").stdout
    fields = [part.decode(errors="replace") for part in out.split(b"\0")]
    groups = [fields[at : at + 6] for at in range(0, len(fields) - 5, 6)]
    return [Commit(i, who, mail, date, line, b.strip()) for i, who, mail, date, line, b in groups]


def changes(git: Git, old: str, new: str) -> list[Change]:
    """What differs between two trees, submodules too (nothing looks into them)."""
    shape = ["-r", "-z", "-M", "--raw", "--numstat", "--ignore-submodules=none", *_SHAPE]
    done = git.run("diff-tree", *shape, old, new, before=[*_BIG], timeout=TIMEOUT)
    entries = iter(os.fsdecode(done.stdout).split("\0"))
    found: dict[str, Change] = {}
    for entry in entries:
        if entry.startswith(":"):
            mode_before, mode, before, after, kind = entry[1:].split(" ")
            first = next(entries)
            path = next(entries) if kind[0] in "RC" else first
            found[path] = Change(
                path, _KINDS.get(kind[0], "other"), first if path != first else None, None, None,
                mode, before if mode_before.strip("0") else None,
                after if mode.strip("0") else None,
            )  # fmt: skip
        elif entry:
            added, deleted, path = _counts(entry, entries)
            found[path] = replace(found[path], added=added, deleted=deleted)
    return list(found.values())


def patch(git: Git, old: str, new: str) -> Text:
    """The diff between two trees, at most DIFF_BOUND of it."""
    shape = ["-r", "-p", "-M", "--ignore-submodules=none", *_SHAPE]
    return _bounded(git, [*_BIG], ["diff-tree", *shape, old, new])


def uncommitted_files(git: Git, worktree: Path) -> list[UncommittedFile]:
    """What is uncommitted in a linked worktree: tracked changes and untracked files that are not
    ignored. Raises Refused where its .git file is not genuine."""
    git.require_safe_drivers()
    git_dir = git.worktree_dir(worktree)
    marked = status.marks(git, git_dir, worktree)
    plain = _no_filters(git)
    entries = status.entries(git, git_dir, worktree, marked, before=plain, timeout=TIMEOUT)
    found = [_uncommitted_file(worktree, entry) for entry in entries]
    filled = [link for link in marked.links if untrusted.holds_anything(worktree / link, worktree)]
    found += [_seen(worktree, UncommittedFile(path, "other", None)) for path in filled]
    odd = [one for one in found if one.kind != "untracked" and not _is_readable(one)]
    if len(odd) > ODD_PATHS or all(one.kind == "untracked" for one in found):
        return found
    counts = _uncommitted_counts(git, worktree, odd)
    return [
        replace(one, added=counts[one.path][0], deleted=counts[one.path][1])
        if one.path in counts
        else one
        for one in found
    ]


def uncommitted_patch(git: Git, worktree: Path, found: list[UncommittedFile]) -> Text:
    """The diff of the tracked changes among what uncommitted_files() found; large files and what is
    no file are left out."""
    tracked = [one for one in found if one.kind != "untracked"]
    odd = [one for one in tracked if not _is_readable(one)]
    if len(odd) == len(tracked) or len(odd) > ODD_PATHS:
        return Text("", cut=bool(tracked) and len(odd) > ODD_PATHS)
    git_dir = git.worktree_dir(worktree)
    before = [*_BIG, *_no_filters(git), f"--git-dir={git_dir}", f"--work-tree={worktree}"]
    with status.unmarked(git, git_dir, worktree, status.marks(git, git_dir, worktree)) as env:
        return _bounded(git, before, _diff_of_files("-p", odd), cwd=worktree, env=env)


def texts(git: Git, blobs: list[str]) -> dict[str, str | None]:
    """The texts of these blobs by id; None for one over TEXT_BOUND or that is not UTF-8."""
    if not blobs:
        return {}
    asked = "".join(f"{blob}\n" for blob in dict.fromkeys(blobs)).encode()
    sizes = git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked).stdout
    pairs = (line.split(" ") for line in sizes.decode().splitlines())
    small = [blob for blob, size in pairs if size.isdigit() and int(size) <= TEXT_BOUND]
    contents = git.contents(small)
    return dict.fromkeys(blobs) | {blob: _utf8(data) for blob, data in contents.items()}


def uncommitted_text(worktree: Path, one: UncommittedFile) -> str | None:
    """The text of an uncommitted path as it is now: '' for none, a link's target, or None for
    what cannot be read."""
    kind = untrusted.kind(worktree, one.path)
    if kind == "file":
        data = untrusted.read(worktree / one.path, TEXT_BOUND + 1, below=worktree)
        return _utf8(data) if data is not None and len(data) <= TEXT_BOUND else None
    if kind == "symlink" and one.mode == "120000":
        return untrusted.link(worktree / one.path, worktree)
    return "" if kind == "absent" else None


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _counts(entry: str, rest: Iterator[str]) -> tuple[int | None, int | None, str]:
    """(added, deleted, path) of an entry of --numstat -z; a renaming takes two more of `rest`."""
    added, deleted, path = entry.split("\t", 2)
    if not path:
        next(rest)
        path = next(rest)
    return (
        int(added) if added.isdigit() else None,
        int(deleted) if deleted.isdigit() else None,
        path,
    )


def _uncommitted_file(worktree: Path, entry: status.Entry) -> UncommittedFile:
    if entry.untracked:
        return _seen(worktree, UncommittedFile(entry.path, "untracked", None))
    kind = _KINDS.get(entry.unstaged if entry.unstaged != "." else entry.staged, "other")
    if entry.staged == "A" and kind == "modified":
        kind = "added"
    old = entry.id if entry.mode.strip("0") else None
    return _seen(worktree, UncommittedFile(entry.path, kind, None, old=old))


def _seen(worktree: Path, one: UncommittedFile) -> UncommittedFile:
    """With the size and mode of what lies there."""
    found = untrusted.look(worktree / one.path, worktree)
    if found is None:
        return one
    kinds = {stat.S_IFREG: "100644", stat.S_IFLNK: "120000", stat.S_IFDIR: "040000"}
    return replace(one, size=found.st_size, mode=kinds.get(stat.S_IFMT(found.st_mode), "other"))


def _is_readable(one: UncommittedFile) -> bool:
    """Whether git can compare it: not a FIFO, not a sparse file of a terabyte."""
    if one.mode in ("100644", "120000"):
        return one.size is None or one.size <= BIG_FILE
    return one.mode == "000000"


def _uncommitted_counts(
    git: Git, worktree: Path, odd: list[UncommittedFile]
) -> dict[str, tuple[int | None, int | None]]:
    out = git.run(
        *_diff_of_files("--numstat", odd, "-z"), before=[*_BIG, *_no_filters(git)],
        git_dir=git.worktree_dir(worktree), work_tree=worktree, timeout=TIMEOUT,
    ).stdout  # fmt: skip
    entries = iter(os.fsdecode(out).split("\0"))
    found = (_counts(entry, entries) for entry in entries if entry)
    return {path: (added, deleted) for added, deleted, path in found}


def _diff_of_files(form: str, odd: list[UncommittedFile], *more: str) -> list[str]:
    shape = ["--no-renames", "--no-relative", "--src-prefix=a/", "--dst-prefix=b/", *_SHAPE]
    omitted = [f":(top,exclude,literal){one.path}" for one in odd]
    return [
        *("diff", form, *more, *shape, "--ignore-submodules=all", "HEAD", "--", ":(top)"),
        *omitted,
    ]


def _no_filters(git: Git) -> list[str]:
    """Options that turn every configured filter off: the branch's .gitattributes would decide
    which of them reads its files."""
    pattern = r"^filter\..*\.(clean|smudge|process|required)$"
    out = git.run("config", "-z", "--name-only", "--get-regexp", pattern, check=False).stdout
    names = {key.rpartition(".")[0] for key in os.fsdecode(out).split("\0") if key}
    off = [
        f"{name}.{key}"
        for name in sorted(names)
        for key in ("clean=", "smudge=", "process=", "required=false")
    ]
    return [part for setting in off for part in ("-c", setting)]


def _bounded(
    git: Git,
    before: list[str],
    arguments: list[str],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> Text:
    """At most DIFF_BOUND of what a command prints, up to the end of a line."""
    where = [] if cwd else [f"--git-dir={git.common_dir}"]
    cut = ["sh", "-c", _CUT, "sh", str(DIFF_BOUND + 1)]
    command = [*cut, "git", *safe_flags(), *before, *where, *arguments]
    done = spawn(command, cwd=cwd or git.common_dir, timeout=TIMEOUT, env=env)
    if len(done.stdout) > DIFF_BOUND:
        whole = done.stdout[: done.stdout.rfind(b"\n") + 1]
        return Text(whole.decode(errors="replace"), cut=True)
    if done.returncode not in (0, _SIGPIPE):
        said = done.stderr.decode(errors="replace").strip()
        raise GitFailed(
            with_words(f"git {arguments[0]} failed (exit code {done.returncode})", said)
        )
    return Text(done.stdout.decode(errors="replace"))
