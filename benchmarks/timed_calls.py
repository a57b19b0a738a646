"""What a verb takes after the start-up of its process: calls timed inside, printed as JSON.

    timed_calls.py nothing|commit|sync|conflicts|reset [ID]...

Run in the repository. `nothing` imports what the others import and ends, so that the start-up
can be measured from outside; `commit` makes a commit inside. Each timed call opens the repository
and asks the engine anew, as a command does; one like it before, untimed, pays for what is
imported on the way.
"""

import json
import sys
import time
from collections.abc import Callable

from runner.controller.data.reset import reset
from runner.controller.landing.conflicts import conflicts
from runner.controller.operation import Operation
from runner.controller.project import open_project, open_repository
from runner.controller.stream import Stream
from runner.controller.sync.git_inside import run_git
from runner.controller.sync.sync import Synced, sync

COMMIT = "date +%N > worked && git add worked && git commit --quiet --message work"


quiet = Stream()


def synced(instance: str) -> Synced:
    operation = Operation(open_repository(), instance, quiet)
    with operation.locked():
        return sync(operation)


def compared(ids: list[str]) -> None:
    seen = conflicts(open_project(open_repository()), ids, quiet)
    errors = [one.error.message for one in seen.instances if one.error]
    if errors or len(seen.pairs) != len(ids) * (len(ids) - 1) / 2:
        sys.exit(f"not all of them were compared: {errors}")


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def commit_inside(instance: str) -> None:
    run_git(Operation(open_repository(), instance, quiet), ["sh", "-c", COMMIT])


def timed_syncs(instance: str) -> dict[str, float]:
    synced(instance)  # what was committed on the host goes in
    commit_inside(instance)
    before = synced(instance).head
    commit_inside(instance)
    one = seconds(lambda: synced(instance))
    none = seconds(lambda: synced(instance))
    if synced(instance).head == before:
        sys.exit("the commit that was made inside has not come out")
    return {"sync of one new commit": one, "sync of none": none}


def timed_conflicts(ids: list[str]) -> dict[str, float]:
    compared(ids)
    return {f"conflicts of {len(ids)}": seconds(lambda: compared(ids))}


def timed_reset(instance: str) -> dict[str, float]:
    reset(open_project(open_repository()), instance, quiet)
    return {"db reset": seconds(lambda: reset(open_project(open_repository()), instance, quiet))}


if __name__ == "__main__":
    verb, ids = sys.argv[1], sys.argv[2:]
    found: dict[str, float] = {}
    if verb == "commit":
        commit_inside(*ids)
    elif verb == "sync":
        found = timed_syncs(*ids)
    elif verb == "conflicts":
        found = timed_conflicts(ids)
    elif verb == "reset":
        found = timed_reset(*ids)
    print(json.dumps(found))
