"""Docker: what treedock asks of it, once for every way to it.

A local socket is spoken to directly, because importing docker-py takes longer than most verbs;
other ways to an engine, and what is more than a few requests, go through docker-py.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote

from runner.adapters import cancellation
from runner.adapters.engine.bodies import container_body
from runner.adapters.engine.calls import CONFLICT, NOT_FOUND, TIMEOUT, Calls, filters, required
from runner.adapters.engine.execs import Execs
from runner.adapters.engine.protocol import (
    EVERYTHING,
    ICC,
    LIMITS,
    EngineInfo,
    Exec,
    Filter,
    ImageBuild,
    Terminal,
    container_of,
    require_own_volume,
)
from runner.adapters.engine.streams import Streams
from runner.adapters.engine.unix import UnixCalls, engine_socket
from runner.adapters.failpoints import step
from runner.domain.errors import EngineFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec
from runner.domain.instance.record import ContainerStatus

if TYPE_CHECKING:
    from runner.adapters.engine.docker_py import DockerPy

GLANCE = 0.5  # seconds until the engine is asked again
SETTLED_WITHIN = 10.0  # seconds until the engine reports what it has answered to have done
SETTLE_GLANCE = 0.02


class DockerEngine(Execs, Streams):
    """The engine that `environment` names, as for the docker command; it is connected to at the
    first call."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    @cached_property
    def calls(self) -> Calls:
        path = engine_socket(self._environment)
        return UnixCalls(path) if path else self._docker_py

    @cached_property
    def _docker_py(self) -> "DockerPy":
        from runner.adapters.engine.docker_py import DockerPy

        return DockerPy(self._environment)

    def _required(self, method: str, target: str, body: object = None) -> Any:
        return required(*self.calls.ask(method, target, body))

    def info(self) -> EngineInfo:
        data, version = self._required("GET", "/info"), self._required("GET", "/version")
        root = data.get("DockerRootDir")
        security = " ".join(data.get("SecurityOptions") or ())
        cgroup = str(data.get("CgroupVersion") or "")
        parts = version.get("Components") or [{}]
        return EngineInfo(
            version=version["Version"],
            api_version=version["ApiVersion"],
            data_root=root if root and Path(root).is_dir() else None,
            rootless="rootless" in security,
            name=parts[0].get("Name") or "Engine",
            cgroup_version=int(cgroup) if cgroup.isdecimal() else None,
            limits=frozenset(limit for limit, key in LIMITS.items() if data.get(key)),
            userns="userns" in security,
        )

    # --- network ----------------------------------------------------------------------------

    def has_network(self) -> bool:
        return self._network(names.NETWORK) is not None

    def ensure_network(self) -> None:
        same = self._network(names.NETWORK)
        if same:
            _require_isolating(same)
            return
        wanted = {
            "Name": names.NETWORK, "Driver": "bridge", "CheckDuplicate": True,
            "Options": {ICC: "false"}, "Labels": {names.LABEL: "network"},
        }  # fmt: skip
        status, found = self.calls.ask("POST", "/networks/create", wanted)
        if status != CONFLICT:  # another treedock was quicker
            required(status, found)

    def _network(self, name: str) -> dict[str, Any] | None:
        found = self._required("GET", f"/networks?{filters(name=[name])}")
        return next((one for one in found if one["Name"] == name), None)  # it matches parts, too

    # --- containers -------------------------------------------------------------------------

    def containers(self, wanted: Filter = EVERYTHING) -> list[Container]:
        found = self._required("GET", f"/containers/json?all=1&{_labelled(wanted)}")
        return [container_of(item) for item in found]

    def create(self, spec: ContainerSpec) -> str:
        target = f"/containers/create?name={quote(spec.name)}"
        made = self._required("POST", target, container_body(spec))
        step("engine create")
        return str(made["Id"])

    def start(self, container: str) -> None:
        target = f"/containers/{container}/start"
        status, found = self.calls.ask("POST", target)
        if status >= 400 and self._reattached(container):
            status, found = self.calls.ask("POST", target)
        required(status, found)
        self._await("started", container, lambda status: self._has_run(container, status))
        step("engine start")

    def stop(self, container: str, timeout: int) -> None:
        self._required("POST", f"/containers/{container}/stop?t={timeout}")
        self._await("stopped", container, lambda status: status not in ("running", "paused"))
        step("engine stop")

    def pause(self, container: str) -> None:
        self._required("POST", f"/containers/{container}/pause")
        self._await("paused", container, lambda status: status == "paused")
        step("engine pause")

    def remove(self, container: str) -> None:
        status, found = self.calls.ask("DELETE", f"/containers/{container}?force=1&v=1")
        if status == CONFLICT:  # another client, killed perhaps, has begun to remove it
            target = f"/containers/{container}/wait?condition=removed"
            status, found = self.calls.ask("POST", target)
        if status != NOT_FOUND:
            required(status, found)
            self._await("removed", container, lambda status: status is None)
        step("engine remove")

    def _await(
        self, what: str, container: str, done: Callable[[ContainerStatus | None], bool]
    ) -> None:
        """Wait until the engine lists the container as such: since Docker 26 it answers before.
        Raises EngineFailed after SETTLED_WITHIN seconds."""
        key, value = ("id", container) if len(container) == 64 else ("name", f"^/{container}$")
        deadline = time.monotonic() + SETTLED_WITHIN
        while True:
            found = self._required("GET", f"/containers/json?all=1&{filters(**{key: [value]})}")
            if done(container_of(found[0]).status if found else None):
                return
            if time.monotonic() > deadline:
                raise EngineFailed(
                    f"The engine does not report the container {container} as {what}.",
                    hint=f"See what it does: docker ps --all --filter {key}={value}",
                )
            cancellation.sleep(SETTLE_GLANCE)

    def _has_run(self, container: str, status: ContainerStatus | None) -> bool:
        """Whether it runs, or has come to its end already."""
        if status == "exited":
            state = self._required("GET", f"/containers/{container}/json")["State"]
            return not state["Running"]
        return status == "running"

    def _reattached(self, container: str) -> bool:
        """Whether the network that the container was made with is another one of that name now,
        and it was attached to that: someone removed the old one while it was stopped."""
        about = self._required("GET", f"/containers/{container}/json")
        name = about["HostConfig"]["NetworkMode"]
        before = about["NetworkSettings"]["Networks"].get(name)
        if before is None:  # it shares another container's, or has none
            return False
        if name == names.NETWORK:
            self.ensure_network()
        now = self._network(name)
        if now is None or now["Id"] == before["NetworkID"]:
            return False
        leave = {"Container": container, "Force": True}
        self._required("POST", f"/networks/{quote(name)}/disconnect", leave)
        self._required("POST", f"/networks/{quote(name)}/connect", {"Container": container})
        return True

    def terminal(
        self, container: str, command: Exec, *, rows: int, columns: int
    ) -> AbstractContextManager[Terminal]:
        from runner.adapters.engine.terminals import terminal

        return terminal(self, self.calls, container, command, (rows, columns))

    def layer_sizes(self) -> dict[str, int]:
        found = self._required("GET", f"/containers/json?all=1&size=1&{_labelled(EVERYTHING)}")
        return {item["Id"]: item.get("SizeRw", 0) for item in found}

    def put(self, container: str, folder: str, tar: bytes) -> None:
        self._required("PUT", f"/containers/{container}/archive?path={quote(folder)}", tar)
        step("engine put")

    # --- volumes ----------------------------------------------------------------------------

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._make_volume(name, labels, {})
        step("engine volume")

    def ensure_overlay(self, name: str, lower: str, upper: str, labels: Mapping[str, str]) -> None:
        below, above = (
            self._required("GET", f"/volumes/{quote(one)}")["Mountpoint"] for one in (lower, upper)
        )
        # redirect_dir: without it no folder from below can be renamed, which npm does.
        folders = f"lowerdir={below},upperdir={above}/upper,workdir={above}/work"
        folders += ",redirect_dir=on"
        self._make_volume(name, labels, {"type": "overlay", "device": "overlay", "o": folders})
        step("engine overlay")

    def _make_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        wanted = {"Name": name, "Driver": "local", "DriverOpts": options, "Labels": dict(labels)}
        made = self._required("POST", "/volumes/create", wanted)
        require_own_volume(name, made["Labels"] or {}, labels)

    def volumes(self, wanted: Filter = EVERYTHING) -> list[str]:
        found = self._required("GET", f"/volumes?{_labelled(wanted)}")
        return [volume["Name"] for volume in found["Volumes"] or ()]

    def users(self, volume: str) -> list[str]:
        # This filter takes a folder inside for a name, too.
        found = self._required("GET", f"/containers/json?{filters(volume=[volume])}")
        return [
            container_of(item).name
            for item in found
            if any(mount.get("Name") == volume for mount in item["Mounts"])
        ]

    def volume_sizes(self) -> dict[str, int]:
        found = self._disk_usage()["Volumes"] or ()
        # -1 where the engine cannot tell, which it can for those in which it keeps files itself.
        return {item["Name"]: max(0, (item["UsageData"] or {}).get("Size", 0)) for item in found}

    def _disk_usage(self) -> dict[str, Any]:
        """Engines before 23 count for one client at a time and refuse all others meanwhile."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            status, found = self.calls.ask("GET", "/system/df")
            if "already running" not in str(found) or time.monotonic() > deadline:
                return dict(required(status, found))
            cancellation.sleep(GLANCE)

    def remove_volume(self, name: str) -> None:
        status, found = self.calls.ask("DELETE", f"/volumes/{quote(name)}")
        if status != NOT_FOUND:
            required(status, found)
        step("engine remove volume")

    # --- images -----------------------------------------------------------------------------

    def image(self, name: str) -> str | None:
        status, found = self.calls.ask("GET", f"/images/{quote(name)}/json")
        return None if status == NOT_FOUND else str(required(status, found)["Id"])

    def images(self) -> list[tuple[str, str]]:
        found = self._required("GET", f"/images/json?{_labelled(EVERYTHING)}")
        return [(tag, item["Id"]) for item in found for tag in item["RepoTags"] or ()]

    def remove_image(self, name: str) -> None:
        status, found = self.calls.ask("DELETE", f"/images/{quote(name)}")
        if status not in (NOT_FOUND, CONFLICT):  # gone, or in use
            required(status, found)

    def pull(self, name: str, patience: float) -> None:
        self._docker_py.pull(name, patience)

    def import_image(self, tarball: BinaryIO, name: str) -> None:
        self._docker_py.import_image(tarball, name)

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        self.ensure_network()
        self._docker_py.build(wanted, say)


def _labelled(wanted: Filter) -> str:
    return filters(label=wanted.words)


def _require_isolating(network: Mapping[str, Any]) -> None:
    """A network of our name that another program made might let siblings reach each other."""
    if (network.get("Options") or {}).get(ICC) != "false":
        raise EngineFailed(
            f"There is a network {names.NETWORK!r} on which containers reach each other.",
            hint=f"Remove it, treedock makes its own: docker network rm {names.NETWORK}",
        )
