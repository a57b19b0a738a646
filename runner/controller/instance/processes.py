"""Running commands inside an instance, detached, and waiting for their end."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Exec
from runner.adapters.files import disk, untrusted
from runner.adapters.files.captured import Bounded
from runner.adapters.store.run_folder import WRAPPER, Process, RunFolder
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


def start_process(
    operation: Operation,
    container: str,
    process: str,
    command: str,
    *,
    folder: str,
    env: Mapping[str, str],
    restart: str = "no",
) -> None:
    """Start `command` as `process` in a session of its own, and wait until it has begun."""
    processes = run_folder(operation)
    processes.forget(process)
    processes.mark(process, _key(command, folder))
    argv = ["sh", "-c", WRAPPER, "treedock"]
    argv += [f"{RUN}/{process}", restart, f"{WORKSPACE}/{folder}", command]
    operation.engine.exec_detached(container, Exec(argv, env, WORKSPACE))
    deadline = time.monotonic() + START_TIMEOUT
    while processes.process(process).pid is None:
        if time.monotonic() > deadline:
            raise CommandFailed(
                f"{operation.id}: {process} did not start within {START_TIMEOUT:g} s.",
                hint=f"The image needs `sh`; look with: treedock shell {operation.id}",
            )
        cancellation.sleep(GLANCE)


def run_process(
    operation: Operation,
    container: str,
    process: str,
    command: str,
    *,
    folder: str,
    env: Mapping[str, str],
) -> None:
    """Run `command` as `process` to its end. Raises CommandFailed with its last lines.

    One that still runs, because the treedock that began it was killed, is waited for instead.
    """
    if operation.throwaway:
        run_attached(
            operation,
            container,
            process,
            command,
            folder=folder,
            env=env,
            timeout=operation.process_timeout,
        )
        return
    processes = run_folder(operation)
    same = processes.is_run_of(process, _key(command, folder))
    if not (same and processes.process(process).alive):
        stop_processes(operation, container, [processes.process(process)])
        start_process(operation, container, process, command, folder=folder, env=env)
    code = _wait(operation, container, processes, process)
    if code:
        raise failed_process(operation, processes, process, command, code)


def run_attached(
    operation: Operation,
    container: str,
    process: str,
    command: str,
    *,
    folder: str,
    env: Mapping[str, str],
    timeout: float | None,
) -> None:
    """Run `command` as `process` to its end, `timeout` seconds at most. Raises CommandFailed
    with its last lines.

    Its exit code is the engine's and its log the host's (`attached_log`): what lies in the run
    folder could be written by the very code that runs.
    """
    inside = Exec(["sh", "-c", command], env, str(PurePosixPath(WORKSPACE) / folder), timeout)
    with attached_log(operation, process).open("wb") as file:
        said = Bounded(untrusted.LOG, file)
        try:
            code = operation.engine.exec_attached(container, inside, Streams(None, said, said))
        except EngineFailed as error:
            said_so = sentences(f"{operation.id}: {process} did not end well:", error.message)
            raise CommandFailed(said_so) from error
    if code:
        sentence = _sentence(operation, process, command, code)
        last = untrusted.tail(attached_log(operation, process), LAST_LINES)
        raise CommandFailed(with_last_lines(sentence, last))


def attached_log(operation: Operation, process: str) -> Path:
    """The file with what a process printed that ran attached; it is never mounted."""
    return operation.folder.log(process)


def stop_processes(operation: Operation, container: str, processes: list[Process]) -> None:
    """End these processes and everything they started, within about a second."""
    pids = [str(process.pid) for process in processes if process.alive and process.pid]
    if pids:
        stop = Exec(["sh", "-c", _STOP, "treedock", *pids], workdir=RUN)
        operation.engine.exec(container, stop)


def failed_process(
    operation: Operation, processes: RunFolder, process: str, command: str, code: int | None
) -> CommandFailed:
    """The error that a process's end amounts to."""
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


def _key(command: str, folder: str) -> str:
    return hashlib.sha256(f"{folder}\0{command}".encode()).hexdigest()[:16]


def _wait(operation: Operation, container: str, processes: RunFolder, process: str) -> int:
    look_at_engine = time.monotonic() + 1
    timeout = operation.process_timeout
    deadline = time.monotonic() + timeout if timeout else None
    while True:
        state = processes.process(process)
        if not state.alive and state.exit_code is not None:
            return state.exit_code
        if time.monotonic() > look_at_engine:  # the container, or the engine, may have gone
            found = operation.container()
            if found and found.status == "paused":
                raise LimitReached(
                    f"{operation.id} is paused: it was writing while the disk was almost full.",
                    hint=f"Free some space, then: treedock up {operation.id}",
                )
            if found is None or found.status != "running":
                return 137
            look_at_engine = time.monotonic() + 1
        if deadline and time.monotonic() > deadline:
            stop_processes(operation, container, [state])
            raise CommandFailed(
                f"{operation.id}: {process} did not end within {timeout:g} seconds."
            )
        cancellation.sleep(GLANCE)
