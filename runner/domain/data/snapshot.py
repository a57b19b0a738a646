"""A kept copy of a database."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Snapshot:
    """A kept copy of an instance's database. `size` in bytes."""

    instance: str
    name: str
    size: int
    created_at: str
