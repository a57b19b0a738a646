"""Gates: commands that have to pass at a candidate, run in a throwaway instance of exactly it.

It publishes nothing, takes no slot, has a database of its own, and follows the configuration of
base: a branch cannot weaken the gate that it has to pass.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from runner.adapters import disk
from runner.controller import images
from runner.controller.containers import Running, ensure_running
from runner.controller.dependencies import ensure_dependencies
from runner.controller.golden_states import first_reset
from runner.controller.jobs import run_folder
from runner.controller.opening import Project
from runner.controller.reset import ensure_reset
from runner.controller.services import ensure_services
from runner.controller.setup import ensure_setup, ensure_verified
from runner.controller.sidecars import ensure_sidecars
from runner.controller.throwaway import GateWork, dispose, gate_project, lay_out
from runner.domain.config import Gate
from runner.domain.container import GATE_PREFIX, WORKSPACE
from runner.domain.errors import CommandFailed, EngineFailed, GitFailed, Refused, RunnerError
from runner.domain.events import Emit
from runner.domain.service import job_of
from runner.domain.text import with_last_lines

LAST_LINES = 20


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
    work = GateWork(gate_project(project), f"{GATE_PREFIX}{name}", emit)
    with work.locked():
        dispose(work)  # of one that was killed
        try:
            bring_up(work, commit, base_commit, gates, wanted)
        except (CommandFailed, EngineFailed, GitFailed, Refused) as error:
            # A candidate can end its own container, or be impossible to check out.
            return Verdict(False, error.message, _keep_logs(work, log))
        else:
            return Verdict(True, "", _keep_logs(work, log))
        finally:
            dispose(work)


def cancel(project: Project, name: str) -> None:
    """Take the container away from under a test; what runs there ends, and is disposed of."""
    work = GateWork(gate_project(project), f"{GATE_PREFIX}{name}", lambda event: None)
    with contextlib.suppress(RunnerError):
        container = work.container()
        if container:
            work.engine.remove(container.id)


def bring_up(
    work: GateWork,
    commit: str,
    base_commit: str,
    gates: Sequence[Gate],
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Make the throwaway instance at `commit` and run the gates in it. Raises CommandFailed for
    a command of the project's that fails, Refused where the test is not `wanted` any more."""
    lay_out(work, commit)
    authority = images.host_ca(work.config.network.ca)
    image = images.ensure_image_at(work.project, lambda: base_commit, authority, work.emit)
    _require_wanted(wanted)
    ensure_dependencies(work, image, authority)
    running = ensure_running(work, image, authority)
    _require_wanted(wanted)
    with first_reset(work, authority, untouched=False) as first:
        ensure_sidecars(
            work, running.id, fresh=running.fresh, authority=authority, golden=first.found
        )
        ensure_setup(work, running.id, running.env)
        ensure_verified(work, running.id, running.env, again=True)
        ensure_reset(work, running.id, running.env, first)
    if any(gate.services for gate in gates):
        ensure_services(work, running)
    for number, gate in enumerate(gates, start=1):
        with work.step(gate.run):
            _run_gate(work, running, gate, f"gate-{number}")


def _run_gate(work: GateWork, running: Running, gate: Gate, name: str) -> None:
    """Run one gate. Its exit code is the engine's and its log the host's: what lies in the run
    folder could be written by the very code that is tested."""
    log = work.records.folder(work.id) / f"{name}.log"
    with log.open("wb") as file:
        said = cast(BinaryIO, _End(file))
        try:
            code = work.engine.exec_attached(
                running.id, ["sh", "-c", gate.run], env=running.env,
                workdir=str(PurePosixPath(WORKSPACE) / gate.folder), stdin=None, stdout=said,
                stderr=said, timeout=gate.timeout,
            )  # fmt: skip
        except EngineFailed as error:
            raise CommandFailed(f"{work.id}: {name} did not end well: {error.message}") from error
    if code:
        said_last = disk.tail_untrusted(log, LAST_LINES)
        sentence = f"{work.id}: {name} failed with exit code {code}: {gate.run}."
        raise CommandFailed(with_last_lines(sentence, said_last))


class _End:
    """A file of which so much is kept and no more; what comes after is counted, not written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = disk.BOUND

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._left])
        self._left = max(0, self._left - len(data))
        return len(data)

    def flush(self) -> None:
        self._file.flush()


def _keep_logs(work: GateWork, log: Path) -> Path:
    """Copy what set-up and gates printed, before the folder goes; only names of ours, bounded."""
    log.mkdir(parents=True, exist_ok=True)
    jobs, folder = run_folder(work), work.records.folder(work.id)
    setup = [f"setup-{n}" for n in range(1, len(work.config.setup) + 1)]
    services = [job_of(name) for name in work.config.services]
    sources = {job: jobs.log(job) for job in (*setup, "verify", "reset", *services)}
    sources |= {path.stem: path for path in folder.glob("gate-*.log")}
    for name, source in sources.items():
        data = disk.read_untrusted(source)
        if data is not None:
            with contextlib.suppress(OSError):
                (log / f"{name}.log").write_bytes(data)
    return log


def _require_wanted(wanted: Callable[[], bool]) -> None:
    """A cancelled test may not have had a container yet that could be taken away from it."""
    if not wanted():
        raise Refused("The test was cancelled.", hint="Nothing has to be done.")
