"""A snapshot as people see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cached:
    """One snapshot. `size` in bytes of its files; `used_by` is how many instances have it mounted.
    One that is `unfit` to be shared, for this reason, has no size: only the verdict is kept."""

    key: str
    step: str
    size: int
    used_by: int
    created_at: str
    used_at: str
    unfit: str = ""
