"""What a commit holds, without checking it out."""

import os
from pathlib import PurePosixPath
from typing import Literal

from runner.adapters.git.repository import Git

Kind = Literal["folder", "file", "absent", "unknown"]

_KINDS: dict[str, Kind] = {"040000": "folder", "100644": "file", "100755": "file"}


class Committed:
    """The paths of one commit, read once. Raises GitFailed for what is no commit."""

    def __init__(self, git: Git, commit: str) -> None:
        listed = os.fsdecode(git.run("ls-tree", "-r", "-t", "-z", "--full-tree", commit).stdout)
        entries = (entry.partition("\t") for entry in listed.split("\0") if entry)
        self._kinds: dict[str, Kind] = {
            path: _KINDS.get(head.partition(" ")[0], "unknown") for head, _, path in entries
        }

    def kind(self, path: str) -> Kind:
        """What is at a relative path; unknown is a symlink, a submodule, or behind one."""
        wanted = PurePosixPath(path)
        if not wanted.parts:
            return "folder"
        above = [str(parent) for parent in wanted.parents]
        if any(self._kinds.get(parent) == "unknown" for parent in above):
            return "unknown"
        return self._kinds.get(str(wanted), "absent")
