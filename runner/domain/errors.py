"""Every error that treedock raises on purpose.

    RunnerError                     exit code
    ├── BadRequest                      2   options that exclude each other, no instance named
    ├── ConfigError                     2   treedock.yaml or the command line is wrong
    ├── NotFound                        3   no such instance, service, project
    ├── Refused                         4   it would lose or break something
    │   ├── BaseMoved
    │   ├── BothMoved
    │   ├── BranchExists
    │   ├── Busy
    │   ├── LimitReached
    │   ├── MergeConflict
    │   ├── NoFreeSlot
    │   ├── NothingNew
    │   ├── OtherVersion
    │   ├── Stopped
    │   ├── UncommittedChanges
    │   └── UnmergedCommits
    ├── Unavailable                     5   something outside does not do its part
    │   ├── Damaged
    │   ├── GitFailed
    │   ├── EngineUnavailable
    │   ├── EngineFailed
    │   ├── ImageBuildFailed
    │   └── NotSynced
    ├── CommandFailed                   1   the user's own command failed
    └── Interrupted                   130   Ctrl-C, or a caller that cancelled it

Anything else that escapes is a bug and keeps its traceback.
"""

import errno

from runner.domain.text import shown


class RunnerError(Exception):
    """What went wrong, and the way out.

    `message` names the thing and the place; `hint` is the next step, or empty.
    `code` is stable and meant for programs; `exit_code` is the process's. Both texts are escaped
    here, so that no name in them can write lines of its own: see `runner.domain.text`.
    """

    code = "error"
    exit_code = 5

    def __init__(self, message: str, *, hint: str = "") -> None:
        self.message = shown(message)
        self.hint = shown(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message  # Exception would give a copy, whose lines `shown` takes for foreign

    def to_json(self) -> dict[str, str]:
        """The error as a program reads it."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class BadRequest(RunnerError):
    """A request that no verb can answer, wherever it is asked."""

    code = "usage"
    exit_code = 2


class ConfigError(RunnerError):
    code = "config"
    exit_code = 2


class NotFound(RunnerError):
    code = "not_found"
    exit_code = 3


class Refused(RunnerError):
    code = "refused"
    exit_code = 4


class BaseMoved(Refused):
    """Base is not at the commit any more that a candidate was built on."""

    code = "base_moved"


class BothMoved(Refused):
    """A branch has moved inside and here."""

    code = "both_moved"


class BranchExists(Refused):
    code = "branch_exists"


class Busy(Refused):
    """Another process has a lock and does not end in time; `holder` is how it calls itself."""

    code = "busy"

    def __init__(self, message: str, *, hint: str = "", holder: str = "another process") -> None:
        super().__init__(message, hint=hint)
        self.holder = shown(holder)


class LimitReached(Refused):
    code = "limit_reached"


class MergeConflict(Refused):
    code = "merge_conflict"


class NoFreeSlot(Refused):
    code = "no_free_slot"


class NothingNew(Refused):
    """An instance has no commit that base lacks."""

    code = "nothing_new"


class OtherVersion(Refused):
    """What another version of treedock keeps; it is neither changed nor removed."""

    code = "other_version"


class Stopped(Refused):
    """`down` stopped the instance while an operation was at work on it."""

    code = "stopped"


class UncommittedChanges(Refused):
    code = "uncommitted_changes"


class UnmergedCommits(Refused):
    code = "unmerged_commits"


class Unavailable(RunnerError):
    code = "unavailable"
    exit_code = 5


class Damaged(Unavailable):
    """A file that treedock keeps is not what it wrote."""

    code = "damaged"


class GitFailed(Unavailable):
    code = "git_failed"


class EngineUnavailable(Unavailable):
    code = "engine_unavailable"


class EngineFailed(Unavailable):
    """The engine answered, and the answer was no."""

    code = "engine_failed"


class ImageBuildFailed(Unavailable):
    code = "image_build_failed"


class NotSynced(Unavailable):
    """An instance is stopped, and its commits could not be brought out of its git directory."""

    code = "not_synced"


class CommandFailed(RunnerError):
    """A command of the user's own (set-up step, reset, service) failed."""

    code = "command_failed"
    exit_code = 1


class Interrupted(RunnerError):
    """The operation was cancelled."""

    code = "cancelled"
    exit_code = 130

    def __init__(
        self, message: str = "interrupted; the same command goes on from here", *, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)


class Signalled(BaseException):
    """This process got the signal `number` while a command inside was running."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def unavailable(error: OSError) -> Unavailable:
    """What this machine refused (a full disk, a missing right), as an error with a way out."""
    where = f"{error.filename}: " if error.filename else ""
    hint = "Fix that and run the same command again; nothing is lost."
    if error.errno == errno.ENOSPC:
        hint = "Free some space and run the same command again; nothing is lost."
    return Unavailable(f"{where}{error.strerror or error}.", hint=hint)


def exit_code_of(errors: list[RunnerError]) -> int:
    """The exit code of several failures: the highest of theirs; 0 for none."""
    return max((error.exit_code for error in errors), default=0)


def error_of(code: str, message: str, hint: str) -> RunnerError:
    """The error that was reported with this code: of the same class as when it was raised."""
    todo = [RunnerError]
    for kind in todo:
        if kind.code == code:
            return kind(message, hint=hint)
        todo.extend(kind.__subclasses__())
    return RunnerError(message, hint=hint)
