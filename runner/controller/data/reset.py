"""`db reset`: the database of an instance, made again from its golden state, or by the project's
own command where that would make other data."""

import hashlib
from collections.abc import Mapping

from runner.adapters.database import Adapter, Kind, Site
from runner.adapters.store.records import now
from runner.controller.data.database import required_adapter, site_of
from runner.controller.data.golden_key import golden_key
from runner.controller.disk_watch import space_watched
from runner.controller.instance.container import exec_env
from runner.controller.instance.executor import Launch
from runner.controller.instance.processes import LocalExecutor, run_folder, run_process
from runner.controller.instance.services import await_ready, start_service
from runner.controller.operation import Operation, require_running
from runner.controller.project import Project
from runner.domain.config.sections import Database
from runner.domain.errors import CommandFailed, ConfigError, RunnerError, unavailable
from runner.domain.events import Emit
from runner.domain.instance.record import Failure
from runner.domain.instance.service import service_process
from runner.domain.text import listed, sentences

Stamps = Mapping[tuple[Kind, str], str]


def reset(project: Project, instance: str, emit: Emit, *, fresh: bool = False) -> None:
    """Renew the database of a running instance: from its golden state, or `fresh`, by
    `database.reset`, while its services are stopped.

    Raises ConfigError where there is no such command, CommandFailed when it fails; the data is as
    it was then.
    """
    operation = Operation(project, instance, emit)
    operation.project.repository.record(instance)
    database = project.config.database
    if database is None or database.reset is None:
        raise ConfigError(
            "treedock.yaml has no database.reset.",
            hint="Name the command, e.g. database: {engine: sqlite, path: app.db, reset: ./reset}",
        )
    with operation.locked(), space_watched(project, emit):
        container = require_running(operation).id
        known = not fresh and operation.record.golden is not None
        same = known and operation.record.golden == golden_key(operation, database)
        if same and _from_golden(operation, container):
            return
        if known:
            operation.say("what database.reset reads has changed: it runs again")
        env = exec_env(operation)
        names = _stop_services(operation, container)
        try:
            run_reset(operation, container, database, env)
        except (RunnerError, OSError) as error:
            if operation.record.reset_key is None:  # no one knows what is there now
                reason = unavailable(error) if isinstance(error, OSError) else error
                failure = Failure(reason.code, reason.message, reason.hint)
                operation.change(ready=False, error=failure)
            raise
        finally:
            for name in names:
                start_service(operation, container, name, env)
        for name in names:
            await_ready(operation, container, name)


def run_reset(
    operation: Operation,
    container: str,
    database: Database,
    env: Mapping[str, str],
    *,
    keeps: bool = False,
) -> list[str]:
    """Run the command and keep what it made as the golden state; what was there before comes back
    where it fails. Returns other databases of the server that it made or wrote to: no golden state
    has these, so none is kept then. Raises CommandFailed."""
    assert database.reset is not None
    adapter, site = required_adapter(operation.config), site_of(operation, container)
    before = operation.record
    keeps = keeps or not operation.throwaway  # what is thrown away is never reset again
    if keeps and before.reset_key is not None:  # the one before was whole, if not kept
        adapter.forget(site)
    # Should it be killed, the next `up` resets again.
    operation.change(reset_key=None, golden=None, reset_begun=True)
    with operation.step("resetting the database"):
        # Of one that was cut off: it would write into the data.
        LocalExecutor(operation, container).stop(["reset"])
        read = golden_key(operation, database) if keeps else None
        if keeps:
            used = before.ready or before.reset_at is not None or bool(before.data_lowers)
            adapter.provision(site, new=not used)
        others = adapter.others(site) if keeps else {}
        try:
            launch = Launch("reset", database.reset, database.folder, env)
            run_process(operation, container, launch)
        except BaseException:
            if _put_back(operation, adapter, site, keeps=keeps):
                operation.change(reset_key=before.reset_key, golden=before.golden)
            raise
    operation.change(reset_key=reset_key(database), reset_at=now())
    more = _written(operation, others, adapter.others(site)) if keeps else []
    if more:
        adapter.forget(site)
    elif keeps:
        with operation.step("keeping its golden state"):
            _seal(operation, adapter, site, database, read)
    return more


def _written(operation: Operation, before: Stamps, after: Stamps) -> list[str]:
    """The other databases that a reset made or wrote to, which is said; of the roles that it made
    it is only said."""
    changed = sorted(
        key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
    )
    databases = [name for kind, name in changed if kind == "database"]
    roles = [name for kind, name in changed if kind == "role" and (kind, name) in after]
    if databases:
        operation.warn(
            f"the reset also writes to the database {listed(databases)} of the same server: no "
            "golden state is kept, and snapshots do not have it"
        )
    if roles:
        operation.say(
            f"the reset makes the role {listed(roles)}, which stays on the server: let it make "
            "a role only where it is missing, else `db reset --fresh` fails"
        )
    return databases


def _put_back(operation: Operation, adapter: Adapter, site: Site, *, keeps: bool) -> bool:
    """End the command, and have what was there before as the data. Returns whether it is."""
    try:
        LocalExecutor(operation, site.container).stop(["reset"])
        return keeps and adapter.put_back(site)
    except RunnerError as error:  # its container has ended, or the engine
        raise type(error)(
            sentences(f"{operation.id}: the reset was cut off half-way.", error.message),
            hint="What was there is set aside. The reset is made whole by: treedock up "
            f"{operation.id}",
        ) from error


def _seal(
    operation: Operation, adapter: Adapter, site: Site, database: Database, read: str | None
) -> None:
    """Keep what the reset made, if what it `read` is the same still. A failure is said: the data
    is whole."""
    try:
        if adapter.seal(site) and golden_key(operation, database) == read:
            operation.change(golden=read)
    except (RunnerError, OSError) as error:
        operation.warn(sentences("the golden state of the database is not kept:", str(error)))


def reset_key(database: Database) -> str:
    """Changes exactly when a reset would make other data."""
    parts = [database.engine, database.path, database.folder, database.reset]
    parts += [database.sidecar, database.name]
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _from_golden(operation: Operation, container: str) -> bool:
    """Renew the data under the running services; where one of them holds on to it, without them."""
    adapter, site = required_adapter(operation.config), site_of(operation, container)
    with operation.step("resetting the database from its golden state"):
        try:
            done = adapter.reset(site)
        except CommandFailed:
            env, names = exec_env(operation), _stop_services(operation, container)
            try:
                done = adapter.reset(site)
            finally:
                for name in names:
                    start_service(operation, container, name, env)
            for name in names:
                await_ready(operation, container, name)
    if done:
        operation.change(reset_at=now())
    return done


def _stop_services(operation: Operation, container: str) -> list[str]:
    """Stop those that run; returns their names."""
    processes = run_folder(operation)
    names = [
        name for name in operation.config.services if processes.process(service_process(name)).alive
    ]
    if names:
        with operation.step("stopping the services"):
            LocalExecutor(operation, container).stop([service_process(name) for name in names])
    return names
