"""The way into a git directory that was kept because its commits could not be brought out.

Code inside wrote it, so git should not be run there. Beside it lies a repository of treedock's
own making that knows its commits and borrows its objects, and nothing else of it.
"""

import contextlib
from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.adapters.git import quarantine
from runner.adapters.git.private import OwnGit, make_bare
from runner.adapters.git.repository import Git
from runner.controller.instance.private_git import own_git
from runner.controller.operation import Operation
from runner.domain.errors import RunnerError
from runner.domain.text import shell_word

FOLDER = "inside.git"
EXAMINED = 200  # refs
PATIENCE = 10.0  # seconds for a look; a FIFO among the objects holds git up without an end
_LIMIT = 2**30  # bytes of memory for a look at a stranger's objects


def make_readable(operation: Operation, new: Path, archive: Path) -> list[str]:
    """Make that repository in `new`, which is going to be `archive`, beside its folder `git`.
    Returns the command that fetches the commits as branches; none where nothing is whole."""
    own, name = own_git(operation), archive.name
    with contextlib.suppress(RunnerError, OSError):  # what was kept is kept all the same
        refs = _whole(operation.git, own)
        if refs:
            made, sha256 = new / FOLDER, len(next(iter(refs.values()))) == 64
            make_bare(made, "main", sha256=sha256)
            borrowed = f"{archive / 'git/objects'}\n{operation.repository.common_dir / 'objects'}\n"
            disk.write_atomically(made / "objects/info/alternates", borrowed.encode())
            lines = "".join(f"{id_} refs/heads/{ref}\n" for ref, id_ in sorted(refs.items()))
            disk.write_atomically(made / "packed-refs", lines.encode())
            place = shell_word(str(archive / FOLDER))
            return [f"git fetch --no-tags {place} '+refs/heads/*:refs/heads/{name}/*'"]
    return []


def _whole(git: Git, own: OwnGit) -> dict[str, str]:
    """The commits that it claims, by a name for a branch, as far as their history is there."""
    objects = own.folder / "objects"
    if untrusted.kind(own.folder, "objects") != "folder":
        return {}
    claims = {
        ref.removeprefix("refs/").removeprefix("heads/"): id_
        for ref, id_ in own.claims().items()
        if not ref.startswith("refs/remotes/")
    }
    asked = sorted(claims.items())[:EXAMINED]
    return {ref: id_ for ref, id_ in asked if _is_whole(git, objects, id_)}


def _is_whole(git: Git, objects: Path, commit: str) -> bool:
    bounds = quarantine.bounds_of(_LIMIT)
    kind = git.run_limited(
        "cat-file", "-t", commit, objects=objects, bounds=bounds, timeout=PATIENCE
    )
    listed = ["rev-list", "--objects", "--quiet", commit, "--not", "--all"]
    if kind.stdout != b"commit\n":
        return False
    return (
        git.run_limited(*listed, objects=objects, bounds=bounds, timeout=PATIENCE).returncode == 0
    )
