"""Which instances `clean --merged` and `clean --stale` are about. Neither ever forces."""

import contextlib
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from runner.adapters.files import untrusted
from runner.adapters.git import refs
from runner.controller.cleanup import unsaved
from runner.controller.operation import Operation
from runner.controller.project import Repository, open_project
from runner.controller.world import observe
from runner.domain.errors import RunnerError
from runner.domain.events import Emit
from runner.domain.instance.record import age_seconds
from runner.domain.text import sentences

LIFE = ("created", "up", "synced")  # events after which an instance is not stale for a while
LINES = 10_000  # of events.jsonl that are looked at, the last ones


def merged(repository: Repository, emit: Emit) -> list[str]:
    """Those that had commits of their own, all of which base holds, squashed or not; and that
    have no uncommitted changes."""
    return [id_ for id_ in repository.records.ids() if _is_merged(Operation(repository, id_, emit))]


def stale(repository: Repository, emit: Emit) -> list[str]:
    """Those without a commit, an `up` or a sync that moved anything for limits.stale_days.

    Raises ConfigError where treedock.yaml cannot be read.
    """
    days = open_project(repository).config.limits.stale_days
    operations = (Operation(repository, id_, emit) for id_ in repository.records.ids())
    return [operation.id for operation in operations if _idle_seconds(operation) > days * 86400]


def _is_merged(operation: Operation) -> bool:
    """After a sync, so that what was committed inside just now counts."""
    operation.apart = True
    try:
        with operation.locked():
            error = unsaved.bring_out(operation)
            if error or not _has_landed(operation):
                return False
            if not unsaved.uncommitted(operation, begun=False):
                return True
            operation.say("is merged, but has uncommitted changes; it stays")
    except RunnerError as error:
        operation.say(sentences("stays:", error.message))
    return False


def _has_landed(operation: Operation) -> bool:
    record, git = operation.record, operation.git
    world = observe(operation.repository, ask_engine=False)
    head, tips = world.head(operation.id), unsaved.bases(operation, world)
    if head is None or not any(git.is_integrated(head, tip) for tip in tips):
        return False
    if record.has_landed:
        return True
    # What base held when it was last brought in is no one's own work, and may be all there is.
    merged_base = git.ref(operation.names.ref("base")) or record.git.base_commit
    return not git.is_ancestor(head, merged_base) and not git.is_ancestor(
        head, record.git.base_commit
    )


def _idle_seconds(operation: Operation) -> float:
    """How long ago it was created, came up, was synced, or got its last commit."""
    try:
        record = operation.record
        ages = [age_seconds(at, time.time()) for at in [record.created_at, *_times(operation)]]
        head = operation.git.branch(record.git.branch)
        committed = [_since(refs.committed_at(operation.git, head))] if head else []
    except RunnerError as error:
        operation.say(sentences("stays:", error.message))
        return 0.0
    return min([*ages, *committed])


def _times(operation: Operation) -> Iterator[str]:
    """When it showed life, as events.jsonl has it; a line that was cut off is passed over."""
    path = operation.folder.events
    for line in untrusted.tail(path, LINES):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            event = json.loads(line)
            if event["event"] in LIFE:
                yield event["at"]


def _since(seconds: int) -> float:
    """A clock inside that is ahead does not make it younger than now."""
    return max(0.0, datetime.now(UTC).timestamp() - seconds)
