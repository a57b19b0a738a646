"""An instance's run folder: pid, log, exit code and lock of every process inside it.

A process is a service, a set-up step, a reset. The folder is mounted into the container, whose code
can put anything there: nothing is followed, nothing blocks, everything is bounded. File names
are flat, so that no folder on the way can be a symlink.
"""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

from runner.adapters.files import disk, untrusted
from runner.adapters.store import locks
from runner.domain.frozen import dataclass
from runner.domain.instance.service import service_process

# Arguments: path of the process, restart policy, folder, command. It holds a lock for as long as it
# lives, so that the host can tell a process that was killed from one that runs. The host looks by
# taking the lock for a moment, hence the tries: only who holds it for half a second is the same
# process, running already. Its children do not inherit the lock (9>&-), and get its TERM
# themselves, as members of its process group.
WRAPPER = """
process=$1 restart=$2 folder=$3 command=$4
lock=
if command -v flock >/dev/null 2>&1; then
  exec 9>>"$process.lock"
  tries=0
  until flock -n 9; do
    tries=$((tries + 1))
    [ $tries -lt 25 ] || exit 0
    sleep 0.02 9>&-
  done
else
  lock=none
fi
stopping=
trap 'stopping=1' TERM INT HUP
[ -f "$process.log" ] && mv -f "$process.log" "$process.log.1"
: >"$process.log"
rm -f "$process.restarts" "$process.exit"
echo "$$ $lock" >"$process.pid.new" && mv -f "$process.pid.new" "$process.pid"
restarts=0
cd -- "$folder" 2>>"$process.log" || command="exit 127"
while :; do
  sh -c "$command" </dev/null >>"$process.log" 2>&1 9>&- &
  child=$!
  wait $child
  code=$?
  while kill -0 $child 2>/dev/null; do wait $child; code=$?; done
  [ -n "$stopping" ] && break
  [ $code -eq 0 ] && break
  [ "$restart" = on-failure ] || break
  [ $restarts -lt 5 ] || break
  restarts=$((restarts + 1))
  echo $restarts >"$process.restarts"
  echo "treedock: it ended with exit code $code; start $restarts of 5" >>"$process.log"
  sleep 1 9>&-
done
echo "$code $stopping" >"$process.exit.new" && mv -f "$process.exit.new" "$process.exit"
"""


_LIFE = ("pid", "exit", "restarts", "key")  # the files of one life of a process
_OTHERS = ("log", "log.1", "lock", "pid.new", "exit.new")  # that the wrapper writes, too
_LOG = re.compile(r"(?:service\.[a-z][a-z0-9-]{0,30}|setup-[1-9][0-9]{0,2}|verify|reset)\.log")
_PIDS = range(2, 2**22 + 1)  # the kernel's largest; 1 is the container's own
_CODES = range(256)
_RESTARTS = range(6)


@dataclass(frozen=True)
class Process:
    """What the run folder says of a process. `pid` is the one inside, which is also its process
    group; `stopped` that it ended because it was told to; None where nothing is written."""

    pid: int | None
    exit_code: int | None
    stopped: bool
    restarts: int
    alive: bool


class RunFolder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def forget(self, process: str) -> None:
        """Remove what an earlier life of the process left, except its log; and whatever is no file,
        because the next one could not begin."""
        for kind in _LIFE:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                (self.folder / f"{process}.{kind}").unlink()
        for kind in (*_LIFE, *_OTHERS):
            if untrusted.kind(self.folder, f"{process}.{kind}") not in ("file", "absent"):
                disk.remove_entry(self.folder / f"{process}.{kind}")

    def forget_all(self) -> None:
        """What any process's life left: none outlives the container it ran in. Names are not asked
        for: code inside can make as many as it likes, and any."""
        for entry in untrusted.entries_of(self.folder, self.folder):
            if entry.path.name.endswith(tuple(f".{kind}" for kind in _LIFE)):
                disk.remove_entry(entry.path)

    def mark(self, process: str, key: str) -> None:
        """Note beside the process what it is a run of."""
        disk.write_below(self.folder, f"{process}.key", key.encode())

    def is_run_of(self, process: str, key: str) -> bool:
        """Whether the process that is there is a run of this."""
        return self._words(process, "key")[0] == key

    def process(self, name: str) -> Process:
        """Look at a process. One that vanished without an exit code was killed: 137."""
        pid, lockless = self._words(name, "pid")
        # Before the exit code is read: one that ends in between has written it by then.
        alive = locks.is_held(self.folder / f"{name}.lock")
        code, stopped = self._words(name, "exit")
        if lockless == "none" and not code:
            alive = True  # the image has no flock; believe the file
        return Process(
            pid=_number(pid, _PIDS),
            exit_code=137 if pid and not code and not alive else _number(code, _CODES),
            stopped=stopped == "1",
            restarts=_number(self._words(name, "restarts")[0], _RESTARTS) or 0,
            alive=alive,
        )

    def log(self, process: str) -> Path:
        return self.folder / f"{process}.log"

    def logs(self, services: Iterable[str]) -> list[str]:
        """The processes that have a log, sorted: of these services, and others that have the name
        of a process; code inside can make any number of those, and of them a few are taken."""
        wanted = {f"{service_process(name)}.log" for name in services}
        known = {name for name in wanted if untrusted.kind(self.folder, name) == "file"}
        return sorted(
            name.removesuffix(".log") for name in known | {*untrusted.names(self.folder, _LOG)}
        )

    def log_files(self, services: Iterable[str]) -> list[Path]:
        """The logs of these processes, and those of the life before."""
        logs = [self.log(process) for process in self.logs(services)]
        return [*logs, *(path.with_name(f"{path.name}.1") for path in logs)]

    def last_lines(self, process: str, lines: int = 20) -> list[str]:
        return untrusted.tail(self.log(process), lines)

    def _words(self, process: str, kind: str) -> tuple[str, str]:
        data = untrusted.read(self.folder / f"{process}.{kind}", 100) or b""
        first, _, second = data.decode(errors="replace").strip().partition(" ")
        return first, second


def _number(text: str, possible: range) -> int | None:
    """The number that a file says, if it is one that treedock's wrapper could have written."""
    fits = text.isascii() and text.isdecimal() and len(text) < 10
    return int(text) if fits and int(text) in possible else None
