"""Ending a command inside: what its caller no longer waits for must not go on."""

import contextlib
import secrets
from typing import Protocol

from runner.adapters import cancellation
from runner.adapters.engine.protocol import Exec
from runner.domain.errors import RunnerError, Signalled

MARK = "TREEDOCK_EXEC"
"""The variable by which the processes of one command are found inside."""

# Arguments: the variable with its value, and the name of a signal. Passes the signal to each
# process group that has the variable, and KILL to what is left after 5 s. In plain `sh`, since an
# image may have neither grep nor pkill; it drops the zero bytes between variables by itself.
_END = """
marked() {
  groups=
  for file in /proc/[0-9]*/environ; do
    case $(cat "$file" 2>/dev/null) in *"$mark"*) ;; *) continue ;; esac
    stat=$(cat "${file%environ}stat" 2>/dev/null) || continue
    set -- ${stat##*) }
    [ "${3:-0}" -gt 1 ] && groups="$groups $3"
  done
  [ -n "$groups" ]
}
mark=$1 signal=$2 tries=0
while marked; do
  case $tries in
    0) for group in $groups; do kill -"$signal" -"$group"; done ;;
    25) for group in $groups; do kill -KILL -"$group"; done ;;
    50) exit 1 ;;
  esac
  tries=$((tries + 1))
  sleep 0.2
done 2>/dev/null
true
"""


class Runs(Protocol):
    """What runs short commands inside: an Engine."""

    def exec(self, container: str, command: Exec) -> object: ...


def new_mark() -> str:
    """A value for MARK that no other command has."""
    return secrets.token_hex(8)


def end_marked(engine: Runs, container: str, mark: str, why: BaseException) -> None:
    """End the command that runs with this MARK, and everything it started that still has it:
    with the signal that is the reason, else with TERM, and with KILL 5 seconds later. Where the
    engine does not answer it goes on."""
    argv = ["sh", "-c", _END, "treedock", f"{MARK}={mark}", _signal_for(why)]
    with contextlib.suppress(RunnerError), cancellation.shielded():
        engine.exec(container, Exec(argv))


def _signal_for(why: BaseException) -> str:
    import signal

    if isinstance(why, Signalled):
        return signal.Signals(why.number).name.removeprefix("SIG")
    return "INT" if isinstance(why, KeyboardInterrupt | cancellation.Cancelled) else "TERM"
