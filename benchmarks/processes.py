"""Running whole processes: plainly, or against the clock."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TIMEOUT = 600  # seconds; an install from a slow registry


# Installed programs have their bytecode; one run from a checkout writes it at its first start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


class Failed(Exception):
    """A process that should have ended well did not; carries what it said last."""


def run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run to the end; returns stdout. Raises Failed with the last lines of stderr."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise Failed(f"{' '.join(words[:4])} ... ended with exit code {done.returncode}:\n{said}")
    return done.stdout


def seconds(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> float:
    """How long the whole process took, from its spawning to its end."""
    started = time.perf_counter()
    run(command, cwd=cwd, env=env)
    return time.perf_counter() - started
