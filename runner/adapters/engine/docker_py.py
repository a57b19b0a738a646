"""What takes docker-py: engines that are not on a local socket, registries, builds. Nothing
else imports docker-py; this module is imported late."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from socket import SHUT_RDWR
from typing import Any, BinaryIO

import docker
import requests.exceptions
import urllib3.exceptions
from docker.errors import APIError, DockerException
from docker.utils import kwargs_from_env

from runner.adapters import cancellation
from runner.adapters.engine.calls import (
    TIMEOUT,
    Connection,
    broke_off,
    encoded,
    required,
    unavailable,
)
from runner.adapters.engine.protocol import ImageBuild
from runner.domain.errors import EngineFailed, EngineUnavailable, ImageBuildFailed
from runner.domain.instance import container as names
from runner.domain.text import sentences, with_last_lines

BUILD_MEMORY = 4 * 2**30
BUILD_CPU_SHARES = 512  # half a container's, where both want the cores
LAST_LINES = 20
STAGE = "treedock.stage"  # label of stages that no one needs once the image is made

# An engine that goes away raises these, which are no DockerException; the latter in mid-answer.
_GONE = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError)


class _Client(docker.APIClient):
    """One whose builds and pulls, which may be silent for long, a cancellation breaks off: the
    engine ends a build when its client goes away."""

    def _stream_helper(self, response: Any, decode: bool = False) -> Iterator[Any]:
        stream = response.raw._fp.fp  # None where all of a short answer has arrived
        if stream is None:
            yield from super()._stream_helper(response, decode)  # type: ignore[misc]
            return
        connection = stream.raw._sock
        with cancellation.ending(lambda: connection.shutdown(SHUT_RDWR)):
            yield from super()._stream_helper(response, decode)  # type: ignore[misc]


class DockerPy:
    """The engine that `environment` names, as for the docker command. Raises EngineUnavailable if
    none answers."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._api = self._connect(TIMEOUT)

    # --- Calls ------------------------------------------------------------------------------

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, Any]:
        with self._answer(method, target, body) as answer, _translated():
            return answer.status_code, _json_of(answer)

    @contextlib.contextmanager
    def opened(self, target: str) -> Iterator[Connection]:
        with self._answer("GET", target, stream=True) as answer:
            if answer.status_code != 200:
                required(answer.status_code, _json_of(answer))
            raw: Any = answer.raw  # what it reads of the socket is not all that has arrived
            connection = raw._fp.fp.raw._sock
            connection.settimeout(None)
            yield Connection(connection, raw._fp)

    @contextlib.contextmanager
    def started(self, made: str, *, tty: bool) -> Iterator[Connection]:
        with _translated():
            raw: Any = self._api.exec_start(made, socket=True, tty=tty)
        # docker-py closes neither, and each of the two keeps the connection open; its own reader
        # of frames loses what arrived together with the answer's head.
        with contextlib.closing(raw._sock), contextlib.closing(raw._response):
            yield Connection(raw._sock, raw._response.raw._fp.fp)

    @contextlib.contextmanager
    def _answer(
        self, method: str, target: str, body: object = None, *, stream: bool = False
    ) -> Iterator[requests.Response]:
        address = f"{self._api.base_url}{target}"
        data, kind = encoded(body)
        with _translated():
            answer = self._api.request(
                method, address, data=data or None, headers={"Content-Type": kind},
                stream=stream, timeout=TIMEOUT,
            )  # fmt: skip
        with contextlib.closing(answer):
            yield answer

    # --- registries and images --------------------------------------------------------------

    def pull(self, name: str, patience: float) -> None:
        self._require_registry(name, patience)
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

    def build(self, wanted: ImageBuild, say: Callable[[str], None]) -> None:
        deadline = time.monotonic() + wanted.timeout
        lines: list[str] = []
        try:
            answer = self._api.build(
                path=str(wanted.context),
                tag=wanted.name,
                buildargs=dict(wanted.args),
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
                timeout=int(wanted.timeout),
            )
            for part in answer:
                cancellation.look()
                for line in str(part.get("stream") or part.get("error") or "").splitlines():
                    if line.strip():
                        lines.append(line)
                        say(line)
                if "error" in part:
                    raise _build_failed(wanted.name, lines)
                if time.monotonic() > deadline:
                    end = f"stopped after {wanted.timeout:.0f} seconds"
                    raise _build_failed(wanted.name, [*lines, end])
        except APIError as error:  # the Dockerfile is no Dockerfile
            raise _build_failed(wanted.name, [*lines, str(error.explanation or error)]) from error
        except _GONE as error:
            if time.monotonic() < deadline:
                raise unavailable() from error
            end = f"silent for {wanted.timeout:.0f} seconds"
            raise _build_failed(wanted.name, [*lines, end]) from error
        self._remove_stages(lines)

    def _remove_stages(self, lines: list[str]) -> None:
        """Remove the stages of this build that say they may go, and no one else's: an id stands
        in the lines of the build that made or reused it."""
        own = {line.removeprefix(" ---> ") for line in lines if line.startswith(" ---> ")}
        with _translated():
            left = self._api.images(filters={"dangling": True, "label": STAGE})
            for image in left:
                if image["Id"].removeprefix("sha256:")[:12] in own:
                    with contextlib.suppress(APIError):  # another build may use it just now
                        self._api.remove_image(image["Id"])

    def _connect(self, timeout: float) -> docker.APIClient:
        try:
            # kwargs_from_env reads DOCKER_HOST and friends as the docker command does.
            given = kwargs_from_env(environment=dict(self._environment))
            api = _Client(version="auto", timeout=int(timeout), **given)
            # requests looks through the whole environment for a proxy at every call.
            api.trust_env = not api.base_url.startswith("http+docker:")
            return api
        except (DockerException, *_GONE) as error:
            raise unavailable() from error

    def _require_registry(self, name: str, patience: float) -> None:
        """Raises EngineFailed unless a registry has the image and says so within `patience`
        seconds."""
        try:
            with _translated(), contextlib.closing(self._connect(patience)) as client:
                client.inspect_distribution(name)  # type: ignore[no-untyped-call]
        except EngineFailed as error:
            raise EngineFailed(sentences(f"{name} could not be pulled:", error.message)) from error
        except EngineUnavailable as error:
            if not isinstance(error.__cause__, requests.exceptions.Timeout):
                raise
            raise EngineFailed(
                f"{name} could not be pulled: no registry answered within {patience:.0f} seconds"
            ) from error


def _json_of(answer: requests.Response) -> Any:
    if not answer.content.strip():
        return None
    try:
        return answer.json()
    except ValueError as error:
        raise broke_off() from error


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """docker-py's errors as treedock's, by type."""
    try:
        yield
    except APIError as error:  # a RequestException too: it has to come first
        raise EngineFailed(f"The engine refused: {error.explanation or error}") from error
    except (DockerException, *_GONE) as error:
        raise unavailable() from error


def _build_failed(name: str, lines: list[str]) -> ImageBuildFailed:
    return ImageBuildFailed(
        with_last_lines(f"Building the image {name} failed.", lines[-LAST_LINES:]),
        hint="Fix the Dockerfile or the network and run the same command again.",
    )
