"""Gates: commands that have to pass at a candidate, run in a throwaway instance of exactly it.

It publishes nothing, takes no slot, has a database of its own, and follows the configuration of
base: a branch cannot weaken the gate that it has to pass.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from runner.adapters import cancellation
from runner.adapters.files import env_file, untrusted
from runner.controller.instance import images
from runner.controller.instance.bring_up import Stage
from runner.controller.instance.container import wanted as wanted_container
from runner.controller.instance.executor import Launch
from runner.controller.instance.private_git import own_git
from runner.controller.instance.processes import run_attached, run_folder
from runner.controller.instance.throwaway import dispose, gate_project, lay_out
from runner.controller.lifecycle.bring_up import bring_up
from runner.controller.operation import Operation
from runner.controller.project import Project
from runner.controller.stream import Stream
from runner.domain.config.sections import Gate
from runner.domain.data.initial import Share
from runner.domain.errors import CommandFailed, EngineFailed, GitFailed, Refused, RunnerError
from runner.domain.events import Emit
from runner.domain.frozen import dataclass
from runner.domain.instance.container import HOME
from runner.domain.instance.environment import ENV_BYTES, ENV_FILE
from runner.domain.instance.names import throwaway
from runner.domain.instance.service import service_process
from runner.domain.text import listed


@dataclass(frozen=True)
class Verdict:
    """How the gates ended. `log`: the folder with what they printed; `message` says what failed."""

    green: bool
    message: str
    log: Path


def gates_of(project: Project, added: Sequence[str], *, none: bool = False) -> list[Gate]:
    """The gates of the project's configuration, and those that the command line adds."""
    if none:
        return []
    own = [Gate(run=project.config.test)] if project.config.test else []
    return [*own, *project.config.gates, *(Gate(run=command) for command in added)]


def run_gates(
    project: Project,
    name: str,
    commit: str,
    gates: Sequence[Gate],
    *,
    base_commit: str,
    log: Path,
    emit: Emit,
    wanted: Callable[[], bool] = lambda: True,
) -> Verdict:
    """Bring a throwaway instance up at `commit`, run the gates in it, and remove it.

    `project` has base's configuration, and images are built from `base_commit`; `log` is a
    folder for what is printed. A command of the
    project's own that fails is a red verdict; RunnerError is raised for what the candidate is
    not to blame for.
    """
    operation = Operation(gate_project(project), throwaway(name), emit)
    with operation.locked():
        dispose(operation)  # of one that was killed
        try:
            require_green(operation, commit, base_commit, gates, wanted)
        except (CommandFailed, EngineFailed, GitFailed, Refused) as error:
            # A candidate can end its own container, or be impossible to check out.
            return Verdict(False, error.message, _keep_logs(operation, log))
        else:
            return Verdict(True, "", _keep_logs(operation, log))
        finally:
            with cancellation.shielded():
                dispose(operation)


def cancel(project: Project, name: str) -> None:
    """Take the container away from under a test; what runs there ends, and is disposed of."""
    operation = Operation(gate_project(project), throwaway(name), Stream())
    with contextlib.suppress(RunnerError):
        container = operation.container()
        if container:
            operation.engine.remove(container.id)


def require_green(
    operation: Operation,
    commit: str,
    base_commit: str,
    gates: Sequence[Gate],
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Make the throwaway instance at `commit` and run the gates in it. Raises CommandFailed for
    a command of the project's that fails, Refused where the test is not `wanted` any more."""
    operation.base_env = _own_env(operation, base_commit)
    lay_out(operation, commit)
    operation.image = images.ensure_image_at(operation.project, lambda: base_commit, operation.emit)
    named = {f"gate-{number}": gate for number, gate in enumerate(gates, start=1)}
    for name, gate in named.items():
        _require_wanted(wanted)
        if gate.outside:
            _run_outside(operation, gate, name)
    running = bring_up(
        operation,
        until=Stage.SERVICES if any(gate.services for gate in gates) else Stage.DATA,
        share=Share.TAKE,
        before=lambda stage: _require_wanted(wanted),
    )
    before = "set-up"
    for name, gate in named.items():
        if not gate.outside:
            _require_as_committed(operation, commit, before)
            _run_gate(operation, gate, name, running.id, running.env)
            before = name


def _own_env(operation: Operation, base_commit: str) -> dict[str, str]:
    """What `.env` says without the candidate: the one that base has, else the person's own."""
    data = operation.git.blob(base_commit, ENV_FILE)
    if data is None:
        data = untrusted.read(operation.repository.checkout / ENV_FILE, ENV_BYTES) or b""
    return env_file.values(data.decode(errors="replace"))


def _run_outside(operation: Operation, gate: Gate, name: str) -> None:
    """Run a gate in a container of its own that can write nothing of the candidate's. Its home
    folder is its own, too: a gate that runs the candidate's code could leave a usercustomize.py
    there for the next one."""
    spec = wanted_container(operation)
    home = operation.folder.home_of(name)
    home.mkdir()
    mounts = tuple(
        replace(one, source=str(home)) if one.target == HOME else replace(one, read_only=True)
        for one in spec.mounts
    )
    container = operation.engine.create(
        replace(spec, name=operation.names.outside, mounts=mounts, volumes=(), secrets={})
    )
    try:
        operation.engine.start(container)
        _run_gate(operation, gate, name, container, spec.environment)
    finally:
        operation.engine.remove(container)


def _run_gate(
    operation: Operation, gate: Gate, name: str, container: str, env: Mapping[str, str]
) -> None:
    with operation.step(gate.run):
        launch = Launch(name, gate.run, gate.folder, env, timeout=gate.timeout)
        run_attached(operation, container, launch)


def _require_as_committed(operation: Operation, commit: str, after: str) -> None:
    """A gate judges what would land, and nothing else. Raises CommandFailed where the files, the
    index or HEAD are not those of the candidate any more."""
    own = own_git(operation)
    inside, record = own.look(), operation.record
    files = operation.git.dirty(Path(record.worktree))
    staged = operation.git.index_differs(Path(record.worktree), own.folder / "index")
    moved = (
        inside.branch != record.git.branch
        or inside.refs.get(f"refs/heads/{record.git.branch}") != commit
    )
    found = [*files, *(f"{path} (in the index)" for path in staged), *(["HEAD"] if moved else [])]
    if found:
        raise CommandFailed(
            f"{operation.id}: after {after} this is not what would land any more: {listed(found)}. "
            "Commit these files, let git ignore them, or let what runs before a gate write "
            "elsewhere."
        )


def _keep_logs(operation: Operation, log: Path) -> Path:
    """Copy what set-up and gates printed, before the folder goes; only names of ours, bounded."""
    log.mkdir(parents=True, exist_ok=True)
    processes = run_folder(operation)
    sources = {
        process: processes.log(process)
        for process in map(service_process, operation.config.services)
    }
    sources |= {path.stem: path for path in operation.folder.logs()}
    for name, source in sources.items():
        data = untrusted.end(source, untrusted.LOG)
        if data is not None:
            with contextlib.suppress(OSError):
                (log / f"{name}.log").write_bytes(data)
    return log


def _require_wanted(wanted: Callable[[], bool]) -> None:
    """A cancelled test may not have had a container yet that could be taken away from it."""
    if not wanted():
        raise Refused("The test was cancelled.", hint="Nothing has to be done.")
