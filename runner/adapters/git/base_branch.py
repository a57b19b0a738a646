"""Moving base to a candidate, where base is checked out and where it is not."""

import os
from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from runner.adapters.files import untrusted
from runner.adapters.git.access import Worktree
from runner.adapters.git.held_index import HeldIndex, held_index, require_unlocked
from runner.adapters.git.rehearsal import rehearsal
from runner.adapters.git.repository import Git
from runner.domain.errors import BaseMoved, Refused
from runner.domain.text import listed, shell_word

Begin = Callable[[], None]

TRIES = 3  # how often a checkout may go to another branch while we look
NAMED = 10  # files in one command


def checkout_of(git: Git, branch: str) -> Worktree | None:
    """The worktree in which a branch is checked out."""
    return next((w for w in git.worktrees() if w.branch == branch), None)


def in_the_way(git: Git, checkout: Path, old: str, new: str) -> list[str]:
    """Files of a checkout that landing would overwrite although they are changed, staged,
    untracked or ignored there."""
    return _touched(checkout, git.changed_between(old, new), git.uncommitted(checkout))


def _touched(checkout: Path, changed: Mapping[str, str], uncommitted: Collection[str]) -> list[str]:
    touched = set(uncommitted) & changed.keys()
    for path, what in changed.items():
        if what == "A":
            touched |= set(_obstacles(checkout, path, changed))
    return sorted(touched)


def _obstacles(checkout: Path, path: str, changed: Container[str]) -> Iterator[str]:
    """What lies where a new file is to be written: itself, a file in place of one of its folders,
    or files in a folder of its name."""
    _, *parents = reversed(PurePosixPath(path).parents)
    for parent in map(str, parents):
        if untrusted.kind(checkout, parent) not in ("folder", "absent"):
            if parent not in changed:
                yield parent
            return
    if untrusted.kind(checkout, path) == "folder":
        files = (entry.path for entry in untrusted.entries(checkout / path) if not entry.is_folder)
        yield from (one for one in (os.path.relpath(f, checkout) for f in files)
                    if one not in changed)  # fmt: skip
    elif os.path.lexists(checkout / path):
        yield path


def _aside(git: Git, checkout: Path, files: Sequence[str]) -> str:
    """The way out: commands that take these files out of the way and lose nothing. git does not
    stash what it ignores."""
    ignored = git.ignored(checkout, [path for path in files if os.path.lexists(checkout / path)])
    rest = [shell_word(path) for path in files if path not in ignored]
    commands = []
    for path, option in git.passed_over(checkout, files[:NAMED]).items():  # no stash sees these
        where, name = shell_word(str(checkout)), shell_word(path)
        commands.append(f"git -C {where} update-index {option} -- {name}")
    if rest:
        named = " ".join(rest[:NAMED]) + (" ..." if len(rest) > NAMED else "")
        where = shell_word(str(checkout))
        commands.append(f"git -C {where} stash push --include-untracked -- {named}")
    for path in sorted(ignored)[:NAMED]:
        whole = checkout / path
        commands.append(f"mv {shell_word(str(whole))} {shell_word(f'{whole}.kept')}")
    if len(ignored) > NAMED:
        commands.append("and so on")
    todo = "; ".join(commands)
    return f"Commit these files, or put them aside; then run the same command again: {todo}"


def require_quiet(git: Git, branch: str) -> None:
    """Raises Refused where the person has begun something with the branch and not ended it,
    and where git is at work in its checkout."""
    if branch in git.rebased():
        raise Refused(
            f"{branch} is being rebased.", hint="End that first: git rebase --continue (or --abort)"
        )
    holder = checkout_of(git, branch)
    if holder is None:
        return
    begun = git.in_progress(holder.path)
    if begun:
        raise Refused(
            f"A {begun} is in progress in {holder.path}.",
            hint=f"End it first: git -C {holder.path} {begun} --continue (or --abort)",
        )
    require_unlocked(git, holder.path)


def require_free(git: Git, branch: str, old: str, new: str) -> None:
    """Raises Refused, naming the files, where landing would touch the person's changes, and what
    `require_quiet` does."""
    require_quiet(git, branch)
    holder = checkout_of(git, branch)
    files = in_the_way(git, holder.path, old, new) if holder else []
    if holder and files:
        raise _overwriting(git, holder.path, files)


def foreseen(git: Git, branch: str, commit: str, heads: Mapping[str, str]) -> dict[str, Refused]:
    """By the key of each head that could not land on `branch`, which is at `commit`, as things
    are now: why not. One that conflicts, or has landed, is not looked at."""
    try:
        require_quiet(git, branch)
    except Refused as error:
        return dict.fromkeys(heads, error)
    holder = checkout_of(git, branch)
    if holder is None or not heads:
        return {}
    found = {}
    uncommitted = git.uncommitted(holder.path)
    for key, changed in _changed_by_head(git, commit, heads).items():
        files = _touched(holder.path, changed, uncommitted)
        if files:
            found[key] = _overwriting(git, holder.path, files)
    return found


def _changed_by_head(git: Git, commit: str, heads: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The files that each head would change if it were merged into a commit; without those that
    conflict."""
    ahead = {key: head for key, head in heads.items() if git.is_ancestor(commit, head)}
    found = {key: git.changed_between(commit, head) for key, head in ahead.items()}
    apart = {key: head for key, head in heads.items() if key not in ahead}
    if not apart:
        return found
    with rehearsal(git, commit) as place:
        merged = place.merges([(commit, head) for head in apart.values()])
        made = {
            key: (commit, place.commit(one.tree, [commit, head]))
            for (key, head), one in zip(apart.items(), merged, strict=True)
            if one.tree
        }
        changed = place.changed_files(made.values())
    return found | {key: changed[pair] for key, pair in made.items()}


def _overwriting(git: Git, checkout: Path, files: list[str]) -> Refused:
    return Refused(
        f"This would overwrite changes in {checkout}: {listed(files)}.",
        hint=_aside(git, checkout, files),
    )


def land(git: Git, branch: str, expected: str, commit: str, begin: Begin) -> None:
    """Move `branch` from `expected` to its descendant `commit`, files and all. Repository lock.
    `begin` is called when nothing is in the way, before anything is touched.

    Raises BaseMoved where it is elsewhere by now, Refused where git cannot update the files.
    """
    act = partial(HeldIndex.fast_forward, branch=branch, commit=commit)
    _move(git, branch, expected, commit, begin, act)


def put_back(git: Git, branch: str, expected: str, commit: str, begin: Begin) -> None:
    """Move `branch` from `expected` back to its ancestor `commit`, files and all. Repository
    lock. Raises what `land` does."""
    act = partial(HeldIndex.move_back, branch=branch, expected=expected, commit=commit)
    _move(git, branch, expected, commit, begin, act)


def _move(
    git: Git,
    branch: str,
    expected: str,
    commit: str,
    begin: Begin,
    act: Callable[[HeldIndex], None],
) -> None:
    for _ in range(TRIES):
        _require_at(git, branch, expected)
        require_free(git, branch, expected, commit)
        holder = checkout_of(git, branch)
        begin()
        if holder is None:
            git.update_refs({f"refs/heads/{branch}": (commit, expected)})
            return
        with held_index(git, holder.path) as index:
            # git moves whatever HEAD is on; from here on nothing else changes that.
            there = index.is_on(branch)
            if there:
                _require_at(git, branch, expected)
                _act(git, holder.path, branch, expected, commit, lambda: act(index), index)
        if there:
            _require_at(git, branch, commit)
            return
    raise Refused(
        f"{branch} is checked out and left again all the time.",
        hint="Leave the checkout on one branch, then run the same command again.",
    )


def _act(
    git: Git,
    checkout: Path,
    branch: str,
    expected: str,
    commit: str,
    act: Callable[[], None],
    index: HeldIndex,
) -> None:
    try:
        act()
    except Refused as error:  # git looks at everything before it touches anything
        if git.branch(branch) == commit:
            return
        _undo(git, checkout, expected, commit, index, cut_off=False)
        files = in_the_way(git, checkout, expected, commit)
        raise Refused(
            error.message, hint=_aside(git, checkout, files) if files else error.hint
        ) from error


def settle(git: Git, branch: str, expected: str, commit: str) -> bool:
    """Finish a move of a branch that was cut off, or undo it: the branch tells which of the two
    it is. Repository lock. Returns whether files were put back; raises Refused where files are
    neither the old nor the new."""
    head, holder = git.branch(branch), checkout_of(git, branch)
    if holder is None or head not in (expected, commit):
        return False
    with held_index(git, holder.path) as index:
        if head == expected:
            return _undo(git, holder.path, expected, commit, index, cut_off=True)
        index.follow(expected, commit)
        return False


def _undo(git: Git, checkout: Path, old: str, new: str, index: HeldIndex, *, cut_off: bool) -> bool:
    """Put files back that git wrote: each was clean before, so it is whole again when it is what
    `old` holds. One that is neither that nor what `new` holds is the person's: it is left, and
    after a cut-off Refused is raised. Returns whether any was put back."""
    foreign, undone = [], False
    changed = git.changed_between(old, new)
    for path in in_the_way(git, checkout, old, new):
        if path not in changed or not _is_ours(git, checkout, new, path, cut_off=cut_off):
            foreign.append(path)
            continue
        undone = True
        if changed[path] == "A":
            (checkout / path).unlink(missing_ok=True)
        else:
            index.restore(old, path)
    if foreign and cut_off:
        raise Refused(
            f"A landing in {checkout} was cut off, and these files there are neither the old nor "
            f"the new: {listed(foreign)}.",
            hint=_aside(git, checkout, foreign),
        )
    return undone


def _is_ours(git: Git, checkout: Path, commit: str, path: str, *, cut_off: bool) -> bool:
    """Whether a file is the commit's, or, after a cut-off, what git had written of it."""
    there = checkout / path
    if there.is_symlink():
        return os.fsencode(there.readlink()) == git.blob(commit, path)
    if not os.path.lexists(there):
        return cut_off
    new = git.blob(commit, path)
    if new is None or not there.is_file():
        return False
    now = untrusted.read(there, len(new) + 1) or b""
    begun = cut_off and new.startswith(now)
    return begun or git.hash_file(checkout, path) == git.object_id(commit, path)


def _require_at(git: Git, branch: str, commit: str) -> None:
    if git.branch(branch) != commit:
        raise BaseMoved(f"{branch} has moved meanwhile.", hint="Run the same command again.")
