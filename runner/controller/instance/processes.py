"""Running commands inside an instance, detached, and waiting for their end."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Exec
from runner.adapters.files import disk, untrusted
from runner.adapters.files.captured import Bounded
from runner.adapters.store.run_folder import WRAPPER, Process, RunFolder
from runner.controller.instance.executor import Launch
from runner.controller.operation import Operation
from runner.domain.errors import CommandFailed, EngineFailed, LimitReached
from runner.domain.instance.container import RUN, WORKSPACE
from runner.domain.instance.health import noexec_sentence
from runner.domain.instance.streams import Streams
from runner.domain.text import sentences, with_last_lines

START_TIMEOUT = 30.0  # seconds until the wrapper has to show a sign of life
LAST_LINES = 20
GLANCE = 0.005  # seconds between two looks at the run folder

_WHY = {
    126: "That means: found, but not executable. Try: chmod +x, and commit it.",
    127: "That means: there is no such command or folder in this branch or image. "
    "Is it new in base? Then bring it in: treedock update.",
    137: "That means: killed, most likely for want of memory (limits.memory).",
}

# Passes TERM to the process group of each process, and KILL 1 s later to those that are left.
_STOP = """
for pid; do kill -TERM -"$pid" 2>/dev/null; done
waited=0
for pid; do
  while [ $waited -lt 20 ] && kill -0 -"$pid" 2>/dev/null; do
    waited=$((waited + 1))
    sleep 0.05
  done
  kill -KILL -"$pid" 2>/dev/null
done
true
"""


def run_folder(operation: Operation) -> RunFolder:
    return RunFolder(operation.folder.run)


class LocalExecutor:
    """An Executor of an instance on this host: by detached execs in its container, which write what
    becomes of them into the instance's run folder."""

    def __init__(self, operation: Operation, container: str) -> None:
        self._operation = operation
        self._container = container
        self._processes = run_folder(operation)

    def start(self, launch: Launch) -> None:
        self._processes.forget(launch.name)
        self._processes.mark(launch.name, launch.key)
        argv = ["sh", "-c", WRAPPER, "treedock", f"{RUN}/{launch.name}", launch.restart]
        argv += [f"{WORKSPACE}/{launch.folder}", launch.command]
        self._operation.engine.exec_detached(self._container, Exec(argv, launch.env, WORKSPACE))
        deadline = time.monotonic() + START_TIMEOUT
        while self.watch(launch.name).pid is None:
            if time.monotonic() > deadline:
                id_ = self._operation.id
                raise CommandFailed(
                    f"{id_}: {launch.name} did not start within {START_TIMEOUT:g} s.",
                    hint=f"The image needs `sh`; look with: treedock shell {id_}",
                )
            cancellation.sleep(GLANCE)

    def watch(self, name: str) -> Process:
        return self._processes.process(name)

    def is_same(self, launch: Launch) -> bool:
        return self._processes.is_run_of(launch.name, launch.key)

    def wait(self, launch: Launch) -> int:
        look_at_engine = time.monotonic() + 1
        deadline = time.monotonic() + launch.timeout if launch.timeout else None
        while True:
            state = self.watch(launch.name)
            if not state.alive and state.exit_code is not None:
                return state.exit_code
            if time.monotonic() > look_at_engine:  # the container, or the engine, may have gone
                if not self._goes_on():
                    return 137
                look_at_engine = time.monotonic() + 1
            if deadline and time.monotonic() > deadline:
                self.stop([launch.name])
                raise CommandFailed(
                    f"{self._operation.id}: {launch.name} did not end within "
                    f"{launch.timeout:g} seconds."
                )
            cancellation.sleep(GLANCE)

    def stop(self, names: Sequence[str]) -> None:
        found = [self.watch(name) for name in names]
        pids = [str(process.pid) for process in found if process.alive and process.pid]
        if pids:
            stop = Exec(["sh", "-c", _STOP, "treedock", *pids], workdir=RUN)
            self._operation.engine.exec(self._container, stop)

    def _goes_on(self) -> bool:
        """Whether the container runs. Raises LimitReached where it is paused."""
        found = self._operation.container()
        if found and found.status == "paused":
            id_ = self._operation.id
            raise LimitReached(
                f"{id_} is paused: it was writing while the disk was almost full.",
                hint=f"Free some space, then: treedock up {id_}",
            )
        return found is not None and found.status == "running"


def run_process(operation: Operation, container: str, launch: Launch) -> None:
    """Run a command to its end. Raises CommandFailed with its last lines.

    One that still runs, because the treedock that began it was killed, is waited for instead.
    """
    if operation.throwaway:
        run_attached(operation, container, replace(launch, timeout=operation.process_timeout))
        return
    executor = LocalExecutor(operation, container)
    if not (executor.is_same(launch) and executor.watch(launch.name).alive):
        executor.stop([launch.name])
        executor.start(launch)
    code = executor.wait(launch)
    if code:
        raise failed_process(operation, launch.name, launch.command, code)


def run_attached(operation: Operation, container: str, launch: Launch) -> None:
    """Run a command to its end. Raises CommandFailed with its last lines.

    Its exit code is the engine's and its log the host's (`attached_log`): what lies in the run
    folder could be written by the very code that runs.
    """
    process, log = launch.name, attached_log(operation, launch.name)
    inside = Exec(
        ["sh", "-c", launch.command], launch.env, str(PurePosixPath(WORKSPACE) / launch.folder),
        launch.timeout,
    )  # fmt: skip
    with log.open("wb") as file:
        said = Bounded(untrusted.LOG, file)
        try:
            code = operation.engine.exec_attached(container, inside, Streams(None, said, said))
        except EngineFailed as error:
            said_so = sentences(f"{operation.id}: {process} did not end well:", error.message)
            raise CommandFailed(said_so) from error
    if code:
        sentence = _sentence(operation, process, launch.command, code)
        last = untrusted.tail(log, LAST_LINES)
        raise CommandFailed(with_last_lines(sentence, last))


def attached_log(operation: Operation, process: str) -> Path:
    """The file with what a process printed that ran attached; it is never mounted."""
    return operation.folder.log(process)


def failed_process(
    operation: Operation, process: str, command: str, code: int | None
) -> CommandFailed:
    """The error that a process's end amounts to."""
    processes = run_folder(operation)
    name = process.removeprefix("service.")
    sentence = _sentence(operation, name, command, code)
    again = f"treedock up {operation.id}"
    if process == "reset" and operation.record.ready:
        again = f"treedock db reset {operation.id}"
    return CommandFailed(
        with_last_lines(sentence, processes.last_lines(process)),
        hint=f"The whole log: treedock logs {operation.id} {name}. Fix it and run it again: "
        f"{again}",
    )


def _sentence(operation: Operation, name: str, command: str, code: int | None) -> str:
    why = f" {_WHY[code]}" if code in _WHY else ""
    if code == 126 and (mount := disk.noexec_mount(Path(operation.record.worktree))):
        why = f" {noexec_sentence(mount)}"
    return f"{operation.id}: {name} failed with exit code {code}: {command}.{why}"
