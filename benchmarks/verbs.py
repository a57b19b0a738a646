"""Single verbs on the simplest project: how each is prepared, and how it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from processes import run
from scene import Content, Scene

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
