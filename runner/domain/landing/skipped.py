"""Uncommitted paths that are left out of a rehearsal."""

from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Skipped:
    """An uncommitted path that was left out, and why."""

    path: str
    reason: str
