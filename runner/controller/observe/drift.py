"""How far an instance is from what treedock.yaml says today, told without asking git or inside."""

from pathlib import Path

from runner.controller.data.reset import reset_key
from runner.controller.instance.services import service_key
from runner.controller.instance.setup import setup_keys
from runner.controller.instance.sidecars import sidecar_key
from runner.domain.config.project import Config
from runner.domain.config.sections import Image
from runner.domain.instance.container import Container, project_repository
from runner.domain.instance.record import Record


def out_of_date(
    config: Config, project: str, record: Record, container: Container | None
) -> list[str]:
    """The keys of treedock.yaml that changed since the last `up` that ended well. Empty for an
    instance that never came up: the next `up` completes it anyway."""
    if not record.ready:
        return []
    database = config.database
    reset = reset_key(database) if database and database.reset else None
    services = {name: service_key(service) for name, service in config.services.items()}
    sidecars = {name: sidecar_key(sidecar) for name, sidecar in config.sidecars.items()}
    changed = {
        "image": container is not None and not _is_of(container.image, config.image, project),
        "ports": not _fit(config, record),
        "setup": tuple(setup_keys(config.setup, Path(record.worktree))) != record.setup_done,
        "verify": config.verify not in (None, record.verified),
        **{
            f"services.{name}": services.get(name) != record.services.get(name)
            for name in sorted({*services, *record.services})
        },
        **{
            f"sidecars.{name}": sidecars.get(name) != record.sidecars.get(name)
            for name in sorted({*sidecars, *record.sidecars})
        },
        "database.reset": reset is not None and reset != record.reset_key,
    }
    return [key for key, is_so in changed.items() if is_so]


def _is_of(image: str, wanted: str | Image, project: str) -> bool:
    """Whether a container's image may be the wanted one. Tags that treedock makes are not looked
    into, and a name that means another image by now is shown as an id, which tells nothing."""
    if image.startswith("sha256:"):
        return True
    if isinstance(wanted, str):
        return image.startswith(f"treedock/{wanted}:")
    if wanted.name:
        return image == wanted.name
    return image.startswith(f"{project_repository(project)}:")


def _fit(config: Config, record: Record) -> bool:
    """Whether the ports are those of the instance's slot; without a slot any will do."""
    return record.ports.keys() == config.ports.keys() and all(
        record.slot is None or port == config.ports[name].first + record.slot
        for name, port in record.ports.items()
    )
