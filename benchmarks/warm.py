"""Warm starts: an instance whose dependencies and database are there already, its disk and memory,
and the reset of databases."""

import json
import sys
from pathlib import Path
from typing import Any

from footprint import disk_megabytes, memory_megabytes, peak_megabytes
from peers import Devcontainer, Wtenv
from processes import run, seconds
from scene import Scene
from shop import FULL, INSTALL, LITTLE_DATABASE, LOCK, LOCKS
from turns import Turns, say

from runner.domain.instance.container import CA_BUNDLE

DRIVER = Path(__file__).with_name("timed_calls.py")
MANY = 20


class Warm:
    """`shop` is the scenario; `empty` has its files and its sidecar, and nothing else to do;
    `little` is on SQLite."""

    def __init__(
        self, turns: Turns, folder: Path, shop: Scene, empty: Scene, little: Scene
    ) -> None:
        self._turns = turns
        self._folder = folder
        self._shop = shop
        self._empty = empty
        self._little = little

    def measure(self, rounds: int) -> None:
        few, fewest = max(3, rounds // 2), max(1, rounds // 10)
        self._prepare()
        cold = [self._cold_up, self._cold_devcontainer, self._cold_warm]
        self._turns.take("cold", fewest, cold, warm_up=False)
        self._turns.take("warm", few, [self._warm_up, self._empty_up])
        self._turns.take("many", max(3, rounds // 3), [self._many], warm_up=False)
        self._weigh()
        self._prepare_resets()
        resets = [self._reset, self._reset_process, self._little_reset, self._little_process]
        self._turns.take("resets", few, [*resets, self._wtenv_process])

    def _prepare(self) -> None:
        """Images, the lock files, and the peer."""
        empty = self._empty
        run(empty.treedock("up", "first"), cwd=empty.repository)
        say("locking dependencies")
        run(empty.treedock("exec", "first", "--", "sh", "-c", LOCK), cwd=empty.repository)
        tree = empty.repository / "trees/first"
        self._shop.commit({name: (tree / name).read_text() for name in LOCKS}, FULL)
        self._model = empty.container("first")
        say("installing the devcontainer command")
        self._devcontainer = Devcontainer(self._folder, self._shop.label)
        image, ports = self._shop.image_and_ports(self._model)
        extra = _authorities(self._model)
        self._devcontainer.prepare(
            self._shop.repository, image, ports, postCreateCommand=INSTALL, **extra
        )

    # --- cold -------------------------------------------------------------------------------

    def _cold_up(self) -> dict[str, float]:
        self._forget()
        return {"cold up": self._up_of_one(self._shop)}

    def _cold_warm(self) -> dict[str, float]:
        self._forget()
        return {"treedock warm": seconds(self._shop.treedock("warm"), cwd=self._shop.repository)}

    def _cold_devcontainer(self) -> dict[str, float]:
        """Without PostgreSQL and its data, which a devcontainer gets from Compose or not at all."""
        up = seconds(self._devcontainer.up(), env=self._devcontainer.env)
        self._shop.remove_containers(self._shop.label)
        self._devcontainer.empty("frontend/node_modules", "backend/.venv")
        return {"devcontainer up, npm ci and uv sync": up}

    def _forget(self) -> None:
        prune = self._shop.treedock("cache", "prune", "--max-size", "0")
        run(prune, cwd=self._shop.repository)

    # --- warm -------------------------------------------------------------------------------

    def _warm_up(self) -> dict[str, float]:
        return {"warm up": self._up_of_one(self._shop)}

    def _empty_up(self) -> dict[str, float]:
        return {"up of an empty one and its PostgreSQL": self._up_of_one(self._empty)}

    def _up_of_one(self, scene: Scene) -> float:
        ids = scene.ids(1)
        up = seconds(scene.treedock("up", *ids), cwd=scene.repository)
        scene.clean(ids)
        return up

    def _many(self) -> dict[str, float]:
        """The floor: exactly these containers, made and started again; worktrees and volumes are
        there."""
        scene, ids = self._shop, self._shop.ids(MANY)
        up = seconds(scene.treedock("up", *ids), cwd=scene.repository)
        floor = seconds(scene.floor(scene.same_again(ids, "postgres")))
        scene.remove_floor()
        scene.clean(ids)
        return {f"{MANY} warm ups at once": up, f"floor of {2 * MANY}: starts": floor}

    def _weigh(self) -> None:
        """One instance, and many, before any of them resets its database."""
        say("weighing")
        scene, ids = self._shop, self._shop.ids(MANY)
        run(scene.treedock("up", ids[0]), cwd=scene.repository)
        self._turns.weigh("disk of 1", disk_megabytes(scene))
        peak = peak_megabytes(scene.treedock("up", *ids), scene.repository)
        self._turns.weigh(f"disk of {MANY}", disk_megabytes(scene))
        self._turns.weigh(f"memory of {MANY} and their PostgreSQL", memory_megabytes(scene))
        self._turns.weigh(f"treedock itself, up of {MANY}", peak)
        scene.clean(ids)

    # --- resets -----------------------------------------------------------------------------

    def _prepare_resets(self) -> None:
        for scene in (self._shop, self._little):
            run(scene.treedock("up", "reset"), cwd=scene.repository)
        say("installing wtenv")
        self._wtenv = Wtenv(self._folder)
        self._tree = self._folder / "wtenv-tree"
        repository = self._little.repository
        run(["git", "-C", repository, "worktree", "add", "-q", "--detach", self._tree])
        self._wtenv.prepare(self._tree, repository / "trees/reset" / LITTLE_DATABASE)

    def _reset(self) -> dict[str, float]:
        return {"db reset, PostgreSQL": self._timed_reset(self._shop)}

    def _little_reset(self) -> dict[str, float]:
        return {"db reset, SQLite": self._timed_reset(self._little)}

    def _reset_process(self) -> dict[str, float]:
        return {"db reset, PostgreSQL: whole process": self._whole_reset(self._shop)}

    def _little_process(self) -> dict[str, float]:
        return {"db reset, SQLite: whole process": self._whole_reset(self._little)}

    def _wtenv_process(self) -> dict[str, float]:
        renew = seconds(self._wtenv.renew(), cwd=self._tree, env=self._wtenv.env)
        return {"wtenv up without the copy, SQLite: whole process": renew}

    def _timed_reset(self, scene: Scene) -> float:
        said = run([sys.executable, DRIVER, "reset", "reset"], cwd=scene.repository)
        found: dict[str, float] = json.loads(said)
        return found["db reset"]

    def _whole_reset(self, scene: Scene) -> float:
        return seconds(scene.treedock("db", "reset", "reset"), cwd=scene.repository)


def _authorities(model: dict[str, Any]) -> dict[str, Any]:
    """What gives a devcontainer the host's certificate authorities, where `model` has them."""
    bundles = [m for m in model["Mounts"] if m["Destination"] == CA_BUNDLE]
    values = dict(line.split("=", 1) for line in model["Config"]["Env"])
    given = {key: value for key, value in values.items() if value == CA_BUNDLE}
    mounts = [f"type=bind,source={m['Source']},target={CA_BUNDLE},readonly" for m in bundles]
    return {"mounts": mounts, "containerEnv": given}
