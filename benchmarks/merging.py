"""Commits out of instances and back into base: sync, conflicts, and the queue of `merge`."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peers import Mergetrain
from processes import run, seconds
from scene import Scene
from turns import Turns

DRIVER = Path(__file__).with_name("timed_calls.py")
MANY_FILES = 2000
IDLE = 20
QUEUE = 10
SHORT, LONG = 3, 10  # seconds that a gate waits
WIDTH = 4  # what treedock has by default


class Merging:
    """`large` has MANY_FILES, for sync and conflicts; the main of `queue` moves on with every
    queue that lands."""

    def __init__(self, turns: Turns, large: Scene, queue: Scene, mergetrain: Mergetrain) -> None:
        self._turns = turns
        self._large = large
        self._queue = queue
        self._mergetrain = mergetrain

    def measure(self, rounds: int) -> None:
        few, fewest = max(3, rounds // 2), max(1, rounds // 10)
        with instances(self._large, 1) as ids:
            self._synced = ids[0]
            looks = [self._start_up, self._sync, self._sync_process]
            self._turns.take("sync", few, looks)
        with instances(self._large, IDLE) as ids:
            self._idle = ids
            self._turns.take("conflicts", few, [self._conflicts])
        # These take as long as their gates: one of both is enough to warm up.
        self._turns.take("queue", 0, [self._wide])
        queues = [self._narrow, self._wide]
        self._turns.take("queue", 2 * fewest, queues, warm_up=False)
        self._mergetrain.connect(self._queue.repository)
        beside = [self._long, self._ordered, self._long_at_once, self._batch]
        self._turns.take("beside mergetrain", fewest, beside, warm_up=False)

    # --- sync and conflicts -----------------------------------------------------------------

    def _start_up(self) -> dict[str, float]:
        return {"start-up of both": seconds(self._driver("nothing"), cwd=self._large.repository)}

    def _sync(self) -> dict[str, float]:
        return self._timed_inside("sync", self._synced)

    def _sync_process(self) -> dict[str, float]:
        where = self._large.repository
        run(self._driver("commit", self._synced), cwd=where)
        sync = self._large.treedock("sync", self._synced)
        return {
            f"sync of {what}: whole process": seconds(sync, cwd=where)
            for what in ("one new commit", "none")
        }

    def _conflicts(self) -> dict[str, float]:
        return self._timed_inside("conflicts", *self._idle)

    def _timed_inside(self, *words: str) -> dict[str, float]:
        found: dict[str, float] = json.loads(run(self._driver(*words), cwd=self._large.repository))
        return found

    def _driver(self, *words: str) -> list[str | Path]:
        return [sys.executable, DRIVER, *words]

    # --- the queue --------------------------------------------------------------------------

    def _narrow(self) -> dict[str, float]:
        return self._merge(SHORT, 1)

    def _wide(self) -> dict[str, float]:
        return self._merge(SHORT, WIDTH)

    def _long(self) -> dict[str, float]:
        return self._merge(LONG, WIDTH)

    def _long_at_once(self) -> dict[str, float]:
        return self._merge(LONG, QUEUE)

    def _merge(self, gate: int, width: int) -> dict[str, float]:
        """The whole verb: sync, candidates, gates, landing, and removing the instances."""
        scene = self._queue
        with instances(scene, QUEUE) as ids:
            options = ["--gate", f"sleep {gate}", "--width", str(width)]
            merge = seconds(scene.treedock("merge", *ids, *options), cwd=scene.repository)
        return {f"merge of {QUEUE}: {gate} s gates, width {width}": merge}

    def _ordered(self) -> dict[str, float]:
        return self._land("ordered")

    def _batch(self) -> dict[str, float]:
        return self._land("batch")

    def _land(self, mode: str) -> dict[str, float]:
        """What lands is enqueued before, untimed; the worktrees stay, as mergetrain leaves them."""
        self._mergetrain.configure(mode, f"sleep {LONG}")
        git: list[str | Path] = ["git", "-C", self._queue.repository]
        branches = self._queue.ids(QUEUE)
        trees = {branch: self._queue.folder / "peers" / branch for branch in branches}
        for branch, tree in trees.items():
            base = "refs/remotes/origin/main"
            run([*git, "worktree", "add", "--quiet", "--no-track", "-b", branch, tree, base])
            commit(branch, tree)
            self._mergetrain.enqueue(branch)
        # Ordered, a run of it lands one.
        runs = QUEUE if mode == "ordered" else 1
        landed = sum(seconds(self._mergetrain.land()) for _ in range(runs))
        run([*git, "fetch", "--quiet", "origin"])
        for branch, tree in trees.items():
            run([*git, "merge-base", "--is-ancestor", branch, "refs/remotes/origin/main"])
            run([*git, "worktree", "remove", "--force", tree])
        return {f"mergetrain of {QUEUE}: {LONG} s gates, {mode}": landed}


@contextmanager
def instances(scene: Scene, count: int) -> Iterator[list[str]]:
    """New instances, each with a commit of its own; removed afterwards if still there."""
    ids = scene.ids(count)
    run(scene.treedock("up", *ids), cwd=scene.repository)
    for id_ in ids:
        commit(id_, scene.repository / "trees" / id_)
    yield ids
    records = scene.repository / ".git/treedock/instances"
    left = [id_ for id_ in ids if (records / id_ / "record.json").exists()]
    if left:
        scene.clean(left)


def commit(name: str, tree: Path) -> None:
    """A new file in a worktree of the host, committed there."""
    (tree / f"app/{name}.py").write_text(f'"""Module {name}."""\n')
    git: list[str | Path] = ["git", "-C", tree]
    run([*git, "add", "--all"])
    run([*git, "commit", "--quiet", "--message", name])
