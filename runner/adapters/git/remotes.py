"""Pushing to a remote: without hooks, without force, and never over a commit no one named."""

from runner.adapters.git.process import failed
from runner.adapters.git.repository import Git
from runner.domain.errors import Refused

TIMEOUT = 300.0  # seconds for a push; the network may be slow
ASK_TIMEOUT = 60.0  # seconds for a question
WORDS = 500  # characters of what a remote's hooks say


def urls(git: Git, remote: str = "origin") -> list[str]:
    """Where a remote is: as configured, then as git resolves it (url.*.insteadOf). Empty without
    such a remote. They may hold a password: not for printing."""
    written = git.run("config", "--get", f"remote.{remote}.url", check=False)
    meant = git.run("remote", "get-url", "--push", "--", remote, check=False)
    found = [done.stdout.decode().strip() for done in (written, meant) if done.returncode == 0]
    return list(dict.fromkeys(url for url in found if url))


def head_at(git: Git, remote: str, branch: str, timeout: float = ASK_TIMEOUT) -> str | None:
    """The commit that a branch is at there, asked over the network; None: it is not there."""
    arguments = ["ls-remote", "--refs", "--", remote, f"refs/heads/{branch}"]
    out = git.ask(*arguments, timeout=timeout).stdout.decode()
    found = dict(line.split("\t")[::-1] for line in out.split("\n") if line)
    return found.get(f"refs/heads/{branch}")


def push(
    git: Git,
    remote: str,
    commit: str,
    branch: str,
    expected: str | None = None,
    *,
    timeout: float = TIMEOUT,
) -> bool:
    """Put a branch of the remote at `commit`. Returns whether it was elsewhere before.

    Without `expected` only forward; with it from exactly that commit, forward or not. Raises
    Refused where the remote says no, and GitFailed where it cannot be reached.
    """
    lease = [f"--force-with-lease=refs/heads/{branch}:{expected}"] if expected else []
    flag, words = _push(git, remote, [*lease], f"{commit}:refs/heads/{branch}", timeout)
    if flag == "!":
        said = f" It said: {words}" if words else ""
        raise Refused(
            f"{remote} did not take {commit[:10]} as {branch}: there are commits on it that this "
            f"one does not build on, or its rules forbid it.{said}",
            hint=_hint(git, remote, commit, branch),
        )
    return flag != "="


def delete_branch(
    git: Git, remote: str, branch: str, expected: str, *, timeout: float = TIMEOUT
) -> bool:
    """Delete a branch of the remote if it still is at `expected`. False: it is gone already.

    Raises Refused where it is elsewhere or the remote says no, GitFailed where it cannot be
    reached.
    """
    if head_at(git, remote, branch) is None:
        return False
    lease = f"--force-with-lease=refs/heads/{branch}:{expected}"
    if _push(git, remote, [lease], f":refs/heads/{branch}", timeout)[0] == "!":
        raise Refused(
            f"{remote} did not delete {branch}: it is not at {expected[:10]} any more, or its "
            "rules forbid it.",
            hint=f"Look at it: git fetch {remote} && git log {remote}/{branch}",
        )
    return True


def _push(
    git: Git, remote: str, options: list[str], refspec: str, timeout: float
) -> tuple[str, str]:
    """(git's flag for what became of the one ref, what the remote says): '!' is refused, '=' was
    so already."""
    alone = ["--no-verify", "--no-follow-tags", "--no-recurse-submodules", "--porcelain"]
    arguments = ["push", *alone, *options, "--", remote, refspec]
    done = git.ask(*arguments, check=False, timeout=timeout)
    # 'flag \t from:to \t summary'
    flags = [line[0] for line in done.stdout.decode(errors="replace").split("\n") if "\t" in line]
    if done.returncode and flags[:1] != ["!"]:
        raise failed(done)
    lines = done.stderr.decode(errors="replace").splitlines()
    words = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    return flags[0] if flags else "=", " ".join(word for word in words if word)[:WORDS]


def _hint(git: Git, remote: str, commit: str, branch: str) -> str:
    look = f"git fetch {remote} {branch} && git log {commit[:10]}..FETCH_HEAD"
    known = git.heads(branch)[1] if remote == git.remote_of(branch) else None
    if known is None:
        return f"Look at them: {look}"
    return (
        f"Look at them: {look}; or, after a rebase of what was pushed before, replace it: "
        f"git push --force-with-lease={branch}:{known} {remote} {commit}:refs/heads/{branch}"
    )
