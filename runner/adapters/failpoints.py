"""Every change that treedock makes to the world is one step, counted in the order they are made.

With TREEDOCK_KILL_AFTER=<n> in the environment the process kills itself with SIGKILL right after
its n-th step: the tests' proof that no moment exists at which a kill loses anything. With
TREEDOCK_STEPS=<file> it appends the name of each step there instead.
"""

import os
import signal
import threading
from pathlib import Path

_KILL = "TREEDOCK_KILL_AFTER"
_FILE = "TREEDOCK_STEPS"
_lock = threading.Lock()
_count = 0


def step(name: str) -> None:
    """One change was made just now."""
    if _KILL in os.environ:
        global _count
        with _lock:
            _count += 1
            if _count == int(os.environ[_KILL]):
                os.kill(os.getpid(), signal.SIGKILL)
    if _FILE in os.environ:
        with Path(os.environ[_FILE]).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
