"""What is kept about merges below <git common dir>/treedock: one folder per run, and the journal
of the landing that is under way."""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from runner.adapters.failpoints import step
from runner.adapters.files import disk
from runner.adapters.host import claims
from runner.adapters.host.claims import Claim
from runner.adapters.store import stored
from runner.adapters.store.records import now
from runner.domain.errors import Damaged, NotFound, OtherVersion
from runner.domain.events import Notice
from runner.domain.typed import Document

Kind = Literal["merge", "plan"]


@dataclass(frozen=True)
class Landing(Document):
    """Base is being moved from `expected` to `candidate`, which brings `heads` (by id)."""

    run: str
    base: str
    expected: str
    candidate: str
    heads: dict[str, str]


@dataclass(frozen=True)
class Move:
    """Base was moved from `was` to `commit`."""

    commit: str
    was: str
    base: str
    heads: dict[str, str]


@dataclass(frozen=True)
class Facts(Document):
    """What run.json says: of `ids`, which were to land in `base`, and how far that came."""

    kind: Kind = "merge"
    claim: Claim | None = None
    """The process that is at work on it; None once that has ended it."""
    started: str = ""
    ids: tuple[str, ...] = ()
    base: str = ""
    base_was: str = ""
    """The commit of base when the run began."""
    landed: tuple[Move, ...] = ()
    base_now: str = ""
    """The commit of base when it ended."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """By id: landed, red, blocked and the like."""
    pushed: bool = False
    undone: bool = False


class Journal:
    """The landing that was begun and not yet ended. Repository lock."""

    def __init__(self, root: Path) -> None:
        self.path = root / "landing.json"

    def begin(self, landing: Landing) -> None:
        stored.write(self.path, landing)

    def read(self) -> Landing | None:
        """The landing, or None. Raises Damaged."""
        return stored.read(self.path, Landing)

    def erase(self) -> None:
        self.path.unlink(missing_ok=True)
        step("erase the journal")


class Run:
    """One execution of a merge or a plan: run.json, events.jsonl, logs/."""

    def __init__(self, root: Path, id_: str) -> None:
        self.id = id_
        self.folder = root / "runs" / id_

    @classmethod
    def begin(cls, root: Path, kind: Kind, **facts: Any) -> "Run":
        """A new run, claimed by this process, with a name that sorts by time."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        run = cls(root, f"{stamp}-{secrets.token_hex(2)}")
        run.write(kind=kind, claim=claims.own(), started=now(), **facts)
        return run

    @classmethod
    def open(cls, root: Path, id_: str) -> "Run":
        """An earlier run, by its id, the end of that, or 'last' for the last one that landed
        something. Raises NotFound, and Damaged or OtherVersion for one that may be meant and
        cannot be read."""
        known = cls.all(root)
        unread, landed = dict[str, Damaged | OtherVersion](), list[Run]()
        for run in known:
            try:
                found = run.read()
            except (Damaged, OtherVersion) as error:
                unread[run.id] = error
            else:
                landed += [run] if found.landed and not found.undone else []
        wanted = landed[-1:] if id_ == "last" else [run for run in known if run.id == id_]
        wanted = wanted or [run for run in known if run.id.rpartition("-")[2] == id_]
        newer = [name for name in unread if id_ == "last" and (not wanted or name > wanted[0].id)]
        if newer:
            raise unread[newer[-1]]  # it may be the last one
        if len(wanted) != 1:
            last = ", ".join(run.id for run in landed[-5:])
            raise NotFound(
                f"There is no run {id_!r}.",
                hint=f"The last that landed something: {last}." if last else "None landed yet.",
            )
        return wanted[0]

    @classmethod
    def all(cls, root: Path) -> "list[Run]":
        """Every run, the oldest first."""
        return [cls(root, path.parent.name) for path in sorted(root.glob("runs/*/run.json"))]

    @property
    def path(self) -> Path:
        return self.folder / "run.json"

    def read(self) -> Facts:
        """What is kept of it; nothing where nothing is. Raises Damaged and OtherVersion."""
        return stored.read(self.path, Facts) or Facts()

    def write(self, **facts: Any) -> None:
        """Keep these facts, beside what is kept already."""
        stored.write(self.path, replace(self.read(), **facts))

    def worker(self) -> Claim | None:
        """The process that is at work on it; None where that has ended, or was killed."""
        claim = self.read().claim
        return claim if claim and claims.holds(claim) else None

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """The work of this process on it, which gives the claim up afterwards."""
        try:
            yield
        finally:
            self.write(claim=None)

    def journal(self, notice: Notice) -> None:
        """Append what happened in it to its events.jsonl; where that is impossible it is left
        out."""
        disk.append_json(self.folder / "events.jsonl", notice.to_json())

    def log(self, name: str) -> Path:
        """The folder for what one trial prints."""
        return self.folder / "logs" / name
