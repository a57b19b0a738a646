"""Commands inside a container, whatever carries the requests to the engine.

The protocol: ContainerExec, ExecStart, ExecInspect and ContainerAttach of Docker's API.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from socket import SHUT_RDWR, socket
from typing import Any, BinaryIO, cast

from runner.adapters import cancellation
from runner.adapters.engine.bodies import exec_body
from runner.adapters.engine.calls import Calls, Connection, broke_off, required
from runner.adapters.engine.ending import MARK, end_marked, new_mark
from runner.adapters.engine.protocol import NO_COMMAND, Exec, Finished, not_started
from runner.adapters.failpoints import step
from runner.domain.errors import EngineFailed
from runner.domain.instance.streams import Streams

EXEC_TIMEOUT = 10.0  # seconds, and
EXEC_OUTPUT = 2**20  # bytes: for treedock's own short commands, in a container that may be hostile


class Execs:
    """The exec methods of an Engine."""

    @property
    def calls(self) -> Calls:
        raise NotImplementedError

    def exec_detached(self, container: str, command: Exec) -> None:
        made = self._made(container, exec_body(command))
        body = {"Detach": True, "Tty": False}
        required(*self.calls.ask("POST", f"/exec/{made}/start", body))
        step("engine exec")

    def exec(self, container: str, command: Exec) -> Finished:
        made = self._made(container, exec_body(command, joined=True))
        timeout = EXEC_TIMEOUT if command.timeout is None else command.timeout
        output = bytearray()
        with self.calls.started(made, tty=False) as connection:
            for _, part in frames(connection, timeout):
                output += part
                if len(output) > EXEC_OUTPUT:
                    raise EngineFailed(f"{command.argv[0]} inside did not come to an end.")
        code = self._ended(made)["ExitCode"]
        step("engine exec")
        return Finished(exit_code=code, output=bytes(output))

    def exec_attached(self, container: str, command: Exec, streams: Streams) -> int:
        # The caller may have set a mark, to find the command itself.
        marked = replace(command, env={MARK: new_mark(), **command.env})
        body = exec_body(marked, joined=True, stdin=streams.stdin is not None)
        made = self._made(container, body)
        try:
            self._join_streams(made, marked, streams)
        except BaseException as why:
            end_marked(self, container, marked.env[MARK], why)
            raise
        ended = self._ended(made)
        return NO_COMMAND if _never_started(ended) else cast(int, ended["ExitCode"])

    def _made(self, container: str, body: Mapping[str, Any]) -> str:
        """Make an exec; its id."""
        found = required(*self.calls.ask("POST", f"/containers/{container}/exec", body))
        return str(found["Id"])

    def _ended(self, made: str) -> Mapping[str, Any]:
        """What became of an exec."""
        found = required(*self.calls.ask("GET", f"/exec/{made}/json"))
        return cast(Mapping[str, Any], found)

    def _join_streams(self, made: str, command: Exec, streams: Streams) -> None:
        """Run an exec that was made to its end."""
        with self.calls.started(made, tty=False) as connection:
            if streams.stdin is not None:
                there = (streams.stdin, connection.socket)
                threading.Thread(target=_pump, args=there, daemon=True).start()
            found = frames(connection, command.timeout)
            for kind, data in self._if_started(made, found, command):
                target = streams.stderr if kind == 2 else streams.stdout
                target.write(data)
                target.flush()

    def _if_started(
        self, made: str, found: Iterator[tuple[int, bytes]], command: Exec
    ) -> Iterator[tuple[int, bytes]]:
        """What a command says; of one that cannot start the engine speaks, which is translated."""
        for number, (kind, data) in enumerate(found):
            if number == 0 and _never_started(self._ended(made)):
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
        raise broke_off() from error


def _never_started(command: Mapping[str, Any]) -> bool:
    """Whether an exec is over and never had a process. While it runs the id may come late."""
    return not command["Running"] and not command["Pid"]


def _pump(source: BinaryIO, sink: socket) -> None:
    """Copy `source` into the socket `sink` until it ends, then close that direction."""
    with contextlib.suppress(OSError):
        while data := os.read(source.fileno(), 65536):
            sink.sendall(data)
        sink.shutdown(1)
