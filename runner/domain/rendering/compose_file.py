"""An instance as a Compose file: the template in compose/, filled in.

In the template `$name` at the end of a line is a value; a line whose value is empty goes. Blocks
are parted by empty lines, and the one about `$service` or `$sidecar` stands once for each.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.domain.instance.container import WORKSPACE, ContainerSpec
from runner.domain.rendering.yaml_text import block, flow

if TYPE_CHECKING:
    from runner.domain.config.sections import Service

READY = {"test": ["CMD", "treedock-ready"], "interval": "1s", "timeout": "5s", "retries": 60}

_VALUE = re.compile(r"^(?P<head>[^#$]*)\$(?P<name>[a-z_]+)(?P<tail>:?)$")
_NAMED = re.compile(r"\$([a-z]+)")


@dataclass(frozen=True)
class Beside:
    """A sidecar: its container, and whether its image has `treedock-ready`."""

    spec: ContainerSpec
    tells: bool


@dataclass(frozen=True)
class Instance:
    """What the file is about. `env_file` is None where no value comes from one."""

    id: str
    project: str
    spec: ContainerSpec
    env_file: str | None
    services: "Mapping[str, Service]"
    sidecars: Mapping[str, Beside]

    @property
    def owner(self) -> str:
        """What the container with the network namespace is called; no service's name has a '_'."""
        taken = {*self.services, *self.sidecars}
        return "instance" if "instance" not in taken else "instance_"


def render_compose(template: str, instance: Instance) -> str:
    """The text of the Compose file."""
    parts = template.rstrip("\n").split("\n\n")
    filled = (_block(part, values) for part in parts for values in _values(part, instance))
    return "\n\n".join(text for text in filled if text) + "\n"


def _block(part: str, values: Mapping[str, Any]) -> str:
    return "\n".join(line for row in part.split("\n") for line in _fill(row, values))


def _values(part: str, instance: Instance) -> Iterable[Mapping[str, Any]]:
    """What a block is filled with, once for each time it stands."""
    if "$service:" in part:
        return [_service(instance, name) for name in instance.services]
    if "$sidecar:" in part:
        return [_sidecar(instance, name) for name in instance.sidecars]
    return [_instance(instance)]


def _instance(instance: Instance) -> dict[str, Any]:
    spec = instance.spec
    forwards = [*((port, port) for port in spec.ports), *spec.forwards.items()]
    return {
        "id": instance.id,
        "project": instance.project,
        "instance": instance.owner,
        "hostname": spec.hostname,
        "env_file": [instance.env_file] if instance.env_file else [],
        "ports": [f"{spec.publish}:{host}:{inside}" for inside, host in forwards],
        "data": {volume.name: {"external": True} for volume in _volumes(instance)},
        **_container(spec),
    }


def _service(instance: Instance, name: str) -> dict[str, Any]:
    service = instance.services[name]
    folder = "" if service.folder == "." else f"/{service.folder}"
    return {
        "service": name,
        "network": f"service:{instance.owner}",
        "waits": {
            other: {"condition": "service_healthy" if beside.tells else "service_started"}
            for other, beside in instance.sidecars.items()
        },
        "folder": WORKSPACE + folder,
        "run": ["sh", "-c", service.run],
        "restart": "on-failure:5" if service.restart == "on-failure" else "",
    }


def _sidecar(instance: Instance, name: str) -> dict[str, Any]:
    beside = instance.sidecars[name]
    return {
        "sidecar": name,
        "network": f"service:{instance.owner}",
        "command": list(beside.spec.command or ()),
        "healthcheck": READY if beside.tells else {"disable": True},
        **_container(beside.spec),
    }


def _container(spec: ContainerSpec) -> dict[str, Any]:
    """What every container has."""
    mounts: list[dict[str, Any]] = [
        {"type": "bind", "source": mount.source, "target": mount.target}
        | ({"read_only": True} if mount.read_only else {})
        for mount in spec.mounts
    ]
    mounts += [
        {"type": "volume", "source": volume.name, "target": volume.target}
        | ({"read_only": True} if volume.read_only else {})
        for volume in spec.volumes
    ]
    return {
        "image": spec.image,
        "user": spec.user,
        "environment": dict(spec.environment),
        "volumes": mounts,
        "memory": spec.limits.memory,
        "cpus": spec.limits.cpus,
        "pids": spec.limits.pids,
        "capabilities": list(spec.capabilities),
    }


def _fill(line: str, values: Mapping[str, Any]) -> list[str]:
    match = _VALUE.match(line)
    if match is None:
        return [_NAMED.sub(lambda found: str(values[found[1]]), line)]
    head, value = match["head"], _literal(values[match["name"]])
    if not value:
        return []
    if isinstance(value, str | int | float) or "entrypoint" in head:
        return [head + flow(value) + match["tail"]]
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    return [head.rstrip(), *block(value, indent)]


def _literal(value: Any) -> Any:
    """The value as Compose has to read it, which would put variables in the place of `$NAME`."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value


def _volumes(instance: Instance) -> Iterable[Any]:
    for spec in (instance.spec, *(beside.spec for beside in instance.sidecars.values())):
        yield from spec.volumes
