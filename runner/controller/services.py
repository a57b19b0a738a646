"""The services of an instance: starting, stopping, and telling whether they are ready."""

import hashlib
import json
import time
from collections.abc import Mapping

from runner.adapters import sockets
from runner.controller.containers import Running
from runner.controller.jobs import failed_job, run_folder, start_job, stop_jobs
from runner.controller.work import ProjectWork
from runner.domain.config import Service
from runner.domain.environment import port_variable
from runner.domain.errors import CommandFailed
from runner.domain.listening import only_on_loopback
from runner.domain.service import job_of
from runner.domain.text import with_last_lines

GLANCE = 0.05  # seconds between two looks
ASK = 0.25  # seconds a connection has to stay open, see sockets.answers_tcp
SUSPICION = 3.0  # seconds of silence before looking for a service on 127.0.0.1


def ensure_services(work: ProjectWork, running: Running) -> bool:
    """Start what is not running or has changed, and wait until all of it is ready.

    Returns whether anything was started. Raises CommandFailed for one that dies or stays silent.
    """
    jobs = run_folder(work)
    services = work.config.services
    keys = {name: service_key(service) for name, service in services.items()}
    current = {name: jobs.job(job_of(name)) for name in {*services, *work.record.services}}
    stale = [n for n, job in current.items() if work.record.services.get(n) != keys.get(n)]
    stop_jobs(work, running.id, [current[name] for name in stale])
    start = [name for name in services if name in stale or not current[name].alive]
    for name in start:
        with work.step(f"starting {name}"):
            start_service(work, running.id, name, running.env)
    if work.record.services != keys:
        work.change(services=keys)
    # After an `up` that was cut off, those it started may not have been waited for.
    for name in start if work.record.ready else services:
        await_ready(work, running.id, name)
    return bool(start)


def start_service(work: ProjectWork, container: str, name: str, env: Mapping[str, str]) -> None:
    service = work.config.services[name]
    start_job(
        work,
        container,
        job_of(name),
        service.run,
        folder=service.folder,
        env=env,
        restart=service.restart,
    )


def service_key(service: Service) -> str:
    """Changes exactly when a running service would have to be started anew."""
    parts = [service.run, service.folder, service.port, service.restart]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def await_ready(work: ProjectWork, container: str, name: str) -> None:
    """Wait until the service answers on its published port. Raises CommandFailed."""
    service = work.config.services[name]
    with work.step(f"waiting for {name}"):
        begun = time.monotonic()
        suspicion = begun + SUSPICION
        while not _is_ready(work, service):
            _require_alive(work, name, service)
            now = time.monotonic()
            if now > suspicion:
                _require_reachable(work, container, name, service)
                suspicion = now + SUSPICION
            if now > begun + service.ready.timeout:
                raise _silent(work, name, service)
            time.sleep(GLANCE)
        _require_alive(work, name, service)


def _is_ready(work: ProjectWork, service: Service) -> bool:
    """Whether the published port answers; a service without one is ready when it lives."""
    if service.port is None:
        return True
    port = work.record.ports[service.port]
    host = work.project.user.sandbox.publish
    host = "127.0.0.1" if host == "0.0.0.0" else host
    if service.ready.http:
        status = sockets.answers_http(host, port, service.ready.http, timeout=5)
        return status is not None and status < 500
    return sockets.answers_tcp(host, port, timeout=ASK)


def _require_alive(work: ProjectWork, name: str, service: Service) -> None:
    jobs = run_folder(work)
    job = jobs.job(job_of(name))
    if not job.alive and job.exit_code is not None and (job.exit_code or service.port):
        raise failed_job(work, jobs, job_of(name), service.run, job.exit_code)


def _require_reachable(work: ProjectWork, container: str, name: str, service: Service) -> None:
    if service.port is None:
        return
    port = work.record.ports[service.port]
    tables = work.engine.exec(container, ["cat", "/proc/net/tcp", "/proc/net/tcp6"]).output
    if only_on_loopback(tables.decode(errors="replace"), port):
        raise CommandFailed(
            f"{work.id}: {name} listens on 127.0.0.1:{port} inside the container, "
            "where nothing outside can reach it.",
            hint=f"Let it listen on 0.0.0.0 (services.{name}.run, often --host 0.0.0.0). "
            "The port is published on the host's 127.0.0.1 only.",
        )


def _silent(work: ProjectWork, name: str, service: Service) -> CommandFailed:
    assert service.port is not None
    port = work.record.ports[service.port]
    asked = f"http://localhost:{port}{service.ready.http}" if service.ready.http else f"port {port}"
    said = f"{work.id}: {name} runs, but {asked} did not answer within {service.ready.timeout:g} s."
    return CommandFailed(
        with_last_lines(said, run_folder(work).last_lines(job_of(name))),
        hint=f"Does it listen on ${port_variable(service.port)}? Is services.{name}.ready.timeout "
        f"long enough? The whole log: treedock logs {work.id} {name}",
    )
