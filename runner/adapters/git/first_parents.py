"""The line of a branch's own commits: every first parent of its head. What a merge brought in lies
beside it; nothing has reviewed or tested that by itself."""

from collections.abc import Mapping, Sequence

from runner.adapters.git.repository import Git

CHANGES = 50  # of the same files' content, there and back
AGE = 200  # commits that a branch may have moved on


def before_changes(git: Git, head: str, files: Mapping[str, bytes]) -> list[str]:
    """The commits of the line, the newest first, behind which one of these files lost the content
    that is given: where the line last had all of them, if its head has not, is one of these."""
    found = (git.run("hash-object", "--stdin", stdin=data) for data in files.values())
    lost = [f"--find-object={done.stdout.decode().strip()}" for done in found]
    shown = ["--first-parent", "-m", "--format=%P", f"--max-count={CHANGES}"]
    paths = [f":(top,literal){path}" for path in files]
    out = git.run("log", *shown, *lost, head, "--", *paths).stdout.decode()
    return [line.split()[0] for line in out.split("\n") if line]


def is_newest_of(git: Git, commit: str, head: str, patterns: Sequence[str]) -> bool:
    """Whether a commit is of the line of `head`, and no newer one of it has the same content in
    the files that `patterns` (globs) match; without any, in all files."""
    arguments = ["--first-parent", f"--max-count={AGE + 1}", head, f"^{commit}"]
    newer = git.run("rev-list", *arguments).stdout.decode().split()
    if len(newer) > AGE or (newer and git.commit(f"{newer[-1]}^1") != commit):
        return False
    if not newer:
        return commit == head
    # A commit with another one behind it is shown as if that were its parent; without a difference
    # it is not shown. What differs at the top, where all files count, is enough.
    shape = ["-r"] if patterns else []
    asked = "".join(f"{one} {commit}\n" for one in newer).encode()
    globs = [f":(top,glob){pattern}" for pattern in patterns]
    out = git.run("diff-tree", "--stdin", "--raw", *shape, "--", *globs, stdin=asked).stdout
    return set(newer) <= set(out.decode(errors="replace").split("\n"))
