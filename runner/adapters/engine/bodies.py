"""What the engine is asked for, as its API wants it (Docker's API: ContainerCreate)."""

from collections.abc import Mapping
from typing import Any

from runner.adapters.engine.protocol import Exec
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec


def container_body(spec: ContainerSpec) -> dict[str, Any]:
    """The container that `spec` describes. Without a command of its own it only waits."""
    idle = spec.command is None
    published = [(port, port) for port in spec.ports] + list(spec.forwards.items())
    return {
        "Image": spec.image,
        "Entrypoint": ["sh", "-c", names.IDLE] if idle else None,
        "Cmd": list(spec.command or ()) or None,
        "Hostname": spec.hostname,
        "User": spec.user,
        "WorkingDir": names.WORKSPACE if idle else "",
        "Env": _assignments({**spec.secrets, **spec.environment}),
        "Labels": {**spec.labels, names.LABEL_SPEC: spec.fingerprint},
        "ExposedPorts": {f"{inner}/tcp": {} for inner, _ in published},
        "Healthcheck": {"Test": ["NONE"]},
        "StopSignal": "SIGTERM" if idle else "",
        "HostConfig": {
            "Init": True,
            "Mounts": _mounts(spec),
            "CapDrop": ["ALL"],
            "CapAdd": list(spec.capabilities),
            "SecurityOpt": ["no-new-privileges"],
            "Memory": spec.limits.memory,
            "MemorySwap": spec.limits.memory,
            "NanoCpus": int(spec.limits.cpus * 1e9),
            "PidsLimit": spec.limits.pids,
            "NetworkMode": f"container:{spec.inside}" if spec.inside else spec.network,
            "PortBindings": {
                f"{inner}/tcp": [{"HostIp": spec.publish, "HostPort": str(port)}]
                for inner, port in published
            },
            "LogConfig": {"Type": spec.log[0], "Config": dict(spec.log[1])},
        },
    }


def exec_body(
    command: Exec, *, joined: bool = False, stdin: bool = False, tty: bool = False
) -> dict[str, Any]:
    """A command inside, `joined` to streams of ours or not (Docker's API: ContainerExec)."""
    return {
        "Cmd": list(command.argv),
        "Env": _assignments(command.env),
        "WorkingDir": command.workdir,
        "AttachStdin": stdin,
        "AttachStdout": joined,
        "AttachStderr": joined,
        "Tty": tty,
    }


def _mounts(spec: ContainerSpec) -> list[dict[str, Any]]:
    binds = [("bind", one.source, one.target, one.read_only) for one in spec.mounts]
    volumes = [("volume", one.name, one.target, one.read_only) for one in spec.volumes]
    return [
        {"Type": kind, "Source": source, "Target": target, "ReadOnly": read_only}
        for kind, source, target, read_only in [*binds, *volumes]
    ]


def _assignments(environment: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in environment.items()]
