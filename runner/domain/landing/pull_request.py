"""What became of opening a pull request."""

from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Opened:
    """What became of it. `url` is the pull request's, or where a person opens one, or None for a
    host of an unknown kind; `exists` says which of the first two, `created` that it is new."""

    id: str
    branch: str
    base: str
    commit: str
    pushed: bool
    url: str | None
    exists: bool
    created: bool
    tested: bool = False
    """Whether gates ran, and passed, on the branch merged into base."""
