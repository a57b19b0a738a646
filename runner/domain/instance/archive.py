"""What stays of an instance that was cleaned."""

from dataclasses import dataclass

from runner.domain.typed import Document

ARCHIVE = "refs/treedock-archive"
"""Below it are the refs of all archives: <archive>/<ref>."""


@dataclass(frozen=True)
class Archive(Document):
    """`refs`: object id by full name. `deleted`: tracked files that were deleted without a
    commit; `omitted`: what could not go into the tar. `git`: the instance's own git directory,
    where not everything in it could be brought out; code inside wrote it. `restore`: the
    commands that bring it all back, in their order."""

    name: str
    folder: str
    until: str
    refs: dict[str, str]
    tar: str | None = None
    deleted: tuple[str, ...] = ()
    omitted: tuple[str, ...] = ()
    git: str | None = None
    restore: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """What the names of its refs begin with."""
        return f"{ARCHIVE}/{self.name}"

    @property
    def holds_work(self) -> bool:
        """Whether there is more in it than logs."""
        return bool(self.refs or self.tar or self.deleted or self.git)
