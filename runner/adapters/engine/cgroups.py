"""What the kernel says a container used, read from the host's cgroup files.

Cheap enough for `status` of twenty instances. Where the files are not readable (another driver,
a remote engine) everything is unknown.
"""

from pathlib import Path

from runner.domain.frozen import dataclass

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


def written(container: str, root: Path = _ROOT) -> int | None:
    """Bytes that a container has written to disks, by whatever ran in it, and those that it wrote
    and the kernel still holds. None where that is unknown: cgroup v1 counts neither."""
    paths = (root / pattern.format(id=container) for pattern in _V2)
    folder = next((path for path in paths if (path / "io.stat").is_file()), None)
    if folder is None:
        return None
    words = _text(folder, "io.stat").split()
    done = sum(int(word[7:]) for word in words if word.startswith("wbytes="))
    held = dict(line.split(" ", 1) for line in _text(folder, "memory.stat").splitlines())
    return done + sum(int(held.get(name, 0)) for name in ("file_dirty", "file_writeback"))


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
