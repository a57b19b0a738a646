"""Which instances `clean --merged` and `clean --stale` are about. Neither ever forces."""

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime

from runner.adapters.files import disk
from runner.adapters.git import refs
from runner.controller.cleanup import unsaved
from runner.controller.instance.private_git import kept_ref
from runner.controller.observe.listing import age_seconds
from runner.controller.operation import Work
from runner.controller.project import Repository, open_project
from runner.domain.errors import RunnerError
from runner.domain.events import Emit, Said
from runner.domain.text import sentences

LIFE = ("created", "up", "synced")  # events after which an instance is not stale for a while
LINES = 10_000  # of events.jsonl that are looked at, the last ones


def merged(repository: Repository, emit: Emit) -> list[str]:
    """Those that had commits of their own, all of which base holds, squashed or not; and that
    have no uncommitted changes."""
    return [id_ for id_ in repository.records.ids() if _is_merged(Work(repository, id_, emit))]


def stale(repository: Repository, emit: Emit) -> list[str]:
    """Those without a commit, an `up` or a sync that moved anything for limits.stale_days.

    Raises ConfigError where treedock.yaml cannot be read.
    """
    days = open_project(repository).config.limits.stale_days
    works = (Work(repository, id_, emit) for id_ in repository.records.ids())
    return [work.id for work in works if _idle_seconds(work) > days * 86400]


def _is_merged(work: Work) -> bool:
    """After a sync, so that what was committed inside just now counts."""
    work.apart = True
    try:
        with work.locked():
            error = unsaved.bring_out(work)
            if error or not _has_landed(work):
                return False
            if not unsaved.uncommitted(work, begun=False):
                return True
            work.emit(Said(work.id, "is merged, but has uncommitted changes; it stays"))
    except RunnerError as error:
        work.emit(Said(work.id, sentences("stays:", error.message)))
    return False


def _has_landed(work: Work) -> bool:
    record, git = work.record, work.git
    head, tips = git.branch(record.branch), unsaved.bases(work)
    if head is None or not any(git.is_integrated(head, tip) for tip in tips):
        return False
    if (record.merge or {}).get("state") == "landed":
        return True
    # What base held when it was last brought in is nobody's own work, and may be all there is.
    brought_in = git.commit(kept_ref(work, "base")) or record.base_commit
    return not git.is_ancestor(head, brought_in) and not git.is_ancestor(head, record.base_commit)


def _idle_seconds(work: Work) -> float:
    """How long ago it was created, came up, was synced, or got its last commit."""
    try:
        record = work.record
        ages = [age_seconds(at) for at in [record.created_at, *_times(work)]]
        head = work.git.branch(record.branch)
        committed = [_since(refs.committed_at(work.git, head))] if head else []
    except RunnerError as error:
        work.emit(Said(work.id, sentences("stays:", error.message)))
        return 0.0
    return min([*ages, *committed])


def _times(work: Work) -> Iterator[str]:
    """When it showed life, as events.jsonl has it; a line that was cut off is passed over."""
    path = work.records.folder(work.id) / "events.jsonl"
    for line in disk.tail_untrusted(path, LINES):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["event"] in LIFE:
                yield event["at"]


def _since(seconds: int) -> float:
    """A clock inside that is ahead does not make it younger than now."""
    return max(0.0, datetime.now(UTC).timestamp() - seconds)
