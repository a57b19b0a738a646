"""Git LFS: a commit holds a pointer, and the file itself goes to the remote beside it.

treedock pushes without hooks, so it does what Git LFS's pre-push hook would do.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from runner.adapters.git.process import spawn
from runner.adapters.git.repository import Git
from runner.domain.errors import Refused
from runner.domain.text import listed, with_words

TIMEOUT = 3600.0  # seconds; these are the large files
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:[\w.-]+ [^\n]*\n)*?"
    rb"oid sha256:([0-9a-f]{64})\n"
)
_LARGEST = 1024  # bytes of a pointer, as Git LFS has it
_SMALLEST = 100
_AT_ONCE = 500  # ids on one command line


def pointers(git: Git, commit: str, remote: str) -> list[str]:
    """The ids of the LFS files in the history of `commit` that no branch of the remote has."""
    if not _is_used(git, commit):
        return []
    listed = git.run("rev-list", "--objects", commit, "--not", f"--remotes={remote}").stdout
    ids = [line.partition(b" ")[0] for line in listed.splitlines()]
    shape = "--batch-check=%(objectname) %(objecttype) %(objectsize)"
    sizes = git.run("cat-file", shape, stdin=b"".join(id_ + b"\n" for id_ in ids)).stdout
    fields = (line.split(b" ") for line in sizes.splitlines())
    small = [
        name
        for name, kind, size in fields
        if kind == b"blob" and _SMALLEST <= int(size) <= _LARGEST
    ]
    if not small:
        return []
    texts = git.run("cat-file", "--batch", stdin=b"".join(id_ + b"\n" for id_ in small)).stdout
    found = [match[1].decode() for match in _POINTER.finditer(texts)]
    return list(dict.fromkeys(found))


def require_here(git: Git, remote: str, commit: str) -> list[str]:
    """The ids of what pointers() gives, each of which is here then. Raises Refused where one is
    neither here nor at the remote, and where there is no git-lfs."""
    wanted = pointers(git, commit, remote)
    if not wanted:
        return []
    program = _program(commit)
    folder = _media(git, program)
    if any(not _is_in(folder, id_) for id_ in wanted):
        _run(git, [program, "fetch", remote, commit])  # it may be there already
    missing = [id_ for id_ in wanted if not _is_in(folder, id_)]
    if missing:
        raise Refused(
            f"{commit[:10]} holds pointers to files of Git LFS that are neither here nor at "
            f"{remote}: {listed([id_[:10] for id_ in missing])}.",
            hint="Commit the file itself on the host, in trees/ID, where git-lfs takes it.",
        )
    return wanted


def push(git: Git, remote: str, commit: str) -> None:
    """Bring the LFS files of `commit` to the remote that it lacks. Raises Refused where one is
    not here, or the remote does not take it: every fresh clone would fail."""
    wanted = require_here(git, remote, commit)
    for at in range(0, len(wanted), _AT_ONCE):
        command = [_program(commit), "push", "--object-id", remote, *wanted[at : at + _AT_ONCE]]
        done = _run(git, command)
        if done.returncode:
            said = done.stderr.decode(errors="replace")
            raise Refused(
                with_words(f"{remote} did not take the files of Git LFS in {commit[:10]}", said),
                hint="Nothing was pushed. Let git-lfs say more: "
                f"GIT_TRACE=1 git lfs push --object-id {remote} {wanted[at]}",
            )


def _program(commit: str) -> str:
    found = shutil.which("git-lfs")
    if found is None:
        raise Refused(
            f"{commit[:10]} holds files of Git LFS, and there is no git-lfs here to push them.",
            hint="Install it (apt-get install git-lfs), then run the same command again.",
        )
    return os.path.realpath(found)


def _is_used(git: Git, commit: str) -> bool:
    """Whether the attributes of a commit, or those of this machine, give files to Git LFS."""
    files = [":(glob)**/.gitattributes"]
    done = git.run("grep", "-q", "filter=lfs", commit, "--", *files, check=False)
    own = git.common_dir / "info/attributes"
    return done.returncode == 0 or (own.exists() and b"filter=lfs" in own.read_bytes())


def _media(git: Git, program: str) -> Path:
    """Where git-lfs keeps files here."""
    said = _run(git, [program, "env"]).stdout.decode(errors="surrogateescape")
    key = "LocalMediaDir="
    named = (line.removeprefix(key) for line in said.splitlines() if line.startswith(key))
    return Path(next(named, git.common_dir / "lfs/objects"))


def _is_in(folder: Path, id_: str) -> bool:
    return (folder / id_[:2] / id_[2:4] / id_).exists()


def _run(git: Git, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    """git-lfs in the user's own checkout, whose .lfsconfig counts."""
    main = git.worktrees()[0]
    place = {"GIT_DIR": str(git.common_dir)}
    if not main.bare:
        place["GIT_WORK_TREE"] = str(main.path)
    return spawn(command, cwd=main.path, env=place, timeout=TIMEOUT)
