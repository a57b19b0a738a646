"""Two layouts under attack by the same scripts: the naive one, and treedock's."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.real_git import git
from tests.running import Answer
from tests.scenarios.conftest import App

if TYPE_CHECKING:
    from docker.models.containers import Container

WHO = {
    "GIT_AUTHOR_NAME": "Eve",
    "GIT_AUTHOR_EMAIL": "eve@example.com",
    "GIT_COMMITTER_NAME": "Eve",
    "GIT_COMMITTER_EMAIL": "eve@example.com",
}
# What controls a terminal; line breaks and tabs aside.
RAW = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
PATIENCE = 60  # seconds; a verb that takes longer hangs
ENDING = 300  # seconds; what is forced away is archived, files of 10 GB of zeros as well


@dataclass(frozen=True)
class Naive:
    """What is done without treedock: worktree and main repository are mounted, writable, into a
    plain container, and a person on this machine uses git as ever.

    `canary` lies where the container sees nothing: only code on this machine can make it.
    """

    folder: Path
    tree: Path
    home: Path
    canary: Path
    container: "Container"

    def attack(self, script: str) -> None:
        """Run it in the container, at the top of the worktree; it has to succeed."""
        code, said = self.run(script)
        assert code == 0, said
        assert not self.canary.exists()

    def run(self, script: str, *, user: str | None = None) -> tuple[int, str]:
        """The exit code of a script in the container, and what it printed."""
        done = self.container.exec_run(
            ["sh", "-c", script],
            workdir=str(self.tree),
            user=user or f"{os.getuid()}:{os.getgid()}",
            environment={"CANARY": str(self.canary), "TREE": str(self.tree), **self._home()},
        )
        assert isinstance(done.output, bytes)
        assert done.exit_code is not None
        return done.exit_code, done.output.decode(errors="replace")

    def git(self, *arguments: str, stdin: str = "") -> int:
        """The plain git of the person, in the worktree; returns its exit code."""
        return plain_git(self.tree, *arguments, stdin=stdin, env=self._home())

    def _home(self) -> dict[str, str]:
        return {"HOME": str(self.home), **WHO}


def plain_git(
    folder: Path, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
) -> int:
    """git as a person calls it, in a folder; returns its exit code."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    done = subprocess.run(
        ["git", *arguments], cwd=folder,
        env=kept | {"GIT_TERMINAL_PROMPT": "0", "TERM": "xterm"} | dict(env or WHO),
        input=stdin, text=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode


@dataclass
class House(App):
    """A project with the running instance `auth`, whose code is hostile. `canaries` is a folder
    on this machine, outside everything: whatever makes a file there ran where it must not."""

    canaries: Path
    before: dict[str, object] = field(default_factory=dict)

    def attack(self, script: str, name: str = "canary", *, instance: str = "auth") -> Answer:
        """Run the same script inside, at the top of the worktree, with a canary of this name."""
        where = [f"CANARY={self.canaries / name}", f"TREE={self.tree(instance)}"]
        who = [f"{key}={value}" for key, value in WHO.items()]
        return self.cli("exec", instance, "--", "env", *where, *who, "sh", "-c", script)

    def attacked(self, script: str, name: str = "canary") -> None:
        """The same; it has to succeed as far as the script itself goes."""
        answer = self.attack(script, name)
        assert answer.exit_code == 0, answer.stderr + answer.stdout

    def look(
        self, *more: tuple[str, ...], verbs: Sequence[tuple[str, ...]] | None = None
    ) -> dict[str, Answer]:
        """Every verb that looks at the instance (or `verbs`), and `more`; then nothing may have
        happened. Returns the answers by the verb."""
        verbs = [*(VERBS if verbs is None else verbs), *more]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda verb: self.cli(*verb, timeout=PATIENCE), verbs))
        for verb, answer in zip(verbs, answers, strict=True):
            self.require_calm(" ".join(verb), answer)
        self.require_unharmed()
        return {verb[0]: answer for verb, answer in zip(verbs, answers, strict=True)}

    def require_calm(self, what: str, answer: Answer) -> None:
        """It ran nothing, is no bug, and says nothing that a terminal would obey."""
        self.require_silence(what)
        assert "Traceback" not in answer.stderr, f"{what}: {answer.stderr}"
        shown = answer.stdout + answer.stderr
        assert not RAW.search(shown), f"{what} prints what controls a terminal: {shown!r}"

    def require_silence(self, what: str) -> None:
        """No canary sings."""
        singing = [path.name for path in self.canaries.iterdir()]
        assert not singing, f"{what} ran code of the instance on this machine: {singing}"

    def require_unharmed(self) -> None:
        """The main repository is whole, and is what it was apart from treedock's own refs."""
        now = self.state()
        changed = {key: (self.before[key], now[key]) for key in now if now[key] != self.before[key]}
        assert not changed, changed
        git(self.folder, "fsck", "--full", "--strict", "--no-progress", "--no-dangling")

    def state(self) -> dict[str, object]:
        """What of the main repository no instance may change."""
        common = self.folder / ".git"
        refs = git(self.folder, "for-each-ref").split("\n")
        own = ("\trefs/treedock", "\trefs/heads/feature/")
        hooks = common / "hooks"
        return {
            "refs": [line for line in refs if not any(name in line for name in own)],
            "head": (common / "HEAD").read_text(),
            "config": (common / "config").read_text(),
            "hooks": sorted(path.name for path in hooks.iterdir()) if hooks.exists() else [],
            "exclude": (common / "info/exclude").read_text().partition("# >>> treedock")[0],
            "alternates": (common / "objects/info/alternates").exists(),
            "worktrees": sorted(path.name for path in (common / "worktrees").iterdir()),
            "files": git(self.folder, "status", "--porcelain"),
        }

    def head(self, instance: str = "auth") -> str:
        """The commit of the instance's branch, as the main repository has it."""
        return git(self.folder, "rev-parse", f"feature/{instance}").strip()

    def end(self) -> None:
        """Down, up and clean, whatever lies there; the canary stays away and main whole."""
        ending = (("down", "--all"), ("up", "auth"), ("clean", "--all", "--force"))
        for arguments in ending:
            self.require_calm(arguments[0], self.cli(*arguments, timeout=ENDING))
        assert not (self.folder / "trees/auth").exists()
        assert self.containers() == []
        git(self.folder, "fsck", "--full", "--strict", "--no-progress", "--no-dangling")


def verbs() -> list[tuple[str, ...]]:
    """Every verb that looks at what code inside has made, as far as treedock has it."""
    from runner.cli.main import _COMMANDS

    looking = [
        ("list",),
        ("status",),
        ("review", "auth"),
        ("sync", "auth"),
        ("clean", "auth", "--dry-run", "--force"),
        ("up", "auth"),
    ]
    return looking + [(name,) for name in ("conflicts",) if name in _COMMANDS]


VERBS = verbs()
