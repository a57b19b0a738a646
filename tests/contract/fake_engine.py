"""An engine in memory, with this host as the inside of its containers.

What a container binds is really bound, what runs inside really runs: commands are processes of
this host, in the folders that the mounts name, and words that begin with a mount point
('/workspace/app') are translated. There is no isolation, no image content and no network.
"""

import contextlib
import io
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from runner.adapters import cancellation
from runner.adapters.engine.protocol import (
    EVERYTHING,
    NO_COMMAND,
    EngineEvent,
    EngineInfo,
    Exec,
    Filter,
    Finished,
    ImageBuild,
    Stats,
    Terminal,
    not_started,
    require_own_volume,
)
from runner.domain.errors import EngineFailed, EngineUnavailable, ImageBuildFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import Container, ContainerSpec
from runner.domain.instance.record import ContainerStatus
from runner.domain.instance.streams import Streams
from tests.contract.fake_terminal import GLANCE, FakeTerminal, cpu_seconds, memory_of


@dataclass
class _Made:
    """A container as it is now."""

    id: str
    spec: ContainerSpec
    status: ContainerStatus = "created"
    sockets: list[socket.socket] = field(default_factory=list)
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)
    printed: Path | None = None
    volumes: dict[str, Path] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """What its own process has printed."""
        return self.printed.read_text().splitlines() if self.printed else []

    def outside(self, word: str) -> str:
        """A word of a command line with its mount point, if it begins with one, translated."""
        sources = {mount.target: mount.source for mount in self.spec.mounts}
        sources |= {target: str(folder) for target, folder in self.volumes.items()}
        for target in sorted(sources, key=len, reverse=True):
            if word == target or word.startswith(f"{target}/"):
                return sources[target] + word[len(target) :]
        return word


@dataclass(frozen=True)
class _Volume:
    """What it holds lies in `folder`."""

    labels: dict[str, str]
    folder: Path
    overlay: bool = False


class FakeEngine:
    """Implements runner.adapters.engine.protocol.Engine. `registry` holds the images that can be
    pulled, `own` those that treedock has built.

    Without `overlays` no volume can be mounted above another one; `network` says whether the
    shared one is there. `calls` names every call so
    far; after `vanish(n)` the engine answers n more and then no more.
    """

    def __init__(
        self, images: Iterable[str] = (), registry: Iterable[str] = (), own: Iterable[str] = ()
    ) -> None:
        self.calls: list[str] = []
        self.overlays = True
        self.network = False
        self.layers: dict[str, int] = {}
        self._own_images = set(own)
        self._images = {name: _new_id() for name in [*images, *self._own_images]}
        self._registry = set(registry)
        self._containers: dict[str, _Made] = {}
        self._volumes: dict[str, _Volume] = {}
        self._happened: list[EngineEvent] = []
        self._left: int | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def vanish(self, after: int = 0) -> None:
        """Stop answering after so many more calls."""
        self._left = after

    def come_back(self) -> None:
        """Answer again."""
        self._left = None

    def close(self) -> None:
        """End everything that runs."""
        for made in list(self._containers.values()):
            _halt(made, 0)
        if self._folder:
            self._folder.cleanup()

    def info(self) -> EngineInfo:
        self._answer("info")
        return EngineInfo("20.10.24", "1.41", data_root=None, rootless=False)

    def containers(self, wanted: Filter = EVERYTHING) -> list[Container]:
        self._answer("containers")
        labels = wanted.labels.items()
        found = [self._shown(made) for made in list(self._containers.values())]
        return [one for one in found if names.LABEL in one.labels and labels <= one.labels.items()]

    def has_network(self) -> bool:
        self._answer("has_network")
        return self.network

    def ensure_network(self) -> None:
        self._answer("ensure_network")
        self.network = True

    def create(self, spec: ContainerSpec) -> str:
        self._answer("create")
        if spec.image not in self._images:
            raise EngineFailed(f"No such image: {spec.image}")
        if any(made.spec.name == spec.name for made in list(self._containers.values())):
            raise EngineFailed(f"The name {spec.name} is in use")
        for mount in spec.mounts:
            if not Path(mount.source).exists():
                raise EngineFailed(f"bind source path does not exist: {mount.source}")
        for volume in spec.volumes:
            if volume.name not in self._volumes:
                raise EngineFailed(f"No such volume: {volume.name}")
        volumes = {one.target: self._volumes[one.name].folder for one in spec.volumes}
        made = _Made(_new_id(), spec, volumes=volumes)
        self._containers[made.id] = made
        return made.id

    def start(self, container: str) -> None:
        self._answer("start")
        made = self._find(container)
        if made.status == "running":
            return
        if made.spec.inside and self._find(made.spec.inside).status != "running":
            raise EngineFailed("cannot join network of a non running container")
        above = [one.name for one in made.spec.volumes if self._volumes[one.name].overlay]
        if above and not self.overlays:
            raise EngineFailed(f"failed to mount local volume {above[0]}: operation not permitted")
        try:
            for port in (*made.spec.ports, *made.spec.forwards.values()):
                made.sockets.append(_bind(made.spec.publish, port))
        except OSError as error:
            _halt(made, 0)
            raise EngineFailed(f"port is already allocated: {error}") from error
        if made.spec.command:
            made.printed = self._logs() / made.id
            with made.printed.open("ab") as out:
                started = self._spawn(
                    made, Exec(made.spec.command), stdin=subprocess.DEVNULL,
                    stdout=out.fileno(), stderr=out.fileno(),
                )  # fmt: skip
            made.processes.append(started)
        made.status = "running"
        self._happens("start", made)

    def stop(self, container: str, timeout: int) -> None:
        self._answer("stop")
        made = self._find(container)
        if made.status in ("running", "paused"):
            for process in made.processes:
                _signal(process, signal.SIGCONT)
            _halt(made, timeout)
            made.status = "exited"
            self._happens("die", made)

    def pause(self, container: str) -> None:
        self._answer("pause")
        made = self._running(container)
        for process in made.processes:
            _signal(process, signal.SIGSTOP)
        made.status = "paused"

    def remove(self, container: str) -> None:
        self._answer("remove")
        with contextlib.suppress(EngineFailed):
            made = self._find(container)
            if made.status in ("running", "paused"):
                self._happens("die", made)
            _halt(made, 0)
            del self._containers[made.id]
            self._happens("destroy", made)

    def exec_detached(self, container: str, command: Exec) -> None:
        self._answer("exec_detached")
        made = self._running(container)
        quiet = subprocess.DEVNULL
        process = self._spawn(made, command, stdin=quiet, stdout=quiet, stderr=quiet)
        made.processes.append(process)
        # The engine's init buries the dead.
        threading.Thread(target=process.wait, daemon=True).start()

    def exec(self, container: str, command: Exec) -> Finished:
        self._answer("exec")
        made = self._running(container)
        try:
            with self._spawn(
                made, command,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            ) as process:  # fmt: skip
                output = process.communicate()[0]
        except EngineFailed as error:
            return Finished(126, error.message.encode())
        return Finished(process.returncode, output)

    def exec_attached(self, container: str, command: Exec, streams: Streams) -> int:
        self._answer("exec_attached")
        made = self._running(container)
        pipe = subprocess.PIPE
        try:
            started = self._spawn(made, command, stdin=pipe, stdout=pipe, stderr=pipe)
        except EngineFailed as error:
            said = not_started(command.argv[0], command.workdir, error.message)
            streams.stderr.write(f"{said}\n".encode())
            return NO_COMMAND
        with started as process:
            try:
                given = streams.stdin.read() if streams.stdin else b""
                out, err = process.communicate(given, command.timeout)
            except BaseException as error:
                _signal(process, signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(1)
                _signal(process, signal.SIGKILL)
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                raise EngineFailed(
                    f"{command.argv[0]} inside did not end in {command.timeout:g} seconds."
                ) from error
        streams.stdout.write(out)
        streams.stderr.write(err)
        return process.returncode

    def last_lines(self, container: str, lines: int) -> list[str]:
        self._answer("last_lines")
        found = self._find(container).lines()
        return found[max(0, len(found) - lines) :]

    @contextlib.contextmanager
    def follow_log(self, container: str, lines: int) -> Iterator[Iterator[str]]:
        self._answer("follow_log")
        yield self._log_of(self._find(container), lines)

    def _log_of(self, made: _Made, lines: int) -> Iterator[str]:
        seen = max(0, len(made.lines()) - lines)
        while made.status == "running" and any(one.poll() is None for one in made.processes):
            whole = made.lines()[:-1]  # to the last one more may come
            yield from whole[seen:]
            seen = max(seen, len(whole))
            cancellation.sleep(GLANCE)
        yield from made.lines()[seen:]

    @contextlib.contextmanager
    def events(
        self, wanted: Filter = EVERYTHING, since: float | None = None
    ) -> Iterator[Iterator[EngineEvent]]:
        self._answer("events")
        yield self._events_from(wanted, time.time() if since is None else since)

    def _events_from(self, wanted: Filter, since: float) -> Iterator[EngineEvent]:
        seen = 0
        while True:
            for event in self._happened[seen:]:
                seen += 1
                if event.at >= since and wanted.labels.items() <= event.labels.items():
                    yield event
            cancellation.sleep(GLANCE)

    def _happens(self, action: str, made: _Made) -> None:
        self._happened.append(EngineEvent(action, made.id, made.spec.labels, time.time()))

    def stats(self, container: str) -> Stats:
        self._answer("stats")
        made = self._find(container)
        if made.status != "running":
            return Stats(0.0, 0, 0, 0)
        alive = [process.pid for process in made.processes if process.poll() is None]
        return Stats(
            cpu_seconds=sum(map(cpu_seconds, alive)), memory=sum(map(memory_of, alive)),
            memory_limit=made.spec.limits.memory, pids=len(alive) + 1,
        )  # fmt: skip

    @contextlib.contextmanager
    def terminal(
        self, container: str, command: Exec, *, rows: int, columns: int
    ) -> Iterator[Terminal]:
        self._answer("terminal")
        made = self._running(container)
        there = FakeTerminal()
        there.resize(rows, columns)
        try:
            try:
                process = self._spawn(
                    made, command, stdin=there.theirs, stdout=there.theirs, stderr=there.theirs
                )
            except EngineFailed as error:
                there.fail(error.message)
            else:
                made.processes.append(process)
                there.of(process)
            yield there
        finally:
            there.end()

    def ensure_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self._answer("ensure_volume")
        self._add_volume(name, labels)

    def ensure_overlay(self, name: str, lower: str, upper: str, labels: Mapping[str, str]) -> None:
        """A copy: what is below never changes."""
        self._answer("ensure_overlay")
        if not {lower, upper} <= self._volumes.keys():
            raise EngineFailed(f"No such volume: {lower} or {upper}")
        if name not in self._volumes:
            made = self._add_volume(name, labels, overlay=True)
            shutil.copytree(self._volumes[lower].folder, made, symlinks=True, dirs_exist_ok=True)

    def put(self, container: str, folder: str, tar: bytes) -> None:
        self._answer("put")
        made = self._find(container)
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            for member in opened:
                place = Path(made.outside(f"{folder.rstrip('/')}/{member.name}"))
                opened.extract(member.replace(name=place.name), place.parent)

    def volumes(self, wanted: Filter = EVERYTHING) -> list[str]:
        self._answer("volumes")
        labels = wanted.labels.items()
        return [name for name, own in list(self._volumes.items()) if labels <= own.labels.items()]

    def volume_sizes(self) -> dict[str, int]:
        self._answer("volume_sizes")
        return {
            name: sum(path.stat().st_size for path in one.folder.rglob("*") if path.is_file())
            for name, one in list(self._volumes.items())
        }

    def layer_sizes(self) -> dict[str, int]:
        """Containers of it have no layer; `layers` says what would be in one."""
        self._answer("layer_sizes")
        return {made.id: self.layers.get(made.id, 0) for made in list(self._containers.values())}

    def users(self, volume: str) -> list[str]:
        self._answer("users")
        return [
            made.spec.name
            for made in self._containers.values()
            if made.status in ("running", "paused")
            and volume in [one.name for one in made.spec.volumes]
        ]

    def remove_volume(self, name: str) -> None:
        self._answer("remove_volume")
        users = (one.name for made in self._containers.values() for one in made.spec.volumes)
        if name in users:
            raise EngineFailed(f"volume {name} is in use")
        self._volumes.pop(name, None)

    def image(self, name: str) -> str | None:
        self._answer("image")
        return self._images.get(name)

    def pull(self, name: str, patience: float) -> None:
        self._answer("pull")
        if name not in self._registry:
            raise EngineFailed(f"{name} could not be pulled: there is none")
        self._images[name] = _new_id()

    def import_image(self, tarball: BinaryIO, name: str) -> None:
        self._answer("import_image")
        tarball.read()
        self._add(name)

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        """Reads the Dockerfile and checks that FROM and COPY name what is there."""
        self._answer("build")
        lines = (wanted.context / "Dockerfile").read_text().splitlines()
        said: list[str] = []
        for number, line in enumerate(lines, start=1):
            said.append(f"Step {number}/{len(lines)} : {line}")
            say(said[-1])
            word, _, rest = line.partition(" ")
            known = rest in {"scratch", *self._images}
            missing = word == "COPY" and not (wanted.context / rest.split()[0]).exists()
            if missing or (word == "FROM" and not known):
                said.append(f"{rest}: not found")
                raise ImageBuildFailed(f"Building {wanted.name} failed:\n" + "\n".join(said))
        self._add(wanted.name)

    def images(self) -> list[tuple[str, str]]:
        self._answer("images")
        return [(name, self._images[name]) for name in sorted(self._own_images)]

    def remove_image(self, name: str) -> None:
        self._answer("remove_image")
        if all(made.spec.image != name for made in list(self._containers.values())):
            self._images.pop(name, None)
            self._own_images.discard(name)

    def _logs(self) -> Path:
        self._folder = self._folder or tempfile.TemporaryDirectory()
        return Path(self._folder.name)

    def _add_volume(self, name: str, labels: Mapping[str, str], *, overlay: bool = False) -> Path:
        if name not in self._volumes:
            folder = self._logs() / f"volume-{_new_id()}"
            folder.mkdir()
            self._volumes[name] = _Volume(dict(labels), folder, overlay)
        require_own_volume(name, self._volumes[name].labels, labels)
        return self._volumes[name].folder

    def _answer(self, call: str) -> None:
        if self._left is not None:
            if self._left == 0:
                raise EngineUnavailable("The container engine does not answer.", hint="Start it.")
            self._left -= 1
        self.calls.append(call)

    def _add(self, name: str) -> None:
        self._images[name] = _new_id()
        self._own_images.add(name)

    def _find(self, container: str) -> _Made:
        for made in list(self._containers.values()):
            if container in (made.id, made.spec.name):
                return made
        raise EngineFailed(f"No such container: {container}")

    def _running(self, container: str) -> _Made:
        made = self._find(container)
        if made.status != "running":
            raise EngineFailed(f"{container} is not running")
        return made

    def _shown(self, made: _Made) -> Container:
        if made.status == "running" and made.spec.command and made.processes[0].poll() is not None:
            made.status = "exited"  # its own process ended
        labels = {**made.spec.labels, names.LABEL_SPEC: made.spec.fingerprint}
        sources = tuple(mount.source for mount in made.spec.mounts)
        return Container(made.id, made.spec.name, made.status, labels, made.spec.image, sources)

    def _spawn(
        self,
        made: _Made,
        command: Exec,
        *,
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> "subprocess.Popen[bytes]":
        # No image has this host's /etc/gitconfig.
        plain = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
        inside = {**plain, **made.spec.secrets, **made.spec.environment, **command.env}
        try:
            return subprocess.Popen(
                [made.outside(word) for word in command.argv],
                cwd=made.outside(command.workdir),
                env={key: made.outside(value) for key, value in inside.items()},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineFailed(f"{command.argv[0]} cannot start: {error}") from error


def _new_id() -> str:
    return uuid.uuid4().hex * 2


def _bind(host: str, port: int) -> socket.socket:
    """Hold the port; a connection is refused, as nothing inside listens there."""
    held = socket.socket()
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held


def _halt(made: _Made, timeout: int) -> None:
    """TERM to everything inside, KILL after `timeout` seconds; ports are let go."""
    for process in made.processes:
        _signal(process, signal.SIGTERM)
    for process in made.processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        _signal(process, signal.SIGKILL)
        process.wait()
    made.processes.clear()
    while made.sockets:
        made.sockets.pop().close()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
