"""Where processes of an instance run: the seam between what is to run and the machine it is on."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Protocol

from runner.adapters.store.run_folder import Process
from runner.domain.frozen import dataclass


@dataclass(frozen=True)
class Launch:
    """What is to run as the process `name`. `folder` lies below the worktree, `timeout` is in
    seconds, None without end; `restart` is 'no' or 'on-failure'."""

    name: str
    command: str
    folder: str
    env: Mapping[str, str]
    restart: str = "no"
    timeout: float | None = None

    @property
    def key(self) -> str:
        """The same for the same command in the same folder."""
        return hashlib.sha256(f"{self.folder}\0{self.command}".encode()).hexdigest()[:16]


class Executor(Protocol):
    """Starts, watches and stops processes, and is not needed for them to go on: another one reads
    what became of them."""

    def start(self, launch: Launch) -> None:
        """Start it in a session of its own, and wait until it has begun; what is known of an
        earlier one of its name is forgotten. Raises CommandFailed where it does not begin."""

    def watch(self, name: str) -> Process:
        """The process of that name as it is now."""

    def is_same(self, launch: Launch) -> bool:
        """Whether the process of its name was started for the same."""

    def wait(self, launch: Launch) -> int:
        """Its exit code, once it has ended; 137 where its instance has. Raises CommandFailed at its
        timeout, LimitReached for one that is paused, Cancelled."""

    def stop(self, names: Sequence[str]) -> None:
        """End those that run, and everything they started, within about a second."""
