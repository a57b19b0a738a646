"""Single verbs on the simplest project: how each is prepared, asked for, and timed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from processes import run, seconds
from scene import Content, Scene
from turns import Measurement, Turns

SIMPLEST = Content(modules=0, config="", files={"README": "a project\n"})
COMMIT = "date +%N > worked && git add worked && git commit --quiet --message work"
ID = "{id}"


@dataclass(frozen=True)
class Verb:
    """`prepare` gets an id that was not used before; what it does is not measured. Afterwards the
    instance is removed where the verb has not done that."""

    name: str
    words: tuple[str, ...]
    prepare: Callable[[Scene, str], None]

    def command(self, scene: Scene, instance: str) -> list[str]:
        words = [instance if word == ID else word for word in self.words]
        return [str(word) for word in scene.treedock(*words)]


def nothing(scene: Scene, instance: str) -> None:
    """The verb begins without an instance."""


def up(scene: Scene, instance: str) -> None:
    run(scene.treedock("up", instance), cwd=scene.repository)


def synced(scene: Scene, instance: str) -> None:
    up(scene, instance)
    run(scene.treedock("sync", instance), cwd=scene.repository)


def committed(scene: Scene, instance: str) -> None:
    """With one commit, made inside, that the host does not have yet."""
    up(scene, instance)
    run(scene.treedock("exec", instance, "--", "sh", "-c", COMMIT), cwd=scene.repository)


VERBS = (
    Verb("list", ("list",), up),
    Verb("exec", ("exec", ID, "--", "true"), up),
    Verb("status", ("status", ID), up),
    Verb("sync of none", ("sync", ID), synced),
    Verb("up, unchanged", ("up", ID), up),
    Verb("up", ("up", ID), nothing),
    Verb("clean", ("clean", ID), up),
    Verb("merge", ("merge", ID, "--gate", "true"), committed),
)


def remove(scene: Scene, instance: str) -> None:
    """Remove the instance where it is still there."""
    if (scene.repository / "trees" / instance).exists():
        scene.clean([instance])


def timed(scene: Scene, verb: Verb) -> float:
    """Seconds of the whole process, on a new instance."""
    [instance] = scene.ids(1)
    verb.prepare(scene, instance)
    took = seconds(verb.command(scene, instance), cwd=scene.repository)
    remove(scene, instance)
    return took


def measure(turns: Turns, rounds: int, scenes: Mapping[str, Scene]) -> None:
    """Every verb in every scene in turns, and a plain `docker exec`. A scene's name is put behind
    the verb's."""
    takes: list[Measurement] = [partial(_docker_exec, next(iter(scenes.values())))]
    takes += [partial(_one, verb, name, scene) for verb in VERBS for name, scene in scenes.items()]
    turns.take("verbs", rounds, takes)


def _one(verb: Verb, name: str, scene: Scene) -> dict[str, float]:
    return {f"verb: {verb.name}{name}": timed(scene, verb)}


def _docker_exec(scene: Scene) -> dict[str, float]:
    [instance] = scene.ids(1)
    up(scene, instance)
    container = scene.container(instance)["Id"]
    took = seconds(["docker", "exec", container, "true"])
    scene.clean([instance])
    return {"docker exec": took}
