"""Running git inside an instance: in its container, or, where that is stopped or has no git, in a
throwaway one with the same files, the same cover and the same user.

Apart (see Operation.apart) git runs in a throwaway container only, and there it reads nothing but
objects: the image, the environment, the configuration and the files are treedock's own.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from runner.adapters.engine.protocol import Exec, Filter
from runner.adapters.failpoints import step
from runner.adapters.files.captured import Bounded
from runner.controller.instance.private_git import OWN, git_mounts, own_git, rules_mount
from runner.controller.operation import Operation, require_worktree
from runner.domain.errors import CommandFailed, EngineFailed
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, Limits, Mount
from runner.domain.instance.streams import Sink, Streams
from runner.domain.text import with_words

TIMEOUT = 600.0  # seconds; packing a gigabyte on a slow disk
APART_TIMEOUT = 10.0  # seconds; what is wrong inside may hold up `down` and `clean` for no longer
NO_COMMAND = 127
HELPER = "helper"
_LIMITS = Limits(memory=2**31, cpus=2, pids=256)

# Before `--` the object folders that git is to know, behind it a command that calls git.
_APART = """
own=$(mktemp -d) || exit 125
trap 'rm -rf "$own"' EXIT
export GIT_DIR="$own"
git init --quiet --bare --template= || exit 125
while [ "$1" != -- ]; do echo "$1" >>"$own/objects/info/alternates"; shift; done
shift
"$@"
"""


SAID = 2**16  # bytes of what a command inside says that are kept


def run_git(
    operation: Operation,
    argv: Sequence[str],
    *,
    stdout: Sink | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> int:
    """Run a command that calls git inside, from the top of the worktree; returns its exit code.

    Raises CommandFailed for any but 0 if `check`, with what it said, and Refused where the
    worktree is not there.
    """
    if operation.apart:
        return _run_apart(operation, argv, stdout or Bounded(SAID))
    require_worktree(operation)
    said = Bounded(SAID)
    command = Exec(argv, {**OWN, **(env or {})}, names.WORKSPACE, TIMEOUT)

    def attempt(container: str) -> int:
        return operation.engine.exec_attached(
            container, command, Streams(None, stdout or said, said)
        )

    container = operation.container()
    running = container is not None and container.status == "running"
    code = attempt(container.id) if container and running else NO_COMMAND
    if code == NO_COMMAND:
        with _throwaway(operation, _all_mounts(operation)) as other:
            code = attempt(other)
    step("git inside")
    if code and check:
        raise _failed(operation, code, said)
    return code


def _run_apart(operation: Operation, argv: Sequence[str], stdout: Sink) -> int:
    """Run a command that reads objects by git; they are shown read-only. Raises CommandFailed for
    any exit code but 0, EngineFailed after APART_TIMEOUT."""
    shown = [replace(mount, read_only=True) for mount in git_mounts(operation)]
    folders = [f"{names.GIT}/objects", names.OBJECTS]
    folders += [other.target for other in own_git(operation).alternates(names.OBJECTS)]
    script = ["sh", "-c", _APART, "treedock", *folders, "--", *argv]
    sha256 = len(operation.record.git.base_commit) == 64
    env = {"GIT_DEFAULT_HASH": "sha256" if sha256 else "sha1"}
    command = Exec(script, env, timeout=APART_TIMEOUT)
    said = Bounded(SAID)
    with _throwaway(operation, shown) as container:
        try:
            code = operation.engine.exec_attached(container, command, Streams(None, stdout, said))
        except EngineFailed as error:
            raise EngineFailed(
                f"{operation.id}: git was not done with it within {APART_TIMEOUT:g} seconds.",
                hint=f"treedock sync {operation.id} has no such limit.",
            ) from error
    step("git inside")
    if code:
        raise _failed(operation, code, said)
    return code


def _failed(operation: Operation, code: int, said: Bounded) -> CommandFailed:
    words = said.data().decode(errors="replace")
    return CommandFailed(
        with_words(f"{operation.id}: git inside failed with exit code {code}", words),
        hint=f"Look with: treedock exec {operation.id} -- git status",
    )


def _all_mounts(operation: Operation) -> list[Mount]:
    """The instance's files and git directory, and nothing else of it."""
    folder = operation.folder
    return [
        Mount(operation.record.worktree, names.WORKSPACE),
        Mount(str(folder.gitfile), f"{names.WORKSPACE}/.git", read_only=True),
        Mount(str(folder.passwd), "/etc/passwd", read_only=True),
        Mount(str(folder.group), "/etc/group", read_only=True),
        *git_mounts(operation),
        rules_mount(operation),
    ]


@contextlib.contextmanager
def _throwaway(operation: Operation, mounts: Sequence[Mount]) -> Iterator[str]:
    """A container of treedock's own image with these mounts."""
    from runner.controller.instance import images

    key = operation.repository.key
    spec = ContainerSpec(
        name=operation.names.git_container(os.getpid()),
        image=images.ensure_git_image(operation.engine, operation.emit),
        user=f"{os.getuid()}:{os.getgid()}",
        hostname=operation.names.host,
        ports=(),
        mounts=tuple(mounts),
        limits=_LIMITS,
        environment={"HOME": "/tmp"},
        labels={
            names.LABEL: HELPER,
            names.LABEL_HELPS: operation.id,
            names.LABEL_PROJECT: operation.record.project,
            names.LABEL_REPOSITORY: key,
        },
        network="none",
    )
    if not operation.apart:
        operation.say(
            "git runs in a container of its own: the instance does not run, or has no git"
        )
    for left in operation.engine.containers(
        Filter(repository=key, helps=operation.id)
    ):  # of one that was killed
        operation.engine.remove(left.id)
    made = operation.engine.create(spec)
    try:
        operation.engine.start(made)
        yield made
    finally:
        operation.engine.remove(made)
