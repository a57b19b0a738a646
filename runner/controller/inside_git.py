"""Running git inside an instance: in its container, or, where that is stopped or has no git, in a
throwaway one with the same files, the same cover and the same user."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any, BinaryIO

from runner.adapters.steps import step
from runner.controller.own_git import ENVIRONMENT, git_mounts
from runner.controller.work import Work
from runner.domain import container as names
from runner.domain.container import ContainerSpec, Limits, Mount
from runner.domain.errors import CommandFailed
from runner.domain.text import with_words

TIMEOUT = 600.0  # seconds; packing a gigabyte on a slow disk
NO_COMMAND = 127
HELPER = "helper"
_LIMITS = Limits(memory=2**31, cpus=2, pids=256)


def run_git(
    work: Work,
    argv: Sequence[str],
    *,
    stdout: BinaryIO | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
) -> int:
    """Run a command that calls git inside, from the top of the worktree; returns its exit code.

    Raises CommandFailed for any but 0 if `check`, with what it said.
    """
    said = Capped()
    environment = {**ENVIRONMENT, **(env or {})}

    def attempt(container: str) -> int:
        return work.engine.exec_attached(
            container, argv, env=environment, workdir=names.WORKSPACE, stdin=None,
            stdout=stdout or said, stderr=said, timeout=TIMEOUT,
        )  # fmt: skip

    container = work.container()
    running = container is not None and container.status == "running"
    code = attempt(container.id) if container and running else NO_COMMAND
    if code == NO_COMMAND:
        with _throwaway(work) as other:
            code = attempt(other)
    step("git inside")
    if code and check:
        words = said.getvalue().decode(errors="replace")
        raise CommandFailed(
            with_words(f"{work.id}: git inside failed with exit code {code}", words),
            hint=f"Look with: treedock exec {work.id} -- git status",
        )
    return code


class Capped(BytesIO):
    """What a stranger says, up to 64 KiB of it; the rest is not kept."""

    def write(self, data: Any) -> int:
        given = memoryview(data)
        super().write(given[: max(0, 2**16 - self.tell())])
        return len(given)


@contextlib.contextmanager
def _throwaway(work: Work) -> Iterator[str]:
    """A container with the instance's files and git directory, and nothing else of it."""
    from runner.controller import images

    folder, key = work.records.folder(work.id), work.repository.key
    spec = ContainerSpec(
        name=f"treedock-git-{work.id}-{key[:6]}-{os.getpid()}",
        image=images.ensure_git_image(work.engine, work.emit),
        user=f"{os.getuid()}:{os.getgid()}",
        hostname=work.id.replace("_", "-"),
        ports=(),
        mounts=(
            Mount(work.record.worktree, names.WORKSPACE),
            Mount(str(folder / "gitfile"), f"{names.WORKSPACE}/.git", read_only=True),
            Mount(str(folder / "passwd"), "/etc/passwd", read_only=True),
            Mount(str(folder / "group"), "/etc/group", read_only=True),
            *git_mounts(work),
        ),
        limits=_LIMITS,
        environment={"HOME": "/tmp"},
        labels={
            names.LABEL: HELPER,
            names.LABEL_HELPS: work.id,
            names.LABEL_PROJECT: work.record.project,
            names.LABEL_REPOSITORY: key,
        },
        network="none",
    )
    work.say("git runs in a container of its own, because the instance is not running or has none")
    for left in work.engine.containers(repository=key, helps=work.id):  # of one that was killed
        work.engine.remove(left.id)
    made = work.engine.create(spec)
    try:
        work.engine.start(made)
        yield made
    finally:
        work.engine.remove(made)
