"""What the kernel says a container used, read from the host's cgroup files.

Cheap enough for `status` of twenty instances. Where the files are not readable (another driver,
a remote engine) everything is unknown.
"""

from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
# cgroup v1 and v2, each with the cgroupfs and the systemd driver of the engine.
_V1 = ("{kind}/docker/{id}", "{kind}/system.slice/docker-{id}.scope")
_V2 = ("docker/{id}", "system.slice/docker-{id}.scope")


@dataclass(frozen=True)
class Usage:
    """`memory` in bytes, `pids` a count, `memory_kills` how many processes the kernel killed for
    want of memory since the container started; None is unknown."""

    memory: int | None
    pids: int | None
    memory_kills: int | None


def usage(container: str) -> Usage:
    """The usage of the container with this full id."""
    memory, pids = _folder("memory", container), _folder("pids", container)
    used = _number(memory, "memory.current") or _number(memory, "memory.usage_in_bytes")
    kills = _field(memory, "memory.events") or _field(memory, "memory.oom_control")
    return Usage(memory=used, pids=_number(pids, "pids.current"), memory_kills=kills)


def written(container: str) -> int:
    """Bytes that the processes that run in a container now have written to disks, as the kernel
    counts them when they are written and not when they reach the disk (proc(5), write_bytes)."""
    total = 0
    for pid in _text(_folder("pids", container), "cgroup.procs").split():
        for line in _text(Path("/proc") / pid, "io").splitlines():
            key, _, value = line.partition(": ")
            if key == "write_bytes":
                total += int(value)
    return total


def _folder(kind: str, container: str) -> Path | None:
    patterns = [*_V1, *_V2]
    paths = [_ROOT / pattern.format(kind=kind, id=container) for pattern in patterns]
    return next((path for path in paths if path.is_dir()), None)


def _number(folder: Path | None, name: str) -> int | None:
    text = _text(folder, name).strip()
    return int(text) if text.isdecimal() else None


def _field(folder: Path | None, name: str) -> int | None:
    """The number behind `oom_kill` in a file of 'key value' lines."""
    for line in _text(folder, name).splitlines():
        key, _, value = line.partition(" ")
        if key == "oom_kill" and value.isdecimal():
            return int(value)
    return None


def _text(folder: Path | None, name: str) -> str:
    try:
        return (folder / name).read_text() if folder else ""
    except OSError:
        return ""
