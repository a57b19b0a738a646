"""Instances that do not want to be stopped: a git that never ends, one that floods, processes that
ignore TERM, a git directory that cannot be read."""

import time
from collections.abc import Callable

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.project import Repository
from tests.hostile.layouts import House

pytestmark = [pytest.mark.engine, pytest.mark.long]

IDS = ("auth", "flood", "pay")
BIN = "/workspace/.treedock/bin"
PATH = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GIT = {
    "auth": "exec /bin/sleep 600",
    "flood": "exec /usr/bin/yes flood >&2",
    "pay": "exec /bin/sleep 600",
}
STUBBORN = "trap '' TERM INT HUP; while :; do /bin/sleep 1; done"
SOON = 30.0  # seconds for all of them, the interpreter's start on a busy machine included


def running(house: House) -> set[str]:
    key = Repository(house.folder, house.folder / ".git").key
    return {one.owner for one in house.engine.containers(Filter(repository=key)) if one.is_up}


def resist(house: House) -> dict[str, str]:
    """Have every instance commit something and get ready; the commits by id."""
    commits = {}
    for instance, git in GIT.items():
        made = house.inside(
            instance,
            f"/usr/bin/git commit --quiet --allow-empty -m {instance}; "
            "/usr/bin/git rev-parse HEAD; "
            f"mkdir -p {BIN}; printf '#!/bin/sh\n{git}\n' >{BIN}/git; chmod +x {BIN}/git; "
            f'nohup sh -c "{STUBBORN}" >/dev/null 2>&1 &',
        )
        assert made.exit_code == 0, made.stderr
        commits[instance] = made.stdout.strip()
    block = "rm -f objects/info/commit-graph; mkfifo objects/info/commit-graph"
    assert house.inside("pay", f"cd /run/treedock/git; {block}").exit_code == 0
    return commits


def test_down_and_clean_stop_all_of_them_soon(build: Callable[..., House]) -> None:
    house = build(*IDS, env={"set": {"PATH": PATH}})
    commits, before = resist(house), house.head("pay")
    begun = time.monotonic()
    answer = house.cli("down", "auth", "pay", "--json", timeout=60)
    assert time.monotonic() - begun < SOON
    assert running(house) == {"flood"}
    assert answer.exit_code == 5, answer.stderr
    assert answer.refused == {"pay": "not_synced"}
    assert (house.head("auth"), house.head("pay")) == (commits["auth"], before)
    house.require_unharmed()
    begun = time.monotonic()
    answer = house.cli("clean", "--all", "--force", "--json", timeout=90)
    assert time.monotonic() - begun < SOON
    assert answer.exit_code == 0, answer.stderr
    assert house.containers() == []
    assert not (house.folder / "trees/auth").exists()
    kept = {
        one["id"]: archive["git"] for one in answer.json["cleaned"] for archive in one["archives"]
    }
    assert set(kept) == set(IDS)
    assert {instance for instance, git in kept.items() if git} == {"pay"}
