"""What a service's process amounts to."""

from typing import Protocol

from runner.domain.instance.record import ServiceState, ServiceView


class _Process(Protocol):
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


OK = 200  # what a service that is asked nothing in HTTP answers, once it is ready
FAILED = 500
NOT_YET = (502, 503, 504)  # what a server says that waits for another one


def is_ready(status: int | None) -> bool:
    """Whether a service that answers so is ready; None is no answer."""
    return status is not None and status < FAILED


def is_failure(status: int | None) -> bool:
    """Whether a service that answers so has failed, rather than being about to be ready."""
    return status is not None and status >= FAILED and status not in NOT_YET


def service_process(service: str) -> str:
    """The name of a service's process in the run folder."""
    return f"service.{service}"


def view_of(name: str, process: _Process, *, up: bool) -> ServiceView:
    """A process as a service; `up` says whether its container runs."""
    state: ServiceState
    if up and process.alive:
        state = "running"
    elif process.pid is None or process.stopped or not up:
        state = "stopped"
    else:
        state = "exited" if process.exit_code == 0 else "failed"
    return ServiceView(
        name=name,
        state=state,
        exit_code=None if state == "running" else process.exit_code,
        pid=process.pid if state == "running" else None,
        restarts=process.restarts,
    )
