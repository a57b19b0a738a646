"""The sparse checkout of a worktree: what it leaves out on this side is left out inside, and no
commit made inside deletes it because its file is not there."""

from pathlib import Path

from runner.adapters.files import disk
from runner.controller.instance.private_git import own_git
from runner.controller.operation import Operation
from runner.controller.sync.git_inside import run_git
from runner.domain.errors import Refused
from runner.domain.text import listed, shell_word

PATTERNS = "info/sparse-checkout"
_EVERYTHING = b"/*\n"

# $1 is whether there is a sparse checkout, $2 whether it is in cone mode.
_FOLLOW = """
command -v git >/dev/null || exit 127
git config core.sparseCheckoutCone "$2" && git config core.sparseCheckout "$1" &&
git -c core.sparseCheckout=true sparse-checkout reapply
"""


def hand_in_patterns(operation: Operation) -> None:
    """Have the index inside leave out what the person has git on this side leave out since the
    last time. What code inside left out by itself stays its own."""
    if not (
        (Path(operation.record.worktree) / ".git").exists() and own_git(operation).folder.exists()
    ):
        return
    sparse = operation.git.sparse(Path(operation.record.worktree))
    wanted = sparse.patterns if sparse else _EVERYTHING
    cone = bool(sparse and sparse.cone)
    text = b"cone=%d\n%s" % (cone, wanted)
    handed = operation.folder.sparse_checkout
    if text == (handed.read_bytes() if handed.exists() else b"cone=0\n" + _EVERYTHING):
        return
    own_git(operation).keep(PATTERNS, wanted)
    script = ["sh", "-c", _FOLLOW, "treedock", *("true" if x else "false" for x in (sparse, cone))]
    if run_git(operation, script, check=False) == 0:
        disk.write_atomically(handed, text)
    else:
        operation.warn("git inside could not follow the sparse checkout on this side")


def require_none_hidden(operation: Operation, old: str, new: str) -> None:
    """Raises Refused, naming them, where what came from inside deletes files that the index on
    this side marks skip-worktree: inside they looked deleted, and `commit -a` took that along."""
    worktree = Path(operation.record.worktree)
    changed = operation.git.changed_between(old, new) if worktree.is_dir() else {}
    deleted = [path for path, what in changed.items() if what == "D"]
    marked = operation.git.passed_over(worktree, deleted)
    hidden = [path for path, end in marked.items() if end == "--no-skip-worktree"]
    if hidden:
        place = shell_word(str(worktree))
        raise Refused(
            f"{operation.id}: {new[:10]}, committed inside, deletes files that the sparse "
            "checkout on "
            f"this side leaves out: {listed(hidden)}.",
            hint="To keep them, take the commit back and make it again: treedock exec "
            f"{operation.id} "
            f"-- git reset {old[:10]}. If they are to go: git -C {place} sparse-checkout disable "
            "(or update-index --no-skip-worktree FILE), and the same command again",
        )
