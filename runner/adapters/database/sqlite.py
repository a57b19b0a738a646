"""SQLite: a file in the worktree, with its journal files beside it.

Everything about the file happens inside, where its folders may be whatever the branch made them;
the host touches copies only, and those without following anything.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from runner.adapters.database import Kind, Site, run
from runner.adapters.files import disk, untrusted
from runner.domain.config.sections import Database, Sidecar
from runner.domain.errors import CommandFailed, Refused
from runner.domain.instance.container import RUN, WORKSPACE
from runner.domain.text import sentences

GOLDEN = "golden.sqlite"
_PASSING = "database.passing"  # a copy on its way in or out
_JOURNALS = ("-wal", "-shm", "-journal")

# Journals first, the file itself last: where it is not aside, it has not been set aside.
_SET_ASIDE = """
for end in -wal -shm -journal ''; do
  [ ! -e "$1$end" ] || mv -f -- "$1$end" "$1-before$end" || exit
done
"""
# The file itself first, so that one that was cut off goes on with the journals alone.
_PUT_BACK = """
if [ -e "$1-before" ]; then
  rm -f -- "$1" "$1-wal" "$1-shm" "$1-journal" && mv -f -- "$1-before" "$1" || exit
fi
for end in -wal -shm -journal; do
  [ ! -e "$1-before$end" ] || mv -f -- "$1-before$end" "$1$end" || exit
done
"""
# A journal that stayed without its file would be taken for another's.
_FORGET = """
[ -f "$1" ] || exit 3
rm -f -- "$1-before-wal" "$1-before-shm" "$1-before-journal"
rm -f -- "$1-before"
"""

# SQLite's own copy of a database in use ("Online Backup API"), by whichever of the two is there.
# Not waiting for the disk: what is written here can be made again, and the journal still undoes
# half of it unless the power goes.
_COPY = """
if command -v sqlite3 >/dev/null; then
  exec sqlite3 -init /dev/null -bail -batch "$1" '.timeout 10000' 'PRAGMA synchronous=OFF' "$3 $2"
fi
case $3 in .backup) from=$1 to=$2;; *) from=$2 to=$1;; esac
exec python3 -I -c '
import sqlite3, sys
here, there = (sqlite3.connect(name, timeout=10) for name in sys.argv[1:])
with here, there:
    here.backup(there)
' "$from" "$to"
"""


class Adapter:
    """A database file, and its golden state in the instance's own folder."""

    def __init__(self, database: Database, sidecar: Sidecar | None) -> None:
        self._path = database.path

    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": f"sqlite:///{WORKSPACE}/{self._path}"} if self._path else {}

    def url(self, ports: Mapping[str, int], worktree: str) -> str | None:
        return f"sqlite:///{worktree}/{self._path}" if self._path else None

    def provision(self, site: Site, *, new: bool) -> None:
        if self._path:
            self.put_back(site)
            self._inside(site, _SET_ASIDE)

    def put_back(self, site: Site) -> bool:
        if self._path:
            self._inside(site, _PUT_BACK)
        return self._path is not None

    def forget(self, site: Site) -> None:
        if self._path:
            with contextlib.suppress(CommandFailed):  # nothing is there
                self._inside(site, _FORGET)

    def seal(self, site: Site) -> bool:
        if self._path is None:
            return False
        golden = site.own / GOLDEN
        try:
            golden.unlink(missing_ok=True)
            with contextlib.suppress(Refused):  # the image has no SQLite, or there is no file
                self._copy_out(site, golden)
        finally:
            try:
                self._inside(site, _FORGET)
            except CommandFailed:  # it made no file here: what was there stays
                self.put_back(site)
        return golden.exists()

    def reset(self, site: Site) -> bool:
        golden = site.own / GOLDEN
        if self._path is None or not golden.exists():
            return False
        if not self._placed(site, golden):
            self._copy_in(site, golden)
        return True

    def golden_file(self, site: Site) -> Path | None:
        return site.own / GOLDEN

    def snapshot(self, site: Site, target: Path) -> None:
        self._copy_out(site, target)

    def restore(self, site: Site, source: Path) -> None:
        self._copy_in(site, source)

    def others(self, site: Site) -> dict[tuple[Kind, str], str]:
        return {}

    def shell(self, site: Site) -> tuple[str, list[str]]:
        return site.container, ["sqlite3", self._required()]

    def _copy_out(self, site: Site, target: Path) -> None:
        passing = site.run / _PASSING
        disk.remove_entry(passing)
        try:
            self._inside(site, f'[ -f "$1" ] || exit 3\n{_COPY}', f"{RUN}/{_PASSING}", ".backup")
            disk.copy_file(passing, target)
        except CommandFailed as error:
            raise Refused(
                sentences(f"{self._path} could not be copied.", error.message),
                hint="Is it there? The image needs sqlite3, or python3.",
            ) from error
        finally:
            disk.remove_entry(passing)

    def _placed(self, site: Site, source: Path) -> bool:
        """Put the file where none is, so that nothing inside has it open: from outside, without
        following anything, which is quicker. Returns whether that was possible."""
        ends = ("", *_JOURNALS)
        if self._path is None or site.worktree is None:
            return False
        kinds = {untrusted.kind(site.worktree, f"{self._path}{end}") for end in ends}
        if kinds != {"absent"}:
            return False
        try:
            with source.open("rb") as data:
                disk.write_below(site.worktree, self._path, data)
        except Refused:
            return False
        return True

    def _copy_in(self, site: Site, source: Path) -> None:
        passing = site.run / _PASSING
        disk.remove_entry(passing)
        try:
            disk.copy_file(source, passing)
            script = f'mkdir -p -- "$(dirname -- "$1")" || exit\n{_COPY}'
            self._inside(site, script, f"{RUN}/{_PASSING}", ".restore")
        finally:
            disk.remove_entry(passing)

    def _inside(self, site: Site, script: str, *words: str) -> None:
        argv = ["sh", "-c", script, "sh", f"./{self._required()}", *words]
        run(site, site.container, argv)

    def _required(self) -> str:
        if self._path is None:
            raise Refused(
                "treedock.yaml does not say where the database's file is.",
                hint="Name it, e.g. database: {engine: sqlite, path: app.db}",
            )
        return self._path
