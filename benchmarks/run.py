"""Measure treedock beside its floor and its peers: whole processes, in one run.

    python benchmarks/run.py [--rounds N] [--image NAME] [--only GROUP...] [--beside PATH]

GROUP: one, verbs, many, looks, merging, warm. --beside gives the command of another treedock, for
example PATH/.venv/bin/treedock of a checkout of an older commit; it takes its turns at `verbs` in
a repository of its own.

What is compared takes turns (A B A B), so that a drift of the machine hits both. Prints tables
and writes benchmarks/results.json, or with --only just prints. Removes everything it made, also
when it fails or is interrupted. It judges nothing: its exit code does not depend on the figures.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import report
import verbs
from merging import MANY_FILES, Merging
from peers import Devcontainer, Mergetrain, Wtenv
from processes import run, seconds
from scene import SLOTS, TREEDOCK, Content, Scene, free_block
from shop import EMPTY, LITTLE
from turns import Turns, say
from verbs import SIMPLEST
from warm import Warm

RESULTS = Path(__file__).with_name("results.json")
MANY = 20
GROUPS = ("one", "verbs", "many", "looks", "merging", "warm")


class Running:
    """Up, down and looking. `one` has one instance all the time; `many` has none, and for looking
    `MANY`."""

    def __init__(self, turns: Turns, folder: Path, one: Scene, many: Scene) -> None:
        self._turns = turns
        self._folder = folder
        self.one = one
        self.many = many
        # It also builds the image where that is missing.
        run(one.treedock("up", "first"), cwd=one.repository)
        self.model = one.container("first")

    def measure_one(self, rounds: int) -> None:
        say("installing the devcontainer command")
        self.devcontainer = Devcontainer(self._folder, self.one.label)
        self.devcontainer.prepare(self.one.repository, *self.one.image_and_ports(self.model))
        self._turns.take("one", rounds, [self._up_down, self._floor, self._devcontainer])

    def measure_many(self, rounds: int) -> None:
        few = max(3, rounds // 2)
        self._turns.take("many", few, [self._up_many, self._floor_many, self._starts_many])

    def measure_looks(self, rounds: int) -> None:
        say("installing wtenv")
        self.wtenv = Wtenv(self._folder)
        run(self.many.treedock("up", *self.many.ids(MANY)), cwd=self.many.repository)
        looks = [self._interpreter, self._list_one, self._list_many, self._wtenv, self._status]
        self._turns.take("looks", 2 * rounds, looks)

    # --- one --------------------------------------------------------------------------------

    def _up_down(self) -> dict[str, float]:
        scene, ids = self.one, self.one.ids(1)
        up = seconds(scene.treedock("up", *ids), cwd=scene.repository)
        down = seconds(scene.treedock("down", *ids), cwd=scene.repository)
        scene.clean(ids)
        return {"up of one": up, "down of one": down}

    def _floor(self) -> dict[str, float]:
        wishes = self.one.wishes(self.model, 1, worktrees=True)
        floor = seconds(self.one.floor(wishes))
        self.one.remove_floor()
        return {"floor of one": floor}

    def _devcontainer(self) -> dict[str, float]:
        up = seconds(self.devcontainer.up(), env=self.devcontainer.env)
        self.one.remove_containers(self.one.label)
        return {"devcontainer up": up}

    # --- many -------------------------------------------------------------------------------

    def _up_many(self) -> dict[str, float]:
        scene, ids = self.many, self.many.ids(MANY)
        up = seconds(scene.treedock("up", *ids), cwd=scene.repository)
        scene.clean(ids)
        return {f"up of {MANY} at once": up}

    def _floor_many(self) -> dict[str, float]:
        return {f"floor of {MANY}: worktrees, starts": self._start_many(worktrees=True)}

    def _starts_many(self) -> dict[str, float]:
        return {f"floor of {MANY}: starts": self._start_many(worktrees=False)}

    def _start_many(self, *, worktrees: bool) -> float:
        wishes = self.one.wishes(self.model, MANY, worktrees=worktrees)
        floor = seconds(self.one.floor(wishes))
        self.one.remove_floor()
        return floor

    # --- looks ------------------------------------------------------------------------------

    def _interpreter(self) -> dict[str, float]:
        return {"python -c pass": seconds([sys.executable, "-c", "pass"])}

    def _list_one(self) -> dict[str, float]:
        return {"list of 1": seconds(self.one.treedock("list"), cwd=self.one.repository)}

    def _list_many(self) -> dict[str, float]:
        return {f"list of {MANY}": seconds(self.many.treedock("list"), cwd=self.many.repository)}

    def _wtenv(self) -> dict[str, float]:
        where = self.many.repository
        return {"wtenv ls": seconds(self.wtenv.ls(), cwd=where, env=self.wtenv.env)}

    def _status(self) -> dict[str, float]:
        where = self.many.repository
        return {f"status of {MANY}": seconds(self.many.treedock("status"), cwd=where)}


@contextmanager
def scenes(
    image: str, beside: Path | None = None, **contents: Content
) -> Iterator[tuple[Path, list[Scene]]]:
    """A scratch folder with a repository for each name; no container or volume of theirs survives
    it. The one named `theirs` is for the command `beside`."""
    made: list[Scene] = []
    with tempfile.TemporaryDirectory(prefix="treedock-benchmark-") as folder:
        # Twice the slots: one block of ports for treedock, one for its counterparts.
        first_port = free_block(4 * SLOTS)
        try:
            for name, content in contents.items():
                command = beside if beside and name == "theirs" else TREEDOCK
                made.append(Scene(Path(folder) / name, image, first_port, content, command))
            yield Path(folder), made
        finally:
            unwanted = (signal.SIGINT, signal.SIGTERM)
            before = [signal.signal(one, signal.SIG_IGN) for one in unwanted]
            say("cleaning up")
            for scene in made:
                scene.remove_all()
            for one, handler in zip(unwanted, before, strict=True):
                signal.signal(one, handler)


def measure(
    turns: Turns, groups: tuple[str, ...], rounds: int, image: str, beside: Path | None
) -> None:
    if set(groups) - {"verbs", "merging", "warm"}:
        with scenes(image, one=Content(), many=Content()) as (folder, (one, many)):
            running = Running(turns, folder, one, many)
            if "one" in groups:
                running.measure_one(rounds)
            if "many" in groups:
                running.measure_many(rounds)
            if "looks" in groups:
                running.measure_looks(rounds)
    if "verbs" in groups:
        contents = {"ours": SIMPLEST, **({"theirs": SIMPLEST} if beside else {})}
        with scenes(image, beside, **contents) as (_, made):
            verbs.measure(turns, rounds, dict(zip(["", ", beside"], made, strict=False)))
    if "merging" in groups:
        larger = Content(modules=MANY_FILES)
        with scenes(image, large=larger, queue=Content()) as (folder, (large, queue)):
            say("installing mergetrain")
            Merging(turns, large, queue, Mergetrain(folder)).measure(rounds)
    if "warm" in groups:
        with scenes(image, shop=EMPTY, empty=EMPTY, little=LITTLE) as (folder, made):
            Warm(turns, folder, *made).measure(rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure treedock beside its floor and peers.")
    parser.add_argument("--rounds", type=int, default=10, help="of the shortest comparison")
    parser.add_argument("--image", default="fullstack", help="the image of all containers")
    parser.add_argument("--only", nargs="+", choices=GROUPS, help="parts, printed and not written")
    parser.add_argument("--beside", type=Path, help="the command of another treedock")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    turns = Turns()
    groups = tuple(asked.only or GROUPS)
    beside = asked.beside and asked.beside.absolute()
    measure(turns, groups, asked.rounds, asked.image, beside)
    machine = report.machine(docker.APIClient(version="auto"))
    results = report.document(turns.samples, turns.sizes, machine)
    if not asked.only:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(report.tables(results))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
