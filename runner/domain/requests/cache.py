"""warm, cache list, cache prune."""

from runner.domain.answers import Answer
from runner.domain.cache.cached import Cached
from runner.domain.frozen import dataclass
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Cache(Answer):
    cached: tuple[Cached, ...] = ()
    """The snapshots of what set-up steps and resets make, the most recently used first."""


@dataclass(frozen=True, kw_only=True)
class Warm(Request[Cache]):
    """Make images, snapshots and the golden database for base ahead of time."""

    verb = "warm"


@dataclass(frozen=True, kw_only=True)
class ListCache(Request[Cache]):
    """Show every snapshot with the size of its files, the most recently used first."""

    verb = "cache list"


@dataclass(frozen=True, kw_only=True)
class Pruned(Answer):
    pruned: tuple[Cached, ...] = ()
    """The snapshots that are gone."""


@dataclass(frozen=True, kw_only=True)
class Prune(Request[Pruned]):
    """Remove snapshots, the least recently used first, and never one that an instance uses."""

    verb = "cache prune"

    older_than: float | None = None
    """Those that were not used for so many seconds."""
    max_size: int | None = None
    """Bytes that may stay; without either of both limits.cache."""
