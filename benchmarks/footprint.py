"""What instances weigh: on the engine's disk, in memory, and the process that makes them."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any

import docker
from processes import Failed, run
from scene import Scene

MB = 1e6
GLANCE = 0.02  # seconds between two looks


def disk_megabytes(scene: Scene) -> float:
    """`du -x` of what the project has below the engine's data root: its volumes (snapshots, golden
    states, and what instances wrote above them) and the writable layers of its containers. What an
    overlay shows of the volumes below it is not counted again; images and worktrees are not."""
    found = scene.engine.containers(all=True, filters={"label": [scene.ours]})
    seen = [scene.engine.inspect_container(one["Id"]) for one in found]
    folders = [one["GraphDriver"]["Data"]["UpperDir"] for one in seen]
    folders += [str(Path(one["LogPath"] or one["ResolvConfPath"]).parent) for one in seen]
    volumes = Path(scene.engine.info()["DockerRootDir"]) / "volumes"
    folders += [str(volumes / name) for name in scene.volumes()]
    total = run(["du", "-x", "--block-size=1", "--summarize", "--total", *folders])
    return int(total.splitlines()[-1].split()[0]) / MB


def memory_megabytes(scene: Scene) -> float:
    """Memory of all containers of the project, less files that are cached, as `docker stats`."""
    found = scene.engine.containers(filters={"label": [scene.ours]})
    with ThreadPoolExecutor(8) as pool:
        return sum(pool.map(_memory, (one["Id"] for one in found))) / MB


def _memory(container: str) -> int:
    engine = docker.APIClient(version="auto")
    stats: dict[str, Any] = engine.stats(container, stream=False, one_shot=True)["memory_stats"]
    cached = stats["stats"].get("total_inactive_file", stats["stats"].get("inactive_file", 0))
    return int(stats["usage"]) - int(cached)


def peak_megabytes(command: Sequence[str | Path], cwd: Path) -> float:
    """Run to the end; returns the most memory that the process itself had at once."""
    process = Popen([str(word) for word in command], cwd=cwd, stdout=DEVNULL, stderr=DEVNULL)
    peak, status = 0, Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        lines = status.read_text().splitlines()
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        time.sleep(GLANCE)
    if process.returncode:
        raise Failed(f"{command[0]} ended with exit code {process.returncode}")
    return peak * 1024 / MB
