"""`compose`: an instance as a Compose file, so that it runs without treedock too."""

from pathlib import Path

from runner import resources
from runner.adapters.files import untrusted
from runner.controller.instance.container import wanted
from runner.controller.instance.sidecars import wanted_sidecar
from runner.controller.operation import Operation
from runner.controller.project import Project
from runner.controller.stream import Stream
from runner.domain.errors import Refused
from runner.domain.instance.environment import ENV_FILE
from runner.domain.rendering.compose_file import Beside, Instance, render_compose

TEMPLATE = "instance.yaml"


def compose_file(project: Project, instance: str) -> str:
    """The text of the file, by today's treedock.yaml. Raises NotFound without the instance, and
    Refused where it has not been up, because its images and volumes are made then."""
    operation = Operation(project, instance, Stream())
    worktree = Path(operation.record.worktree)
    own, beside = operation.container(), operation.sidecars()
    missing = [name for name in project.config.sidecars if name not in beside]
    if own is None or missing:
        what = f"the sidecar {missing[0]}" if own else "a container"
        raise Refused(
            f"{instance} does not have {what} yet, whose image the file would name.",
            hint=f"Bring it up once: treedock up {instance}",
        )
    operation.image = own.image
    spec = wanted(operation)
    # What is no regular file gave no value to the instance, and is not for Compose to read either.
    readable = spec.secrets and untrusted.kind(worktree, ENV_FILE) == "file"
    found = Instance(
        id=instance,
        project=project.name,
        spec=spec,
        env_file=str(worktree / ENV_FILE) if readable else None,
        services=project.config.services,
        sidecars={
            name: Beside(
                wanted_sidecar(operation, name, own.id, beside[name].image), sidecar.is_own
            )
            for name, sidecar in project.config.sidecars.items()
        },
    )
    template = resources.compose() / TEMPLATE
    return render_compose(template.read_text(encoding="utf-8"), found)
