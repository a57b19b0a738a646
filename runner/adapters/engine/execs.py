"""Commands inside a container, whatever carries the requests to the engine.

The protocol: ContainerExec, ExecStart, ExecInspect and ContainerAttach of Docker's API.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from socket import SHUT_RDWR, socket
from typing import Any, BinaryIO, Protocol, cast

from runner.adapters import cancellation
from runner.adapters.engine.ending import MARK, end_marked, new_mark
from runner.adapters.engine.protocol import HINT, NO_COMMAND, Exec, Finished, not_started
from runner.adapters.failpoints import step
from runner.domain.errors import EngineFailed, EngineUnavailable
from runner.domain.frozen import dataclass

EXEC_TIMEOUT = 10.0  # seconds, and
EXEC_OUTPUT = 2**20  # bytes: for treedock's own short commands, in a container that may be hostile


@dataclass(frozen=True)
class Connection:
    """An upgraded connection. `reader` holds what arrived together with the answer's head."""

    socket: socket
    reader: BinaryIO


class ExecCalls(Protocol):
    """The requests that it takes. Each raises EngineUnavailable and EngineFailed."""

    def create(self, container: str, wanted: Mapping[str, Any]) -> str:
        """Make an exec as the body `wanted` says; returns its id."""

    def started(self, made: str) -> AbstractContextManager[Connection]:
        """Start it; the connection to its streams, closed afterwards."""

    def start_detached(self, made: str) -> None:
        """Start it, and have nothing of its streams."""

    def inspect(self, made: str) -> Mapping[str, Any]:
        """What became of it."""


class Execs:
    """The exec methods of an Engine."""

    @property
    def exec_calls(self) -> ExecCalls:
        raise NotImplementedError

    def exec_detached(self, container: str, command: Exec) -> None:
        made = self.exec_calls.create(container, _wanted(command))
        self.exec_calls.start_detached(made)
        step("engine exec")

    def exec(self, container: str, command: Exec) -> Finished:
        made = self.exec_calls.create(container, _wanted(command, joined=True))
        timeout = EXEC_TIMEOUT if command.timeout is None else command.timeout
        output = bytearray()
        with self.exec_calls.started(made) as connection:
            for _, part in frames(connection, timeout):
                output += part
                if len(output) > EXEC_OUTPUT:
                    raise EngineFailed(f"{command.argv[0]} inside did not come to an end.")
        code = self.exec_calls.inspect(made)["ExitCode"]
        step("engine exec")
        return Finished(exit_code=code, output=bytes(output))

    def exec_attached(
        self,
        container: str,
        command: Exec,
        *,
        stdin: BinaryIO | None,
        stdout: BinaryIO,
        stderr: BinaryIO,
    ) -> int:
        # The caller may have set a mark, to find the command itself.
        marked = replace(command, env={MARK: new_mark(), **command.env})
        wanted = _wanted(marked, joined=True, stdin=stdin is not None)
        made = self.exec_calls.create(container, wanted)
        try:
            self._join_streams(made, marked, (stdin, stdout, stderr))
        except BaseException as why:
            end_marked(self, container, marked.env[MARK], why)
            raise
        ended = self.exec_calls.inspect(made)
        return NO_COMMAND if _never_started(ended) else cast(int, ended["ExitCode"])

    def _join_streams(
        self,
        made: str,
        command: Exec,
        streams: tuple[BinaryIO | None, BinaryIO, BinaryIO],
    ) -> None:
        """Run an exec that was made to its end."""
        stdin, stdout, stderr = streams
        with self.exec_calls.started(made) as connection:
            if stdin is not None:
                pump = threading.Thread(target=_pump, args=(stdin, connection.socket), daemon=True)
                pump.start()
            found = frames(connection, command.timeout)
            for kind, data in self._if_started(made, found, command):
                target = stderr if kind == 2 else stdout
                target.write(data)
                target.flush()

    def _if_started(
        self, made: str, found: Iterator[tuple[int, bytes]], command: Exec
    ) -> Iterator[tuple[int, bytes]]:
        """What a command says; of one that cannot start the engine speaks, which is translated."""
        for number, (kind, data) in enumerate(found):
            if number == 0 and _never_started(self.exec_calls.inspect(made)):
                text = data.decode(errors="replace")
                yield 2, f"{not_started(command.argv[0], command.workdir, text)}\n".encode()
                return
            yield kind, data


def frames(connection: Connection, timeout: float | None) -> Iterator[tuple[int, bytes]]:
    """(stream, data) of each frame until the end: 8 bytes of head, then as many as it says
    (Docker's API: ContainerAttach). Raises EngineFailed after `timeout` seconds, and
    EngineUnavailable where the engine goes away."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        with cancellation.ending(lambda: connection.socket.shutdown(SHUT_RDWR)):
            while True:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:  # it never is silent
                    raise TimeoutError
                connection.socket.settimeout(left)  # without one a command may be silent for hours
                head = connection.reader.read(8)
                if not head:
                    return
                kind, size = struct.unpack(">BxxxL", head)
                data = connection.reader.read(size)
                if len(data) < size:
                    raise EOFError
                yield kind, data
    except TimeoutError as error:
        raise EngineFailed(f"A command inside did not end within {timeout:g} seconds.") from error
    except (OSError, EOFError, struct.error) as error:  # reset, or ended within a frame
        raise EngineUnavailable("The container engine broke off.", hint=HINT) from error


def _wanted(command: Exec, *, joined: bool = False, stdin: bool = False) -> dict[str, Any]:
    """The body of ContainerExec."""
    return {
        "Cmd": list(command.argv),
        "Env": [f"{name}={value}" for name, value in command.env.items()],
        "WorkingDir": command.workdir,
        "AttachStdin": stdin,
        "AttachStdout": joined,
        "AttachStderr": joined,
    }


def _never_started(command: Mapping[str, Any]) -> bool:
    """Whether an exec is over and never had a process. While it runs the id may come late."""
    return not command["Running"] and not command["Pid"]


def _pump(source: BinaryIO, sink: socket) -> None:
    """Copy `source` into the socket `sink` until it ends, then close that direction."""
    with contextlib.suppress(OSError):
        while data := os.read(source.fileno(), 65536):
            sink.sendall(data)
        sink.shutdown(1)
