"""What lies where in the folder that treedock keeps for one instance."""

from collections.abc import Iterator
from pathlib import Path


class Folder:
    """The paths in an instance's own folder, `path`; none of them needs to be there.

    Code inside can write all of `run`, `home` and `git`, and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "record.json"
        self.events = path / "events.jsonl"  # what happened, as JSON lines
        self.run = path / "run"  # ids, logs and exit codes of its processes
        self.home = path / "home"
        self.git = path / "git"  # its own git directory
        self.gitfile = path / "gitfile"  # covers the .git of the worktree
        self.no_alternates = path / "no-alternates"  # an empty file, covers lists of object folders
        self.rules = path / "rules"  # the person's attributes, ignore rules and settings
        self.sparse_checkout = path / "sparse-checkout"  # the patterns that were handed in last
        self.quarantine = path / "quarantine"  # where bundles from inside are checked
        self.passwd = path / "passwd"
        self.group = path / "group"
        self.host_links = path / "host"  # lead from the host's path of the worktree to /workspace
        self.snapshots = path / "snapshots"  # copies of its database
        self.commands = path / "exec"  # what commands printed that no person was reading
        self.tree = path / "tree"  # the worktree of a throwaway instance

    def log(self, process: str) -> Path:
        """What a process printed that was run attached."""
        return self.path / f"{process}.log"

    def logs(self) -> Iterator[Path]:
        """Those that are there."""
        return self.path.glob("*.log")

    def home_of(self, gate: str) -> Path:
        """The home of a gate that runs outside, at first empty."""
        return self.path / f"home.{gate}"
