"""Taking all there is: processes, memory, the disk."""

import shutil
from collections.abc import Callable, Iterator

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.project import open_repository
from tests.hostile.layouts import House, Naive

pytestmark = pytest.mark.engine

MANY = """
import os, signal, time
children = []
try:
    for _ in range(300):
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        children.append(child)
except OSError:
    pass
print(len(children))
for child in children:
    os.kill(child, signal.SIGKILL)
"""
BOMB = """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
"""
HOG = "python3 -c 'x = bytearray(600 * 2**20)'"
MARGIN = 400 * 2**20  # bytes between what is free and limits.disk_free
# At most 2 GiB, an eighth of it a second, so that it lasts for longer than treedock looks away.
FILL = (
    "[ $TREEDOCK_ID = auth ] || exit 0; mkdir -p .treedock; n=0; while [ $n -lt 32 ]; do "
    "dd if=/dev/zero of=.treedock/fill$n bs=1M count=64 2>/dev/null; n=$((n + 1)); sleep 0.25; "
    "done"
)


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> Iterator[House]:
    """Two instances; `auth` is hostile."""
    house = build("auth", "search")
    yield house
    house.end()


def test_naively_processes_and_memory_have_no_bound(naive: Naive) -> None:
    assert naive.run(f"python3 -c '{MANY}'")[1] == "300\n"
    assert naive.run(HOG)[0] == 0


def test_naively_the_disk_of_this_machine_can_be_filled(naive: Naive) -> None:
    before = shutil.disk_usage(naive.tree).free
    naive.attack("head -c 300M /dev/zero >fill")
    try:
        assert before - shutil.disk_usage(naive.tree).free > 200 * 2**20
    finally:
        (naive.tree / "fill").unlink()


def test_a_fork_bomb_hits_its_limit_is_said_and_ends_with_down(
    house: House, eventually: Callable[..., object]
) -> None:
    assert int(house.attack(f"python3 -c '{MANY}'").stdout) < 100
    house.attacked(f"nohup python3 -c '{BOMB}' >/dev/null 2>&1 & sleep 1")
    eventually(lambda: _limits(house, "pids"), 20)
    assert house.inside("search", "echo works").stdout == "works\n"
    house.look(verbs=[("list",), ("status",), ("sync", "auth"), ("review", "auth")])
    down = house.cli("down", "auth", timeout=60)
    assert down.exit_code == 0, down.stderr
    assert house.services("search")["backend"]["state"] == "running"
    house.up("auth")


def test_a_memory_hog_is_killed_and_said_and_hurts_nobody_else(house: House) -> None:
    assert house.attack(HOG).exit_code == 137
    assert _limits(house, "memory")
    assert house.services("search")["backend"]["state"] == "running"
    house.look(verbs=[("list",), ("status",)])


def test_who_fills_the_disk_is_paused_and_said_and_the_others_go_on(house: House) -> None:
    free = shutil.disk_usage(house.folder).free
    limits = {**house.config["limits"], "disk_free": free - MARGIN}
    house.configure(limits=limits, setup=[{"run": FILL}])
    house.before = house.state()
    try:
        answer = house.cli("up", "auth", "search", "--json", timeout=120)
        assert answer.exit_code == 4, answer.stderr + answer.stdout
        auth, search = answer.json["instances"]
        assert answer.refused == {"auth": "limit_reached"}
        assert "paused" in auth["error"]["message"]
        assert "auth: warning: paused: only" in answer.stderr
        assert search["state"] == "running"
        (container,) = house.engine.containers(
            Filter(repository=open_repository(house.folder).key, instance="auth")
        )
        assert container.status == "paused"
        assert "is paused" in house.cli("status", "auth").stdout
        assert "disk_free" in house.status("auth")["limits_reached"]
        house.look(verbs=[("list",), ("status",), ("clean", "auth", "--dry-run")])
    finally:
        for file in (house.tree("auth") / ".treedock").glob("fill*"):
            file.unlink()
        house.configure(limits={**limits, "disk_free": "100m"}, setup=None)
        house.before = house.state()
    house.up("auth")


def _limits(house: House, kind: str) -> list[str]:
    reached = house.status("auth")["limits_reached"]
    return [limit for limit in reached if limit.startswith(kind)]
