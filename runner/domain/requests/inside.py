"""exec, shell, db shell."""

from dataclasses import field

from runner.domain.answers import Answer
from runner.domain.frozen import dataclass
from runner.domain.requests.request import Request


@dataclass(frozen=True, kw_only=True)
class Executed(Answer):
    id: str = ""
    """The instance."""
    code: int = 0
    """The exit code of the command, which is that of this verb as well."""
    stdout: str = ""
    """The last MiB of what it printed there."""
    stderr: str = ""
    """The same of its errors."""
    truncated: bool = False
    """Whether more came than that."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes that came, by stream."""
    files: dict[str, str] = field(default_factory=dict)
    """Where up to 64 MiB of a stream are of which more came, by stream."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Bytes that are not there either, by stream."""

    @property
    def exit_code(self) -> int:
        """That of the command, where one ran."""
        return super().exit_code or self.code


@dataclass(frozen=True, kw_only=True)
class Exec(Request[Executed]):
    """Run a command in an instance, in the folder that the one we stand in is inside."""

    verb = "exec"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""
    command: tuple[str, ...]
    """The command with its arguments."""


@dataclass(frozen=True, kw_only=True)
class Shell(Request[Executed]):
    """Open a shell in an instance: bash where it has one, else sh."""

    verb = "shell"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""


@dataclass(frozen=True, kw_only=True)
class Client(Request[Executed]):
    """Open the database's own client (psql, sqlite3)."""

    verb = "db shell"

    instance: str | None = None
    """Which one; without a name the one in whose worktree we stand."""


Attachable = Exec | Shell | Client
"""What can run with the streams of a caller."""
