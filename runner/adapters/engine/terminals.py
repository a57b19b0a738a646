"""Commands inside with a terminal of their own (Docker's API: ContainerExec, ExecResize)."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from io import BufferedReader
from socket import SHUT_RDWR
from typing import cast

from runner.adapters import cancellation
from runner.adapters.engine.bodies import exec_body
from runner.adapters.engine.calls import Calls, Connection, broke_off, required
from runner.adapters.engine.ending import MARK, Runs, end_marked, new_mark
from runner.adapters.engine.protocol import Exec, Terminal
from runner.domain.errors import EngineFailed

AT_ONCE = 2**16  # bytes
TRIES, PAUSE = 50, 0.02  # until a command that is being started has a terminal to be resized


class ExecTerminal:
    """A Terminal of an exec that was started."""

    def __init__(self, calls: Calls, made: str, connection: Connection) -> None:
        self._calls = calls
        self._made = made
        self._connection = connection

    def read(self) -> bytes:
        reader = cast(BufferedReader, self._connection.reader)
        try:
            with cancellation.ending(lambda: self._connection.socket.shutdown(SHUT_RDWR)):
                return reader.read1(AT_ONCE)
        except OSError as error:
            raise broke_off() from error

    def write(self, data: bytes) -> None:
        try:
            self._connection.socket.sendall(data)
        except OSError as error:
            raise broke_off() from error

    def resize(self, rows: int, columns: int) -> None:
        required(*self._calls.ask("POST", f"/exec/{self._made}/resize?h={rows}&w={columns}"))

    def exit_code(self) -> int | None:
        found = required(*self._calls.ask("GET", f"/exec/{self._made}/json"))
        return None if found["Running"] else int(found["ExitCode"])


@contextlib.contextmanager
def terminal(
    engine: Runs, calls: Calls, container: str, command: Exec, size: tuple[int, int]
) -> Iterator[Terminal]:
    """See Engine.terminal."""
    marked = replace(command, env={MARK: new_mark(), **command.env})
    body = exec_body(marked, joined=True, stdin=True, tty=True)
    made = str(required(*calls.ask("POST", f"/containers/{container}/exec", body))["Id"])
    with calls.started(made, tty=True) as connection:
        connection.socket.settimeout(None)
        there = ExecTerminal(calls, made, connection)
        try:
            _resize(there, *size)
            yield there
        finally:
            if there.exit_code() is None:
                end_marked(engine, container, marked.env[MARK], EOFError())


def _resize(there: ExecTerminal, rows: int, columns: int) -> None:
    """The engine answers to the start before there is a terminal."""
    for left in reversed(range(TRIES)):
        try:
            there.resize(rows, columns)
        except EngineFailed:
            if not left:
                raise
        else:
            return
        if there.exit_code() is not None:
            return
        cancellation.sleep(PAUSE)
