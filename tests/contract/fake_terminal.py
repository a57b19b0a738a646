"""Terminals of the fake engine, and what its processes use."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from pathlib import Path

from runner.adapters import cancellation
from runner.adapters.engine.protocol import NO_COMMAND

GLANCE = 0.01  # seconds until what goes on is looked at again


class FakeTerminal:
    """A pseudo-terminal of this host: our side, and that of the command."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self._said = b""
        self._process: subprocess.Popen[bytes] | None = None

    def of(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def fail(self, why: str) -> None:
        self._said = why.encode()

    def read(self) -> bytes:
        said, self._said = self._said, b""
        while not said and self._process:
            ended = self._process.poll() is not None
            if select.select([self._ours], [], [], 0)[0]:
                return os.read(self._ours, 65536)
            if ended:
                break
            cancellation.sleep(GLANCE)
        return said

    def write(self, data: bytes) -> None:
        os.write(self._ours, data)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else NO_COMMAND

    def end(self) -> None:
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._ours)
        os.close(self.theirs)


def cpu_seconds(pid: int) -> float:
    """User and system time (proc(5), stat: fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
