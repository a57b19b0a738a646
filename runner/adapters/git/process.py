"""Running git: the only place that spawns it.

Every call runs no hook and no file system monitor, ignores submodules, and asks in git's machine
voice: exit codes, porcelain -z, object ids.
"""

import contextlib
import os
import re
import signal
import stat
import subprocess
from pathlib import Path
from typing import BinaryIO

from runner.adapters import cancellation
from runner.adapters.files import untrusted
from runner.adapters.store import locks
from runner.domain.errors import GitFailed, NotFound, Refused
from runner.domain.frozen import dataclass
from runner.domain.text import shell_word, with_words

TIMEOUT = 600  # seconds; a checkout of a very large repository on a slow disk
LOOK_TIMEOUT = 120  # seconds; git reads a file of hundreds of gigabytes that code inside made
GRACE = 2  # seconds that git has to remove its lock files
_SAFE = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
)
# What would make git look at another repository than the one it is told (git rev-parse
# --local-env-vars), set for instance when treedock is run by a hook.
_FOREIGN = re.compile(
    r"GIT_(ALTERNATE_OBJECT_DIRECTORIES|CONFIG(_PARAMETERS|_COUNT|_KEY_.*|_VALUE_.*)?|OBJECT_DIRECTORY"
    r"|DIR|WORK_TREE|IMPLICIT_WORK_TREE|GRAFT_FILE|INDEX_FILE|NO_REPLACE_OBJECTS|REPLACE_REF_BASE"
    r"|ATTR_SOURCE|PREFIX|SHALLOW_FILE|COMMON_DIR|NAMESPACE|EXTERNAL_DIFF|INTERNAL_SUPER_PREFIX)"
)
# Commands that change something; the kill points of the tests come after them.
CHANGING = {
    "update-ref",
    "worktree",
    "reset",
    "merge",
    "merge-tree",
    "commit-tree",
    "read-tree",
    "update-index",
    "restore",
    "config",
    "fetch",
    "push",
    "-c",
}
# With these, packs of any size here do not count against Bounds.memory.
FRUGAL = ("-c", "core.packedGitWindowSize=32m", "-c", "core.packedGitLimit=256m")
# Commands that read .gitignore files. Code in a container can make one a FIFO, which git opens
# and waits for without end, or as large as it likes, and git 2.39 reads it whole.
LOOKING = {"status", "ls-files", "check-ignore", "check-attr", "--refresh"}
_LOOK_PATIENCE = 2.0  # seconds before we look what keeps git
_LOOK_MEMORY = 2**31  # bytes of git's own; packs, which are mapped, do not count
# Seconds of a processor. Patterns such as a*a*a*...b take git longer than anybody waits, and the
# kernel ends it also where treedock was killed.
LOOK_CPU = 30


@dataclass(frozen=True)
class Bounds:
    """What a command may use: bytes of memory, seconds of a processor, bytes of each file."""

    memory: int
    cpu: int
    file: int


def version() -> tuple[int, ...]:
    """git's version, e.g. (2, 39, 5). Raises NotFound where there is no git."""
    out = spawn(["git", "--version"], cwd=None).stdout.decode()
    return tuple(int(part) for part in re.findall(r"\d+", out)[:3])


def safe_flags() -> list[str]:
    return [part for setting in _SAFE for part in ("-c", setting)]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not _FOREIGN.fullmatch(key)}
    quiet = {
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ATTR_NOSYSTEM": "1",  # instances do not see them either
    }
    # git starts filters from the top of a worktree, where a branch could bring their namesakes.
    absolute = (entry for entry in kept.get("PATH", os.defpath).split(":") if entry[:1] == "/")
    return {**kept, **quiet, "PATH": ":".join(absolute), "SSH_ASKPASS_REQUIRE": "never"}


def quoted_path(path: Path) -> str:
    """A path as an entry of a list that ':' divides; git unquotes it."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def spawn(
    command: list[str],
    *,
    cwd: Path | None,
    stdin: BinaryIO | bytes | None = None,
    stdout: BinaryIO | None = None,
    timeout: float = TIMEOUT,
    env: dict[str, str] | None = None,
    looks_at: Path | None = None,
    cpu: int = LOOK_CPU,
) -> subprocess.CompletedProcess[bytes]:
    """Run it to its end. `looks_at`: a worktree, of which it reads the .gitignore files, for `cpu`
    seconds of a processor at most. Such a look changes nothing, so it holds none of our locks when
    we are killed."""
    cancellation.look()
    source: BinaryIO | int = subprocess.DEVNULL
    if stdin is not None:
        source = subprocess.PIPE if isinstance(stdin, bytes) else stdin
    limits = f"ulimit -d {_LOOK_MEMORY // 1024}; ulimit -c 0; ulimit -S -t {cpu}"
    bound = ["sh", "-c", f'{limits}; exec "$@"', "sh"] if looks_at else []
    try:
        process = subprocess.Popen(
            [*bound, *command], cwd=cwd, env=environment() | (env or {}), start_new_session=True,
            stdin=source, stdout=stdout or subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=() if looks_at else locks.held(),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise NotFound("There is no git on this machine.", hint="Install git 2.39 or newer.") from (
            error
        )
    with process:
        try:
            data = stdin if isinstance(stdin, bytes) else None
            with cancellation.ending(lambda: _terminate(process)):
                out, err = _communicate(process, data, timeout, looks_at)
        except BaseException as error:
            # A fetch has children (ssh, a helper) that hold the pipes: end the whole group.
            for kind in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, kind)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(GRACE)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise GitFailed(f"git did not end within {timeout:g} seconds.") from error
            raise
    if looks_at and process.returncode == -signal.SIGXCPU:
        raise GitFailed(
            f"git was at work for {cpu} seconds on the files of {looks_at}, and did not end.",
            hint="Patterns in its .gitignore or .gitattributes files, or very large files, keep it "
            "busy.",
        )
    return subprocess.CompletedProcess(command, process.returncode, out or b"", err)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGTERM)


def _communicate(
    process: subprocess.Popen[bytes], data: bytes | None, timeout: float, looks_at: Path | None
) -> tuple[bytes, bytes]:
    """What it prints until its end. Raises Refused where it `looks_at` a worktree and a file
    there keeps it waiting."""
    if looks_at is None:
        return process.communicate(data, timeout)
    try:
        return process.communicate(data, _LOOK_PATIENCE)
    except subprocess.TimeoutExpired:
        _require_files_that_end(looks_at)
    return process.communicate(None, timeout)  # what was read and written so far is kept


def _require_files_that_end(worktree: Path) -> None:
    for entry in untrusted.entries(worktree):
        if entry.path.name in (".gitignore", ".gitattributes"):
            found = untrusted.look(entry.path, worktree)
            if found and not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
                raise Refused(
                    f"{entry.path} is no regular file: git waits for it without end.",
                    hint=f"Remove it: rm {shell_word(str(entry.path))}",
                )


def failed(done: subprocess.CompletedProcess[bytes]) -> GitFailed:
    verb = next(
        (a for a in done.args[1:] if not a.startswith("-") and "=" not in a and "/" not in a), ""
    )
    said = done.stderr.decode(errors="replace").strip()
    return GitFailed(with_words(f"git {verb} failed (exit code {done.returncode})", said))
