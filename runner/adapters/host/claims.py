"""A claim: which process is at work on something, so that a later one sees whether it still is."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """A process. `started` is its start in clock ticks since the boot (proc_pid_stat(5), field 22):
    a pid that was given to another process since is no claim."""

    host: str
    boot_id: str
    pid: int
    started: int


def own() -> Claim:
    """That of this process."""
    pid = os.getpid()
    started = _started(pid)
    assert started is not None
    return Claim(socket.gethostname(), _boot_id(), pid, started)


def holds(claim: Claim) -> bool:
    """Whether the process still runs. One of another host is taken to run: it cannot be seen."""
    if claim.host != socket.gethostname():
        return True
    return claim.boot_id == _boot_id() and claim.started == _started(claim.pid)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _started(pid: int) -> int | None:
    """None where there is no such process, or only what its parent has not asked about yet."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()  # its name may hold spaces and brackets
    return None if state in "ZX" else int(fields[18])
