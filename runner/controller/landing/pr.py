"""`pr`: push an instance's branch and open a pull request for it, or say where to open one."""

import re
import secrets
from collections.abc import Sequence

from runner.adapters import github
from runner.adapters.git import diffs, lfs, remotes
from runner.adapters.git.rehearsal import merge_trees
from runner.adapters.github import Forge, Request
from runner.adapters.store.runs import Run
from runner.controller.disk_watch import space_watched
from runner.controller.landing.review import base_commit, warn_of_flagged
from runner.controller.operation import Operation
from runner.controller.project import Repository
from runner.controller.sync.sync import sync
from runner.domain.errors import CommandFailed, MergeConflict, Refused, Unavailable
from runner.domain.events import Emit, PullRequestOpened, Pushed
from runner.domain.instance.record import Record
from runner.domain.landing.changes import Commit
from runner.domain.landing.pull_request import Opened
from runner.domain.text import below_each_other, listed, sentences

REMOTE = "origin"  # where a branch has no other

TITLE = 100  # characters; GitHub takes 256 and shows about so many

LISTED = 50  # commits that a description lists

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def pr(
    repository: Repository,
    instance: str,
    emit: Emit,
    *,
    title: str | None = None,
    body: str | None = None,
    labels: Sequence[str] = (),
    draft: bool = False,
    no_gate: bool = False,
) -> Opened:
    """Run base's gates on the branch merged into it, push the branch as it is inside, without
    force, and see to a pull request.

    Raises CommandFailed where a gate is red, MergeConflict where there is no candidate (neither
    with `no_gate`), Refused without a remote, with nothing to push or when the remote says no;
    Unavailable when the remote or gh fails. What is done already is left as it is.
    """
    repository.record(instance)
    operation = Operation(repository, instance, emit)
    remote = operation.git.remote_of(operation.record.git.branch) or REMOTE
    addresses = remotes.urls(operation.git, remote)
    if not addresses:
        raise Refused(
            f"This repository has no remote {remote} to push to.",
            hint=f"Add one: git remote add {REMOTE} URL; or merge here: treedock merge {instance}",
        )
    with operation.locked():
        commit = sync(operation).head
    record, base = operation.record, base_commit(operation)
    commits = _require_ahead(operation, base, commit)
    warn_of_flagged(operation, base, commit)
    tested = not no_gate and _tested(operation, base, commit)
    with operation.step(f"pushing {record.git.branch} to {remote}"):
        lfs.push(operation.git, remote, commit)
        pushed = remotes.push(operation.git, remote, commit, record.git.branch)
    operation.tell(Pushed(remote, record.git.branch, commit))
    forge = next(filter(None, map(github.forge_of, addresses)), None)
    request = Request(
        branch=record.git.branch,
        base=record.git.base,
        title=_title(title, record, commits),
        body=_text(body) if body is not None else _body(record, commits),
        labels=tuple(_text(label) for label in labels),
        draft=draft,
    )
    url, exists, created = _request(operation, forge, request)
    return Opened(
        record.id, record.git.branch, record.git.base, commit, pushed, url,
        exists=exists, created=created,
        tested=tested,
    )  # fmt: skip


def _tested(operation: Operation, base: str, commit: str) -> bool:
    """Run the gates of base's configuration on the merge of the two, as `merge` would; False
    where it has none."""
    from runner.controller.landing import gates, queue
    from runner.controller.project import open_project

    project = queue.at_base(open_project(operation.repository).on(operation.record.git.base), base)
    wanted = gates.gates_of(project, ())
    if not wanted:
        return False
    push_anyway = f"push it untested with: treedock pr {operation.id} --no-gate"
    merged = merge_trees(operation.git, base, commit, base)
    if merged.tree is None:
        raise MergeConflict(
            f"{operation.id} conflicts with {operation.record.git.base} in: "
            f"{listed(merged.files)}.",
            hint=f"Resolve it inside: treedock update {operation.id}; or {push_anyway}",
        )
    candidate = operation.git.commit_tree(
        merged.tree, [base, commit], f"Merge {operation.record.git.branch}\n"
    )
    name = f"pr-{secrets.token_hex(3)}"
    log = Run(operation.records.root, name).log(name)
    with (
        operation.step(f"testing it, merged into {operation.record.git.base}"),
        space_watched(project, operation.emit),
    ):
        verdict = gates.run_gates(
            project, name, candidate, wanted, base_commit=base, log=log,
            emit=operation.emit.aside(operation.id),
        )  # fmt: skip
    if not verdict.green:
        raise CommandFailed(
            sentences(
                f"{operation.id} is red, merged into {operation.record.git.base}.", verdict.message
            ),
            hint=f"The logs: {log}; {push_anyway}",
        )
    return True


def _require_ahead(operation: Operation, base: str, commit: str) -> list[Commit]:
    found = diffs.commits(operation.git, base, commit)
    if not found:
        raise Refused(
            f"{operation.id} has no commit that {operation.record.git.base} lacks: there is "
            "nothing to push.",
            hint="Commit something inside first; what is uncommitted: treedock review "
            f"{operation.id}",
        )
    return found


def _request(
    operation: Operation, forge: Forge | None, request: Request
) -> tuple[str | None, bool, bool]:
    """(address, whether there is a pull request, whether it is new)."""
    if forge is None:
        return None, False, False
    by_hand = github.compare_url(forge, request.base, request.branch)
    if forge.kind != "github" or not github.is_installed():
        return by_hand, False, False
    try:
        with operation.step("looking for a pull request"):
            known = github.existing(forge, request.branch)
        if known:
            return known, True, False
        with operation.step("creating the pull request"):
            url = github.create(forge, request)
    except Unavailable as error:
        raise Unavailable(
            error.message,
            hint=below_each_other(
                f"{request.branch} is pushed. Open it by hand: {by_hand}", error.hint
            ),
        ) from error
    operation.tell(PullRequestOpened(url))
    return url or by_hand, True, True


def _title(given: str | None, record: Record, commits: list[Commit]) -> str:
    """The purpose's first line, else the subject of the oldest commit."""
    wanted = [given, *(record.purpose or "").splitlines(), commits[-1].subject]
    lines = (" ".join(_CONTROL.sub(" ", line or "").split()) for line in wanted)
    line = next((line for line in map(_encodable, lines) if line), record.git.branch)
    return line if given or len(line) <= TITLE else f"{line[: TITLE - 1].rstrip()}…"


def _body(record: Record, commits: list[Commit]) -> str:
    """The purpose where the title does not hold all of it, and what was committed."""
    purpose = (record.purpose or "").strip()
    parts = [purpose] if len(purpose.splitlines()) > 1 or len(purpose) > TITLE else []
    if len(commits) == 1:
        only = commits[0]
        parts += [only.subject] if purpose else []
        parts += [only.body]
    else:
        rest = len(commits) - LISTED
        lines = [f"- {commit.subject}" for commit in commits[::-1][:LISTED]]
        parts.append("\n".join([*lines, *([f"- and {rest} more"] if rest > 0 else [])]))
    return _text("\n\n".join(part for part in parts if part.strip()))


def _text(text: str) -> str:
    """Without control characters and direction marks: a stranger may have written it."""
    return _encodable(_LINES.sub("", text.replace("\r\n", "\n")))


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()
