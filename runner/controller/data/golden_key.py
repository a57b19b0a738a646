"""What makes an instance's data what it is: the key of the golden state that a reset left."""

import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from runner.adapters.files import untrusted
from runner.controller.instance.sidecars import sidecar_key
from runner.controller.operation import Operation
from runner.domain.config.sections import Database
from runner.domain.data.migrations import inputs_of, named_in, paths_in
from runner.domain.instance.environment import ENV_FILE, values_of

READ = 2**30  # bytes of all inputs together that are read; of the rest the last change counts
SCRIPTS = 64  # files that are looked through
SCRIPT = 16 * 2**20  # bytes of each: a dump names a port where it likes


def golden_key(operation: Operation, database: Database, images: Sequence[str] = ()) -> str:
    """Changes whenever the reset command could make other data: with the command, the files that
    it reads, the database server and its settings, the images, and the user. `images`
    are those of the container and the database's sidecar where these are not there yet.

    Where no one knows which files it reads, all of them count.
    """
    sidecar = operation.config.sidecars.get(database.beside)
    if not images:
        there = operation.sidecars().get(database.beside) if sidecar else None
        images = [found.image for found in (operation.container(), there) if found]
    parts = [
        database.engine, database.path, database.name, database.folder, database.reset,
        sidecar_key(sidecar) if sidecar else "", *map(operation.engine.image, images),
        os.getuid(), os.getgid(),
    ]  # fmt: skip
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode())
    for part in (*_given(operation), *_inputs(operation, database)):
        digest.update(part)
    return digest.hexdigest()[:16]


def is_personal(operation: Operation, database: Database) -> bool:
    """Whether the reset reads what differs in every instance, its ports or its id: the command
    says so, or a file that it names, or one that such a file names."""
    command, worktree = database.reset or "", Path(operation.record.worktree)
    tracked = set(operation.git.files(worktree))
    seen: set[str] = set()
    texts = [command]
    for text in texts:  # which grows meanwhile
        named = set() if len(texts) > SCRIPTS else named_in(tracked, database.folder, text) - seen
        seen |= named
        for path in sorted(named):
            data = untrusted.read(worktree / path, SCRIPT, below=worktree) or b""
            texts.append(data.decode(errors="replace"))
    return any(name in text for name in _own(operation) for text in texts)


def _given(operation: Operation) -> Iterable[bytes]:
    """What `.env` and env.set say, without what differs in every instance, and the other files
    that it got a copy of, which git does not know."""
    own, worktree = _own(operation), Path(operation.record.worktree)
    given = {**operation.env_file(), **operation.config.env.set_}
    for key, value in sorted(given.items()):
        if key not in own:
            value = value.replace(str(worktree), "")  # env.rewrite put it there
            yield f"\0{key}={value}\0".encode(errors="surrogateescape")
    for path in sorted({*operation.record.copied} - {ENV_FILE}):
        yield f"\0{path}\0".encode(errors="surrogateescape")
        yield untrusted.digest(worktree / path, below=worktree)


def _own(operation: Operation) -> set[str]:
    """The variables whose values differ in every instance."""
    other = values_of("", dict.fromkeys(operation.app_ports(), 0), operation.config.env.set_)
    return {name for name, value in operation.values().items() if value != other[name]}


def inputs(operation: Operation, database: Database) -> list[str]:
    """Patterns (git's `glob`) of the files that the reset reads; empty where all of them count.
    Files that its run line names always do."""
    worktree, command = Path(operation.record.worktree), database.reset or ""
    if database.inputs:
        named = paths_in(database.folder, command)
        return [*database.inputs, *(re.sub(r"([*?\\[])", r"\\\1", path) for path in sorted(named))]
    return inputs_of(operation.git.files(worktree), database.folder, command)


def _inputs(operation: Operation, database: Database) -> Iterable[bytes]:
    worktree = Path(operation.record.worktree)
    patterns = inputs(operation, database)
    if patterns:
        paths = operation.git.files(worktree, patterns, untracked=True)
    else:
        yield operation.git.tree_of(worktree).encode()
        paths = operation.git.uncommitted(worktree)
    left = READ
    for path in sorted(paths):
        yield f"\0{path}\0".encode(errors="surrogateescape")
        yield untrusted.digest(worktree / path, left, below=worktree)
        left = max(0, left - untrusted.size(worktree / path, worktree))
