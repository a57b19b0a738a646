"""The services of an instance: starting, stopping, and telling whether they are ready."""

import hashlib
import json
import time
from collections.abc import Mapping

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Exec
from runner.adapters.host import sockets
from runner.controller.instance.container import Running
from runner.controller.instance.executor import Launch
from runner.controller.instance.processes import (
    LocalExecutor,
    failed_process,
    run_folder,
)
from runner.controller.operation import Operation
from runner.domain.config.sections import Service
from runner.domain.errors import CommandFailed
from runner.domain.instance.environment import port_variable
from runner.domain.instance.listening import listening_ports, only_on_loopback
from runner.domain.instance.service import OK, is_failure, is_ready, service_process
from runner.domain.text import with_last_lines

SOCKETS = Exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"])  # of the whole namespace
GLANCE = 0.05  # seconds between two looks
# Prints the status, 000 for no answer, and nothing in an image without curl.
_ASK_INSIDE = """
command -v curl >/dev/null || exit 0
curl --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$1"
"""
ASK = 0.25  # seconds a connection has to stay open, see sockets.answers_tcp
ASK_TLS = 2.0  # seconds for a handshake
PATIENCE = 5.0  # seconds for which a service may answer that it failed
SUSPICION = 3.0  # seconds of silence before looking for a service on 127.0.0.1


def ensure_services(operation: Operation, running: Running) -> bool:
    """Start what is not running or has changed, and wait until all of it is ready.

    Returns whether anything was started. Raises CommandFailed for one that dies or stays silent.
    """
    processes = run_folder(operation)
    services = operation.config.services
    keys = {name: service_key(service) for name, service in services.items()}
    current = {
        name: processes.process(service_process(name))
        for name in {*services, *operation.record.services}
    }
    stale = [n for n, process in current.items() if operation.record.services.get(n) != keys.get(n)]
    LocalExecutor(operation, running.id).stop([service_process(name) for name in stale])
    start = [name for name in services if name in stale or not current[name].alive]
    for name in start:
        with operation.step(f"starting {name}"):
            start_service(operation, running.id, name, running.env)
    served = tuple(service.port for service in services.values() if service.port)
    if (operation.record.services, operation.record.served) != (keys, served):
        operation.change(services=keys, served=served)
    # After an `up` that was cut off, those it started may not have been waited for.
    for name in start if operation.record.ready else services:
        await_ready(operation, running.id, name)
    return bool(start)


def start_service(operation: Operation, container: str, name: str, env: Mapping[str, str]) -> None:
    service = operation.config.services[name]
    launch = Launch(service_process(name), service.run, service.folder, env, service.restart)
    LocalExecutor(operation, container).start(launch)


def service_key(service: Service) -> str:
    """Changes exactly when a running service would have to be started again."""
    parts = [service.run, service.folder, service.port, service.restart]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def await_ready(operation: Operation, container: str, name: str) -> None:
    """Wait until the service answers on its published port, or inside where nothing is published.
    Raises CommandFailed."""
    service = operation.config.services[name]
    with operation.step(f"waiting for {name}"):
        begun = time.monotonic()
        suspicion, failing = begun + SUSPICION, 0.0
        while not is_ready(status := _status(operation, container, service)):
            _require_alive(operation, name, service)
            now = time.monotonic()
            failing = (failing or now) if is_failure(status) else 0.0
            if failing and now > failing + PATIENCE:
                raise _failing(operation, name, service, status, now - failing)
            if now > suspicion and not operation.throwaway:
                _require_reachable(operation, container, name, service)
                suspicion = now + SUSPICION
            if now > begun + service.ready.timeout:
                raise _failing(operation, name, service, status, now - begun)
            cancellation.sleep(GLANCE)
        _require_alive(operation, name, service)


def _status(operation: Operation, container: str, service: Service) -> int | None:
    """What the port answers; a service without one is ready when it lives."""
    if service.port is None:
        return OK
    if operation.throwaway:
        return _status_inside(
            operation, container, operation.record.ports[service.port], service.ready.http
        )
    host, port = _address(operation, service.port)
    if service.ready.http:
        return sockets.answers_http(host, port, service.ready.http, timeout=5)
    return OK if sockets.answers_tcp(host, port, timeout=ASK) else None


def _status_inside(operation: Operation, container: str, port: int, path: str | None) -> int | None:
    """The same, asked inside: on the host another process may listen there."""
    tables = operation.engine.exec(container, SOCKETS).output
    if port not in listening_ports(tables.decode(errors="replace")):
        return None
    if path is None:
        return OK
    asks = Exec(["sh", "-c", _ASK_INSIDE, "sh", f"http://localhost:{port}{path}"])
    status = operation.engine.exec(container, asks).output.decode(errors="replace").strip()
    return int(status) or None if status.isascii() and status.isdecimal() else OK


def _address(operation: Operation, port: str) -> tuple[str, int]:
    host = operation.project.user.sandbox.publish
    return "127.0.0.1" if host == "0.0.0.0" else host, operation.record.ports[port]


def _require_alive(operation: Operation, name: str, service: Service) -> None:
    processes = run_folder(operation)
    process = processes.process(service_process(name))
    if not process.alive and process.exit_code is not None and (process.exit_code or service.port):
        if process.exit_code == 0:
            raise _in_background(operation, name, service)
        raise failed_process(operation, service_process(name), service.run, process.exit_code)


def _in_background(operation: Operation, name: str, service: Service) -> CommandFailed:
    said = f"{operation.id}: {name} ended by itself: {service.run}. A service has to stay in the "
    lines = run_folder(operation).last_lines(service_process(name))
    return CommandFailed(
        with_last_lines(f"{said}foreground.", lines),
        hint=f"Leave out what sends it to the background (&, -d, --daemon) in services.{name}.run. "
        f"The whole log: treedock logs {operation.id} {name}",
    )


def _require_reachable(operation: Operation, container: str, name: str, service: Service) -> None:
    if service.port is None:
        return
    host, port = _address(operation, service.port)
    if service.ready.http and sockets.speaks_tls(host, port, timeout=ASK_TLS):
        raise CommandFailed(
            f"{operation.id}: {name} answers in TLS at "
            f"https://localhost:{port}{service.ready.http}, "
            "and treedock asks in plain HTTP.",
            hint=f"Leave out services.{name}.ready.http: then a connection is enough.",
        )
    tables = operation.engine.exec(container, SOCKETS).output
    if only_on_loopback(tables.decode(errors="replace"), port):
        raise CommandFailed(
            f"{operation.id}: {name} listens on 127.0.0.1:{port} inside the container, "
            "where nothing outside can reach it.",
            hint=f"Let it listen on 0.0.0.0 (services.{name}.run, often --host 0.0.0.0). "
            "The port is published on the host's 127.0.0.1 only.",
        )


def _failing(
    operation: Operation, name: str, service: Service, status: int | None, seconds: float
) -> CommandFailed:
    """It runs and does not get ready: what it answers instead, for so long."""
    assert service.port is not None
    port = operation.record.ports[service.port]
    asked = f"http://localhost:{port}{service.ready.http}" if service.ready.http else f"port {port}"
    whole = f"The whole log: treedock logs {operation.id} {name}"
    within = f"{service.ready.timeout:g} s"
    said = f"{operation.id}: {name} runs, but {asked} did not answer within {within}."
    hint = (
        f"Does it listen on ${port_variable(service.port)}? Is services.{name}.ready.timeout "
        f"long enough? {whole}"
    )
    if status is not None:
        said = f"{operation.id}: {name} runs, but {asked} answered {status} for {seconds:.0f} s."
        hint = f"Its log may say why: fix that, or let services.{name}.ready.http name another "
        hint += f"path. {whole}"
    return CommandFailed(
        with_last_lines(said, run_folder(operation).last_lines(service_process(name))), hint=hint
    )
