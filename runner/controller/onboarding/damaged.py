"""Files that treedock keeps and that are not what it wrote: a disk that was full or pulled out, an
editor, a half-restored backup. Each is named, and set aside with `--fix`; the others go on."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from runner.adapters.store import identity, stored
from runner.adapters.store.records import Records
from runner.adapters.store.runs import Journal, Run
from runner.controller.cleanup import archive as archives
from runner.controller.project import Repository
from runner.domain.errors import Damaged, OtherVersion
from runner.domain.instance.health import Finding
from runner.domain.text import sentences

_CHECK = "damaged"


def damaged(repository: Repository, *, fix: bool) -> list[Finding]:
    """A finding for every such file; `fix` renames it, so that nothing is lost. What another
    version of treedock wrote is only reported."""
    found = []
    for path, read in _kept(repository):
        try:
            read()
        except OtherVersion as error:
            found.append(Finding(_CHECK, "problem", error.message, error.hint))
        except Damaged as error:
            if fix:
                said = sentences(error.message, f"It is now {stored.set_aside(path)}")
                found.append(Finding(_CHECK, "ok", said, fixed=True))
            else:
                found.append(Finding(_CHECK, "problem", error.message, error.hint))
    return found


def _kept(repository: Repository) -> Iterator[tuple[Path, Callable[[], object]]]:
    """(what would be set aside, reading it) of everything that is kept."""
    root = repository.records.root
    yield root / identity.FILE, partial(identity.read, root)
    journal = Journal(root)
    yield journal.path, journal.read
    for records in (repository.records, Records(repository.common_dir, "gates")):
        for instance in records.ids():
            yield records.path(instance), partial(records.read, instance)
    snapshots = repository.snapshots
    for key in snapshots.recorded():
        yield snapshots.path(key), partial(snapshots.require_readable, key)
    for run in Run.all(root):
        yield run.path, run.read
    for folder in archives.folders(repository):
        yield folder, partial(archives.read, folder)
