"""Measure treedock beside its floor and its peers: whole processes, in one run.

    python benchmarks/run.py [--rounds N] [--image NAME]

What is compared takes turns (A B A B), so that a drift of the machine hits both. Prints tables
and writes benchmarks/results.json. Removes everything it made, also when it fails or is
interrupted. It judges nothing: its exit code does not depend on the figures.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import report
from peers import Devcontainer, Wtenv
from processes import run, seconds
from scene import SLOTS, Scene, free_block

RESULTS = Path(__file__).with_name("results.json")
MANY = 20

# One measurement: seconds by the name of what was measured; whatever it needs or leaves it
# prepares or removes outside of the measured time.
Measurement = Callable[[], dict[str, float]]


class Benchmark:
    """`one` has one instance all the time, `many` has none, and then `MANY`."""

    def __init__(self, one: Scene, many: Scene, wtenv: Wtenv, devcontainer: Devcontainer) -> None:
        self.one = one
        self.many = many
        self.wtenv = wtenv
        self.devcontainer = devcontainer
        self.samples: dict[str, list[float]] = defaultdict(list)
        # It also builds the image where that is missing.
        run(one.treedock("up", "first"), cwd=one.repository)
        self.model = one.container("first")

    def measure(self, rounds: int) -> None:
        self._take_turns("one", rounds, [self._up_down, self._floor, self._devcontainer])
        few = max(3, rounds // 2)
        self._take_turns("many", few, [self._up_many, self._floor_many, self._starts_many])
        run(self.many.treedock("up", *self.many.ids(MANY)), cwd=self.many.repository)
        looks = [self._interpreter, self._list_one, self._list_many, self._wtenv, self._status]
        self._take_turns("looks", 2 * rounds, looks)

    def _take_turns(self, what: str, rounds: int, measurements: list[Measurement]) -> None:
        """All measurements in turns; the first round warms up and does not count."""
        for number in range(rounds + 1):
            say(f"{what}: round {number} of {rounds}" if number else f"{what}: warming up")
            for measurement in measurements:
                found = measurement()
                for name, sample in found.items():
                    if number:
                        self.samples[name].append(sample)

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
def scenes(image: str) -> Iterator[tuple[Path, Scene, Scene]]:
    """A scratch folder with two repositories; no container of theirs survives it."""
    made: list[Scene] = []
    with tempfile.TemporaryDirectory(prefix="treedock-benchmark-") as folder:
        # Twice the slots: one block of ports for treedock, one for its counterparts.
        first_port = free_block(4 * SLOTS)
        try:
            for name in ("one", "many"):
                made.append(Scene(Path(folder) / name, image, first_port))
            yield Path(folder), made[0], made[1]
        finally:
            for unwanted in (signal.SIGINT, signal.SIGTERM):
                signal.signal(unwanted, signal.SIG_IGN)
            say("cleaning up")
            for scene in made:
                scene.remove_all_containers()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure treedock beside its floor and peers.")
    parser.add_argument("--rounds", type=int, default=10, help="of the shortest comparison")
    parser.add_argument("--image", default="fullstack", help="the image of all containers")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with scenes(asked.image) as (folder, one, many):
        say("installing wtenv and the devcontainer command")
        wtenv, devcontainer = Wtenv(folder), Devcontainer(folder, one.label)
        benchmark = Benchmark(one, many, wtenv, devcontainer)
        devcontainer.prepare(one.repository, *one.image_and_ports(benchmark.model))
        benchmark.measure(asked.rounds)
        results = report.document(benchmark.samples, report.machine(one.engine))
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(report.tables(results))


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
