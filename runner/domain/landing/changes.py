"""What git says about changes, committed and not."""

from typing import Literal

from runner.domain.frozen import dataclass

Kind = Literal["added", "deleted", "modified", "renamed", "type", "untracked", "other"]


@dataclass(frozen=True)
class Commit:
    """One commit; `date` is the author's, in ISO 8601."""

    id: str
    author: str
    email: str
    date: str
    subject: str
    body: str


@dataclass(frozen=True)
class Change:
    """One changed path. `was` is the name before a renaming; the counts of lines are None for a
    binary file or one over BIG_FILE; `mode` is git's after the change; `old` and `new` are blobs.
    """

    path: str
    kind: Kind
    was: str | None
    added: int | None
    deleted: int | None
    mode: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class UncommittedFile:
    """One uncommitted path. `size` in bytes, None where there is no file; `old`: its blob at
    HEAD."""

    path: str
    kind: Kind
    size: int | None
    added: int | None = None
    deleted: int | None = None
    mode: str = "000000"
    old: str | None = None


@dataclass(frozen=True)
class Text:
    """A diff; `cut` where DIFF_BOUND was reached."""

    text: str
    cut: bool = False
