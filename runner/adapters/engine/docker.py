"""Docker through docker-py. Nothing else imports docker-py; this module is imported late."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import docker
import requests.exceptions
import urllib3.exceptions
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Mount
from docker.utils import kwargs_from_env

from runner.adapters import cancellation
from runner.adapters.engine.execs import Connection, ExecCalls, Execs
from runner.adapters.engine.protocol import (
    EVERYTHING,
    HINT,
    ICC,
    EngineInfo,
    Filter,
    container_of,
    require_own_volume,
)
from runner.adapters.failpoints import step
from runner.domain.errors import EngineFailed, EngineUnavailable, ImageBuildFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec
from runner.domain.instance.record import ContainerStatus
from runner.domain.text import sentences, with_last_lines

CALL_TIMEOUT = 120  # seconds; starting 40 containers at once on two cores stays far below
GLANCE = 0.5  # seconds until the engine is asked again
SETTLED_WITHIN = 10.0  # seconds until the engine reports what it has answered to have done
SETTLE_GLANCE = 0.02
BUILD_MEMORY = 4 * 2**30
BUILD_CPU_SHARES = 512  # half a container's, where both want the cores
LAST_LINES = 20
STAGE = "treedock.stage"  # label of stages that nobody needs once the image is made

# An engine that goes away raises these, which are no DockerException; the latter in mid-answer.
_GONE = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)


class DockerEngine(Execs):
    """The engine that `docker` on this host talks to. Raises EngineUnavailable if none answers."""

    def __init__(self) -> None:
        self._api = _connect(CALL_TIMEOUT)
        self._info: EngineInfo | None = None
        self._exec_calls = _ExecCalls(self._api)

    @property
    def exec_calls(self) -> ExecCalls:
        return self._exec_calls

    def prepare(self) -> None:
        """It is."""

    def info(self) -> EngineInfo:
        # It counts all that it has for that, which twenty instances at once would wait for.
        self._info = self._info or self._asked_info()
        return self._info

    def _asked_info(self) -> EngineInfo:
        with _translated():
            data = self._api.info()
            version = self._api.version()
        root = data.get("DockerRootDir")
        security = " ".join(data.get("SecurityOptions") or ())
        return EngineInfo(
            version=version["Version"],
            api_version=version["ApiVersion"],
            data_root=root if root and Path(root).is_dir() else None,
            rootless="rootless" in security,
        )

    def containers(self, wanted: Filter = EVERYTHING) -> list[Container]:
        labels = [f"{name}={value}" for name, value in wanted.labels.items()]
        with _translated():
            found = self._api.containers(all=True, filters={"label": [names.LABEL, *labels]})
        return [container_of(item) for item in found]

    def has_network(self) -> bool:
        with _translated():
            return self._network(names.NETWORK) is not None

    def ensure_network(self) -> None:
        with _translated():
            same = self._network(names.NETWORK)
            if same:
                _require_isolating(same)
                return
            try:
                self._api.create_network(
                    names.NETWORK,
                    driver="bridge",
                    options={ICC: "false"},
                    labels={names.LABEL: "network"},
                    check_duplicate=True,
                )
            except APIError as error:
                if error.status_code != 409:  # 409: another treedock was quicker
                    raise

    def _network(self, name: str) -> dict[str, Any] | None:
        found = self._api.networks(names=[name])  # matches parts of names, too
        return next((one for one in found if one["Name"] == name), None)

    def create(self, spec: ContainerSpec) -> str:
        mounts = [
            Mount(m.target, m.source, type="bind", read_only=m.read_only) for m in spec.mounts
        ]
        mounts += [
            Mount(v.target, v.name, type="volume", read_only=v.read_only) for v in spec.volumes
        ]
        published: dict[int | str, Any] = {port: (spec.publish, port) for port in spec.ports}
        published |= {inner: (spec.publish, port) for inner, port in spec.forwards.items()}
        host = self._api.create_host_config(
            init=True,
            mounts=mounts,
            cap_drop=["ALL"],
            cap_add=list(spec.capabilities) or None,
            security_opt=["no-new-privileges"],
            mem_limit=spec.limits.memory,
            memswap_limit=spec.limits.memory,
            nano_cpus=int(spec.limits.cpus * 1e9),
            pids_limit=spec.limits.pids,
            network_mode=f"container:{spec.inside}" if spec.inside else spec.network,
            port_bindings=published,
            log_config=LogConfig(type=spec.log[0], config=spec.log[1]),
        )
        with _translated():
            made = self._api.create_container(
                spec.image,
                entrypoint=["sh", "-c", names.IDLE] if spec.command is None else None,
                command=list(spec.command or ()) or None,
                name=spec.name,
                hostname=spec.hostname or None,
                user=spec.user or None,
                working_dir=names.WORKSPACE if spec.command is None else None,
                environment={**spec.secrets, **spec.environment},
                labels={**spec.labels, names.LABEL_SPEC: spec.fingerprint},
                ports=list(published),
                healthcheck={"test": ["NONE"]},
                stop_signal="SIGTERM" if spec.command is None else None,
                host_config=host,
            )
        step("engine create")
        return cast(str, made["Id"])

    def start(self, container: str) -> None:
        with _translated():
            try:
                self._api.start(container)
            except APIError:
                if not self._reattached(container):
                    raise
                self._api.start(container)
            self._await("started", container, lambda status: self._has_run(container, status))
        step("engine start")

    def stop(self, container: str, timeout: int) -> None:
        with _translated():
            self._api.stop(container, timeout=timeout)
            self._await("stopped", container, lambda status: status not in ("running", "paused"))
        step("engine stop")

    def pause(self, container: str) -> None:
        with _translated():
            self._api.pause(container)
            self._await("paused", container, lambda status: status == "paused")
        step("engine pause")

    def remove(self, container: str) -> None:
        with _translated(), contextlib.suppress(NotFound):
            try:
                self._api.remove_container(container, force=True, v=True)
            except APIError as error:
                if error.status_code != 409:
                    raise
                # Somebody else, killed perhaps, has begun to remove it.
                self._api.wait(container, condition="removed", timeout=CALL_TIMEOUT)
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
            found = self._api.containers(all=True, filters={key: value})
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
            return not self._api.inspect_container(container)["State"]["Running"]
        return status == "running"

    def _reattached(self, container: str) -> bool:
        """Whether the network that the container was made with is another one of that name now,
        and it was attached to that: someone removed the old one while it was stopped."""
        about = self._api.inspect_container(container)
        name = about["HostConfig"]["NetworkMode"]
        before = about["NetworkSettings"]["Networks"].get(name)
        if before is None:  # it shares another container's, or has none
            return False
        if name == names.NETWORK:
            self.ensure_network()
        now = self._network(name)
        if now is None or now["Id"] == before["NetworkID"]:
            return False
        self._api.disconnect_container_from_network(container, name, force=True)
        self._api.connect_container_to_network(container, name)
        return True

    def last_lines(self, container: str, lines: int) -> list[str]:
        with _translated():
            said = self._api.logs(container, stdout=True, stderr=True, tail=lines)
        return said.decode(errors="replace").splitlines()

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        with _translated():
            made = self._api.create_volume(name, labels=dict(labels))
        require_own_volume(name, made["Labels"] or {}, labels)
        step("engine volume")

    def ensure_overlay(self, name: str, lower: str, upper: str, labels: Mapping[str, str]) -> None:
        with _translated():
            below, above = (self._api.inspect_volume(one)["Mountpoint"] for one in (lower, upper))
            # redirect_dir: without it no folder from below can be renamed, which npm does.
            folders = f"lowerdir={below},upperdir={above}/upper,workdir={above}/work"
            folders += ",redirect_dir=on"
            options = {"type": "overlay", "device": "overlay", "o": folders}
            made = self._api.create_volume(name, "local", options, dict(labels))
        require_own_volume(name, made["Labels"] or {}, labels)
        step("engine overlay")

    def put(self, container: str, folder: str, tar: bytes) -> None:
        with _translated():
            self._api.put_archive(container, folder, tar)
        step("engine put")

    def volumes(self, wanted: Filter = EVERYTHING) -> list[str]:
        labels = [f"{name}={value}" for name, value in wanted.labels.items()]
        with _translated():
            found = self._api.volumes(filters={"label": [names.LABEL, *labels]})
        return [item["Name"] for item in found["Volumes"] or ()]

    def users(self, volume: str) -> list[str]:
        with _translated():
            # This filter takes a folder inside for a name, too.
            found = self._api.containers(filters={"volume": volume})
        return [
            container_of(item).name
            for item in found
            if any(mount.get("Name") == volume for mount in item["Mounts"])
        ]

    def volume_sizes(self) -> dict[str, int]:
        with _translated():
            found = self._disk_usage()["Volumes"] or ()
        # -1 where the engine cannot tell, which it can for those in which it keeps files itself.
        return {item["Name"]: max(0, (item["UsageData"] or {}).get("Size", 0)) for item in found}

    def layer_sizes(self) -> dict[str, int]:
        with _translated():
            found = self._api.containers(all=True, size=True, filters={"label": names.LABEL})
        return {item["Id"]: item.get("SizeRw", 0) for item in found}

    def _disk_usage(self) -> dict[str, Any]:
        """Engines before 23 count for one client at a time and refuse all others meanwhile."""
        deadline = time.monotonic() + CALL_TIMEOUT
        while True:
            try:
                return self._api.df()
            except APIError as error:
                if "already running" not in str(error) or time.monotonic() > deadline:
                    raise
                cancellation.sleep(GLANCE)

    def remove_volume(self, name: str) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api.remove_volume(name)
        step("engine remove volume")

    def image(self, name: str) -> str | None:
        with _translated():
            try:
                found = self._api.inspect_image(name)  # type: ignore[no-untyped-call]
                return cast(str, found["Id"])
            except ImageNotFound:
                return None

    def pull(self, name: str, patience: float) -> None:
        _require_registry(name, patience)
        with _translated():
            # Once a registry has answered, docker-py waits for it without end.
            for line in self._api.pull(name, stream=True, decode=True):
                cancellation.look()
                if "error" in line:
                    raise EngineFailed(f"{name} could not be pulled: {line['error']}")

    def import_image(self, tarball: BinaryIO, name: str) -> None:
        repository, _, tag = name.partition(":")
        change = f"LABEL {names.LABEL}=image"
        with _translated():
            self._api.import_image_from_data(tarball, repository, tag, changes=[change])

    def build(
        self,
        context: Path,
        name: str,
        *,
        args: Mapping[str, str],
        say: Callable[[str], None],
        timeout: float,
    ) -> None:
        deadline = time.monotonic() + timeout
        lines: list[str] = []
        self.ensure_network()
        try:
            answer = self._api.build(
                path=str(context),
                tag=name,
                buildargs=dict(args),
                labels={names.LABEL: "image"},
                container_limits={
                    "memory": BUILD_MEMORY,
                    "memswap": BUILD_MEMORY,
                    "cpushares": BUILD_CPU_SHARES,
                },
                network_mode=names.NETWORK,
                rm=True,
                forcerm=True,
                decode=True,
                timeout=int(timeout),
            )
            for part in answer:
                cancellation.look()
                for line in str(part.get("stream") or part.get("error") or "").splitlines():
                    if line.strip():
                        lines.append(line)
                        say(line)
                if "error" in part:
                    raise _build_failed(name, lines)
                if time.monotonic() > deadline:
                    raise _build_failed(name, [*lines, f"stopped after {timeout:.0f} seconds"])
        except APIError as error:  # the Dockerfile is no Dockerfile
            raise _build_failed(name, [*lines, str(error.explanation or error)]) from error
        except _GONE as error:
            if time.monotonic() < deadline:
                raise _unavailable() from error
            raise _build_failed(name, [*lines, f"silent for {timeout:.0f} seconds"]) from error
        self._remove_stages(lines)

    def _remove_stages(self, lines: list[str]) -> None:
        """Remove the stages of this build that say they may go, and nobody else's: an id stands
        in the lines of the build that made or reused it."""
        own = {line.removeprefix(" ---> ") for line in lines if line.startswith(" ---> ")}
        with _translated():
            left = self._api.images(filters={"dangling": True, "label": STAGE})
            for image in left:
                if image["Id"].removeprefix("sha256:")[:12] in own:
                    with contextlib.suppress(APIError):  # another build may use it just now
                        self._api.remove_image(image["Id"])

    def images(self) -> list[tuple[str, str]]:
        with _translated():
            found = self._api.images(filters={"label": names.LABEL})
        return [(tag, item["Id"]) for item in found for tag in item["RepoTags"] or ()]

    def remove_image(self, name: str) -> None:
        with _translated(), contextlib.suppress(ImageNotFound):
            try:
                self._api.remove_image(name)
            except APIError as error:
                if error.status_code != 409:  # in use
                    raise


class _ExecCalls:
    """ExecCalls by docker-py."""

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api

    def create(self, container: str, wanted: Mapping[str, Any]) -> str:
        with _translated():
            made = self._api.exec_create(
                container, wanted["Cmd"], environment=wanted["Env"], workdir=wanted["WorkingDir"],
                stdin=wanted["AttachStdin"], stdout=wanted["AttachStdout"],
                stderr=wanted["AttachStderr"],
            )  # fmt: skip
        return cast(str, made["Id"])

    @contextlib.contextmanager
    def started(self, made: str) -> Iterator[Connection]:
        with _translated():
            raw: Any = self._api.exec_start(made, socket=True)
        # docker-py closes neither, and each of the two keeps the connection open; its own reader
        # of frames loses what arrived together with the answer's head.
        with contextlib.closing(raw._sock), contextlib.closing(raw._response):
            yield Connection(raw._sock, raw._response.raw._fp.fp)

    def start_detached(self, made: str) -> None:
        with _translated():
            self._api.exec_start(made, detach=True)

    def inspect(self, made: str) -> Mapping[str, Any]:
        with _translated():
            return cast(Mapping[str, Any], self._api.exec_inspect(made))


def _connect(timeout: float) -> docker.APIClient:
    try:
        # kwargs_from_env reads DOCKER_HOST and friends as the docker command does.
        api = docker.APIClient(version="auto", timeout=int(timeout), **kwargs_from_env())
        # requests looks through the whole environment for a proxy at every call.
        api.trust_env = not api.base_url.startswith("http+docker:")
        return api
    except (DockerException, *_GONE) as error:
        raise _unavailable() from error


def _require_registry(name: str, patience: float) -> None:
    """Raises EngineFailed unless a registry has the image and says so within `patience` seconds."""
    try:
        with _translated(), contextlib.closing(_connect(patience)) as client:
            client.inspect_distribution(name)  # type: ignore[no-untyped-call]
    except EngineFailed as error:
        raise EngineFailed(sentences(f"{name} could not be pulled:", error.message)) from error
    except EngineUnavailable as error:
        if not isinstance(error.__cause__, requests.exceptions.Timeout):
            raise
        raise EngineFailed(
            f"{name} could not be pulled: no registry answered within {patience:.0f} seconds"
        ) from error


def _require_isolating(network: Mapping[str, Any]) -> None:
    """A network of our name that somebody else made might let siblings reach each other."""
    if (network.get("Options") or {}).get(ICC) != "false":
        raise EngineFailed(
            f"There is a network {names.NETWORK!r} on which containers reach each other.",
            hint=f"Remove it, treedock makes its own: docker network rm {names.NETWORK}",
        )


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """docker-py's errors as treedock's, by type."""
    try:
        yield
    except APIError as error:  # a RequestException too: it has to come first
        raise EngineFailed(f"The engine refused: {error.explanation or error}") from error
    except (DockerException, *_GONE) as error:
        raise _unavailable() from error


def _unavailable() -> EngineUnavailable:
    return EngineUnavailable("The container engine does not answer.", hint=HINT)


def _build_failed(name: str, lines: list[str]) -> ImageBuildFailed:
    return ImageBuildFailed(
        with_last_lines(f"Building the image {name} failed.", lines[-LAST_LINES:]),
        hint="Fix the Dockerfile or the network and run the same command again.",
    )
