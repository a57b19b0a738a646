"""What a service's job amounts to."""

from typing import Protocol

from runner.domain.instance import ServiceState, ServiceView


class _Job(Protocol):
    @property
    def pid(self) -> int | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def restarts(self) -> int: ...
    @property
    def alive(self) -> bool: ...


def job_of(service: str) -> str:
    """The name of a service's job in the run folder."""
    return f"service.{service}"


def view_of(name: str, job: _Job, *, up: bool) -> ServiceView:
    """A job as a service; `up` says whether its container runs."""
    state: ServiceState
    if up and job.alive:
        state = "running"
    elif job.pid is None or job.stopped or not up:
        state = "stopped"
    else:
        state = "exited" if job.exit_code == 0 else "failed"
    return ServiceView(
        name=name,
        state=state,
        exit_code=None if state == "running" else job.exit_code,
        pid=job.pid if state == "running" else None,
        restarts=job.restarts,
    )
