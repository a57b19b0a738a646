"""git as code in an instance uses it, and where its work arrives."""

import io
from dataclasses import dataclass
from pathlib import Path

from runner.adapters.engine.protocol import Exec, Filter
from runner.controller.instance.private_git import ENVIRONMENT
from runner.controller.operation import Operation
from runner.controller.stream import Stream
from runner.controller.sync.sync import sync
from runner.controller.sync.update import Go, How, go_on, update
from runner.domain.errors import Refused
from runner.domain.events import Event, Said, Warned
from runner.domain.git.synced import Side, Synced
from runner.domain.git.updated import Updated
from runner.domain.instance.streams import Streams
from tests.real_git import git
from tests.shop import Shop


class Inside:
    """The inside of the instance `id` of a shop, and the verbs that join it to the outside."""

    def __init__(self, shop: Shop, id: str = "auth") -> None:
        self.shop = shop
        self.id = id
        self.events: list[Event] = []

    @property
    def emit(self) -> Stream:
        return Stream(lambda told: self.events.append(told.event))

    def run(self, script: str) -> "Ended":
        """Run a shell script from the top of the worktree, as it runs in the container."""
        (container,) = self.shop.engine.containers(
            Filter(repository=self.shop.repository.key, instance=self.id)
        )
        out, err = io.BytesIO(), io.BytesIO()
        code = self.shop.engine.exec_attached(
            container.id, Exec(["sh", "-ec", script], ENVIRONMENT, "/workspace"),
            Streams(None, out, err)
        )  # fmt: skip
        return Ended(code, out.getvalue().decode(errors="replace"), err.getvalue().decode())

    def __call__(self, script: str) -> str:
        """The same for one that has to succeed; returns what it said on stdout."""
        said = self.run(script)
        assert said.code == 0, said.err
        return said.out.strip()

    def commit(self, files: dict[str, str], message: str = "work") -> str:
        """Write these files and commit them, inside; returns the commit."""
        for name, text in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            self(f"git add --force -- '{name}'")
        return self(f"git commit --quiet -m '{message}'; git rev-parse HEAD")

    def sync(self, prefer: Side | None = None) -> Synced:
        with self.operation.locked():
            return sync(self.operation, prefer=prefer)

    def refused(self, prefer: Side | None = None) -> Refused:
        """What a sync is refused with."""
        try:
            answer = self.sync(prefer)
        except Refused as error:
            return error
        raise AssertionError(f"not refused: {answer}")

    def update(self, how: How = "merge") -> Updated:
        return update(self.operation, how)

    def go_on(self, go: Go) -> Updated:
        return go_on(self.operation, go)

    @property
    def operation(self) -> Operation:
        return Operation(self.shop.repository, self.id, self.emit)

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Said | Warned)]

    @property
    def tree(self) -> Path:
        return self.shop.tree(self.id)

    @property
    def folder(self) -> Path:
        """What treedock keeps about the instance."""
        return self.shop.repository.records.folder(self.id)

    @property
    def own_git(self) -> Path:
        return self.folder / "git"

    @property
    def head(self) -> str:
        """The branch's commit on the host."""
        return git(self.shop.repo, "rev-parse", f"refs/heads/feature/{self.id}").strip()

    def kept(self, below: str = "") -> dict[str, str]:
        """The refs that keep something of the instance: name below refs/treedock/<id>/ -> id."""
        start = f"refs/treedock/{self.id}/"
        listed = git(self.shop.repo, "for-each-ref", "--format=%(refname) %(objectname)", start)
        pairs = (line.split(" ") for line in listed.splitlines())
        found = {name.removeprefix(start): commit for name, commit in pairs}
        return {name: commit for name, commit in found.items() if name.startswith(below)}


@dataclass(frozen=True)
class Ended:
    """How a script ended."""

    code: int
    out: str
    err: str
