"""What is slow by nature: kill -9 at any moment, many times over, and many instances at once."""

import contextlib
import os
import random
import subprocess
import sys

import pytest

from tests.free_ports import free_block
from tests.real_git import git
from tests.running import CHECKOUT
from tests.scenarios.conftest import App, fetch
from tests.soak import SOAK

pytestmark = [pytest.mark.engine, pytest.mark.long]

IDS = ("auth", "payments", "search")
VERBS = (
    *[("up", *IDS)] * 3,
    ("down", *IDS),
    ("restart", "auth"),
    ("restart", "search", "backend"),
    ("db", "reset", "payments"),
    ("clean", "auth", "search", "--force"),
)


def killed_after(app: App, verb: tuple[str, ...], seconds: float) -> None:
    """Begin a command and kill it, and it alone, after so many seconds unless it was quicker."""
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *verb], cwd=app.folder, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait()


def leftovers(app: App) -> list[dict[str, str]]:
    """What doctor finds of instances that are not whole, and of locks that nobody needs."""
    found = app.cli("doctor", "--json").json["findings"]
    mine = [one for one in found if one["check"] in ("leftovers", "stale-locks")]
    return [one for one in mine if one["status"] != "ok"]


@pytest.mark.parametrize("seed", range(20 if SOAK else 6))
def test_whatever_was_killed_whenever_the_next_commands_mend_it(app: App, seed: int) -> None:
    app.configure(setup=[{"run": "sqlite3 --version"}, {"run": "echo done > done.txt"}])
    refs, chance = git(app.folder, "for-each-ref"), random.Random(seed)
    for _ in range(3):
        killed_after(app, chance.choice(VERBS), chance.uniform(0.1, 3))
    # A clean that was interrupted is completed by clean, and by nothing else.
    for document in app.cli("list", "--json").json["instances"]:
        tried = app.cli("up", document["id"])
        if tried.exit_code:
            assert "A clean of" in tried.stderr
            assert app.cli("clean", document["id"], "--force").exit_code == 0
    views = app.up(*IDS)
    assert {view["state"] for view in views.values()} == {"running"}
    assert len(app.containers()) == len(IDS)
    assert len({port for view in views.values() for port in view["ports"].values()}) == 6
    for name, view in views.items():
        assert "treedock.yaml" in fetch(view["urls"]["frontend"])
        assert app.inside(name, "cat done.txt; sqlite3 app.db 'select * from t'").exit_code == 0
    assert leftovers(app) == []
    assert app.cli("clean", "--all", "--force").exit_code == 0
    assert (app.containers(), leftovers(app)) == ([], [])
    assert git(app.folder, "for-each-ref") == refs
    assert git(app.folder, "worktree", "list", "--porcelain").count("worktree ") == 1
    assert list((app.folder / "trees").iterdir()) == []
    git(app.folder, "fsck", "--strict")


def test_twenty_instances_come_and_go_together_three_times(app: App) -> None:
    ids = [f"n{number}" for number in range(20)]
    first = free_block(2 * len(ids))
    app.configure(
        ports={
            "backend": f"{first}-{first + len(ids) - 1}",
            "frontend": f"{first + len(ids)}-{first + 2 * len(ids) - 1}",
        },
        limits={**app.config["limits"], "instances": len(ids)},
    )
    refs = git(app.folder, "for-each-ref")
    for _ in range(3):
        views = app.up(*ids)
        assert {view["state"] for view in views.values()} == {"running"}
        assert sorted(view["slot"] for view in views.values()) == [*range(len(ids))]
        for view in views.values():
            assert "treedock.yaml" in fetch(view["urls"]["backend"])
        assert app.cli("down", "--all").exit_code == 0
        assert {v["state"] for v in app.cli("list", "--json").json["instances"]} == {"stopped"}
        assert app.cli("clean", "--all").exit_code == 0
        assert (app.containers(), leftovers(app)) == ([], [])
        assert git(app.folder, "for-each-ref") == refs
