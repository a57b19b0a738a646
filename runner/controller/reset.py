"""`db reset`: the database of an instance, made anew by the project's own command."""

import hashlib
from collections.abc import Mapping

from runner.adapters.records import now
from runner.controller.containers import exec_env
from runner.controller.jobs import run_folder, run_job, stop_jobs
from runner.controller.opening import Project
from runner.controller.services import await_ready, start_service
from runner.controller.space import space_watched
from runner.controller.work import ProjectWork, require_running
from runner.domain.config import Database
from runner.domain.errors import ConfigError, RunnerError
from runner.domain.events import Emit
from runner.domain.instance import Failure
from runner.domain.service import job_of


def reset(project: Project, instance: str, emit: Emit) -> None:
    """Run `database.reset` in a running instance, its services stopped meanwhile.

    Raises ConfigError where there is no such command, CommandFailed when it fails.
    """
    work = ProjectWork(project, instance, emit)
    work.project.repository.record(instance)
    if project.config.database is None or project.config.database.reset is None:
        raise ConfigError(
            "treedock.yaml has no database.reset.",
            hint="Name the command, e.g. database: {engine: sqlite, path: app.db, reset: ./reset}",
        )
    with work.locked(), space_watched(project, emit):
        container = require_running(work)
        env = exec_env(work)
        jobs = run_folder(work)
        names = [n for n in project.config.services if jobs.job(job_of(n)).alive]
        with work.step("stopping the services"):
            stop_jobs(work, container.id, [jobs.job(job_of(name)) for name in names])
        work.change(reset_key=None)  # should it fail, or be killed, the next `up` resets again
        try:
            run_reset(work, container.id, project.config.database, env)
        except RunnerError as error:
            work.change(ready=False, error=Failure(error.code, error.message, error.hint))
            raise
        finally:
            for name in names:
                start_service(work, container.id, name, env)
        for name in names:
            await_ready(work, container.id, name)


def ensure_reset(work: ProjectWork, container: str, env: Mapping[str, str]) -> bool:
    """Reset the database of an instance that never had one. Returns whether it did.

    A changed reset command is only told of: the data may be what somebody works on.
    """
    database = work.config.database
    if database is None or database.reset is None:
        return False
    key = reset_key(database)
    if work.record.reset_key is None:
        run_reset(work, container, database, env)
        return True
    if work.record.reset_key != key:
        work.say(f"database.reset has changed; renew the data with: treedock db reset {work.id}")
        work.change(reset_key=key)
    return False


def run_reset(
    work: ProjectWork, container: str, database: Database, env: Mapping[str, str]
) -> None:
    assert database.reset is not None
    with work.step("resetting the database"):
        run_job(work, container, "reset", database.reset, folder=database.folder, env=env)
    work.change(reset_key=reset_key(database), reset_at=now())


def reset_key(database: Database) -> str:
    """Changes exactly when a reset would make other data."""
    text = f"{database.engine}\0{database.path}\0{database.folder}\0{database.reset}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
