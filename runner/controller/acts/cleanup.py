"""clean."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from runner.controller import choosing
from runner.controller.project import Repository
from runner.domain.answers import results_of
from runner.domain.errors import BadRequest
from runner.domain.events import Emit
from runner.domain.requests.cleanup import Clean, Cleaned, Cleanup

if TYPE_CHECKING:
    from runner.controller.cleanup.clean_several import Answer


def clean(repository: Repository, request: Clean, emit: Emit) -> Cleanup:
    from runner.controller.cleanup.clean_several import HeldBack

    chosen = _chosen(repository, request, emit)
    answers = _clean(repository, request, chosen, emit)
    return Cleanup(
        dry_run=request.dry_run,
        cleaned=tuple(answer for answer in answers if isinstance(answer, Cleaned)),
        held_back=tuple(answer.id for answer in answers if isinstance(answer, HeldBack)),
        results=results_of(
            chosen,
            [
                not request.dry_run if isinstance(answer, Cleaned) else
                False if isinstance(answer, HeldBack) else answer
                for answer in answers
            ],
        ),
    )  # fmt: skip


def _chosen(repository: Repository, request: Clean, emit: Emit) -> list[str]:
    from runner.controller.cleanup import selection

    if not (request.merged or request.stale):
        return choosing.several(repository, request.ids, everything=request.everything)
    if request.ids or request.everything or (request.merged and request.stale):
        raise BadRequest("Name instances, or give one of --all, --merged, --stale.")
    if request.force or request.force_dirty or request.force_unmerged:
        raise BadRequest("--merged and --stale never force; name the instances for that.")
    select = selection.merged if request.merged else selection.stale
    return select(repository, emit)


def _clean(
    repository: Repository, request: Clean, chosen: Sequence[str], emit: Emit
) -> "list[Answer]":
    """All or none of several that were named together; each for itself where they were not."""
    from runner.controller.cleanup.clean import clean
    from runner.controller.cleanup.clean_several import clean_each, clean_several

    selected = request.merged or request.stale
    joint = len(chosen) > 1 and not (request.each or selected)
    together = set(chosen) if joint else set[str]()

    def one(instance: str, *, look: bool = False) -> Cleaned:
        return clean(
            repository, instance, emit, dry_run=request.dry_run or look, force=request.force,
            force_dirty=request.force_dirty, force_unmerged=request.force_unmerged,
            keep_ignored=request.keep_ignored, together=together,
        )  # fmt: skip

    def check(instance: str) -> object:
        if request.force or (request.force_dirty and request.force_unmerged):
            # Nothing that a look finds is refused.
            return repository.record(instance, or_copied=True)
        return one(instance, look=True)

    if joint and not request.dry_run:
        return clean_several(chosen, check, one)
    return clean_each(chosen, one)
