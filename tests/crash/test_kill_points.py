"""treedock is killed after one of its steps. The same command then converges, and at no moment is
anything lost, leaked or landed untested.

`make soak` tries every step; `make long` tries a sample.
"""

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.cache.prune import cached, prune
from runner.controller.landing.recovery import clear_up
from runner.controller.project import Project, open_project, open_repository
from runner.controller.stream import Stream
from tests.real_git import commit, git
from tests.scenarios.conftest import App
from tests.soak import SOAK, kill_steps

pytestmark = [pytest.mark.engine, pytest.mark.long]

NOT_FOUND = 3


@dataclass
class World:
    """What must hold of a project, whatever was killed."""

    app: App
    tell: Callable[[str, object], None]
    commits: set[str] = field(default_factory=set)
    losses: list[str] = field(default_factory=list)

    def remember(self) -> None:
        """Every commit that a ref reaches now has to stay reachable."""
        self.commits |= set(git(self.app.folder, "rev-list", "--all").split())

    def check(self, moment: str) -> None:
        reachable = set(git(self.app.folder, "rev-list", "--all").split())
        self.losses += [f"{moment}: lost {c}" for c in sorted(self.commits - reachable)]
        self._check_base(moment)
        git(self.app.folder, "fsck", "--connectivity-only", "--no-dangling")

    def _check_base(self, moment: str) -> None:
        """Base is where it began, at a commit of its own, or at one that a run tested green."""
        tested = set()
        runs = self.app.folder / ".git/treedock/runs"
        for events in runs.glob("*/events.jsonl"):
            for line in events.read_text().splitlines():
                event = json.loads(line)
                if event["event"] == "tested" and event["green"]:
                    tested.add(event["commit"])
        merges = git(self.app.folder, "rev-list", "--first-parent", "--merges", "main").split()
        self.losses += [f"{moment}: untested {c} on base" for c in merges if c not in tested]

    def check_nothing_is_left(self) -> None:
        """After a clean of everything: no container, worktree, ref, lock, or folder."""
        folder = self.app.folder
        assert self.app.containers() == []
        assert git(folder, "worktree", "list", "--porcelain").count("worktree ") == 1
        refs = git(folder, "for-each-ref", "--format=%(refname)").split()
        assert [r for r in refs if not r.startswith(("refs/heads/main", "refs/treedock-a"))] == []
        kept = folder / ".git/treedock"
        assert [p.name for p in (kept / "instances").iterdir()] == []
        assert not (kept / "gates").exists() or [*(kept / "gates").iterdir()] == []
        assert [p.name for p in (kept / "locks").glob("instance-*")] == []
        assert not (kept / "landing.json").exists()
        assert [*(kept / "trash").iterdir()] == []


@pytest.fixture
def world(app: App, record_property: Callable[[str, object], None]) -> World:
    return World(app, record_property)


def kill_points(
    world: World,
    prepare: Callable[[int], list[str]],
    finish: Callable[[int], None],
    *,
    every: int = 1,
) -> int:
    """Run the command that `prepare` returns, killed after its n-th step, then again whole; for
    each n of `kill_steps` until it ends by itself. Returns how many kill points were tried."""
    for tried, n in enumerate(kill_steps(world.tell, every=every)):
        command = prepare(n)
        world.remember()
        env = {"TREEDOCK_KILL_AFTER": str(n)}
        killed = world.app.cli(*command, env=env)
        world.check(f"{' '.join(command)} killed after step {n}")
        if killed.exit_code != -signal.SIGKILL:
            assert killed.exit_code == 0, killed.stderr
            finish(n)
            return tried
        again = world.app.cli(*command)
        if again.exit_code == NOT_FOUND:  # only traces of it are left
            again = world.app.cli("doctor", "--fix")
        assert again.exit_code == 0, f"after step {n}: {again.stderr}"
        world.check(f"{' '.join(command)} again after step {n}")
        finish(n)
    raise AssertionError("kill_steps ends by itself")


def opened(app: App) -> Project:
    """The project as a verb would open it now: its key is settled by the first `up`."""
    return open_project(open_repository(app.folder))


def told(world: World, verb: str, points: int) -> None:
    world.tell("kill points", f"{verb}: {points}, {len(world.losses)} losses")
    assert world.losses == []
    assert points > (5 if SOAK else 0)


def test_up_is_completed_by_the_next(world: World) -> None:
    app = world.app

    def prepare(n: int) -> list[str]:
        return ["up", f"up{n}"]

    def finish(n: int) -> None:
        assert app.status(f"up{n}")["state"] == "running"
        assert app.cli("clean", f"up{n}").exit_code == 0

    points = kill_points(world, prepare, finish)
    world.check_nothing_is_left()
    told(world, "up", points)


@pytest.mark.timeout(3600)  # each point makes the snapshot again
@pytest.mark.parametrize(("visible", "every"), [(False, 1), (True, 5)])
def test_a_snapshot_is_whole_or_counts_for_nothing(world: World, visible: bool, every: int) -> None:
    app = world.app
    install = "echo npm; mkdir -p lib && echo 1 > lib/first && sleep 0.2 && echo 2 > lib/last"
    commit(app.folder, {"lock": "one\n"}, "lock")
    step = {"run": install, "produces": ["lib"], "key": ["lock"], "visible": visible}
    app.configure(setup=[step], database=None)

    def prepare(n: int) -> list[str]:
        return ["up", f"s{n}"]

    def finish(n: int) -> None:
        project = opened(app)
        assert app.inside(f"s{n}", "cat lib/first lib/last").stdout == "1\n2\n"
        assert [one.used_by for one in cached(project.repository)] == [1]
        assert app.cli("clean", f"s{n}").exit_code == 0
        clear_up(project, Stream())
        prune(project.repository, max_size=-1)
        assert app.engine.volumes(Filter(repository=project.repository.key)) == []

    points = kill_points(world, prepare, finish, every=every)
    world.check_nothing_is_left()
    told(world, f"up with a {'visible ' if visible else ''}snapshot", points)


RESETS = {
    "sqlite": "sqlite3 app.db 'create table t as select 1 n'",
    "postgres": "psql -qc 'create table t as select 1 n'",
}
ASK = {
    "sqlite": "sqlite3 app.db 'select n from t'",
    "postgres": "psql -Atqc 'select n from t'",
}


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("engine", "every"), [("sqlite", 1), ("postgres", 5)])
def test_a_golden_state_is_whole_or_counts_for_nothing(
    world: World, engine: str, every: int
) -> None:
    """With PostgreSQL each point takes several seconds: some of them."""
    app = world.app
    beside = {"postgres": {"image": "postgres"}} if engine == "postgres" else {}
    path = {"path": "app.db"} if engine == "sqlite" else {}
    database = {"engine": engine, "reset": RESETS[engine], "inputs": ["treedock.yaml"], **path}
    app.configure(database=database, sidecars=beside, services=None)

    def prepare(n: int) -> list[str]:
        return ["up", f"g{n}"]

    def finish(n: int) -> None:
        project = opened(app)
        assert app.inside(f"g{n}", ASK[engine]).stdout == "1\n"
        assert app.cli("up", f"h{n}").exit_code == 0
        assert app.inside(f"h{n}", ASK[engine]).stdout == "1\n"
        assert app.cli("clean", f"g{n}", f"h{n}").exit_code == 0
        clear_up(project, Stream())
        prune(project.repository, max_size=-1)
        assert app.engine.volumes(Filter(repository=project.repository.key)) == []

    points = kill_points(world, prepare, finish, every=every)
    world.check_nothing_is_left()
    told(world, f"up with a golden state ({engine})", points)


def test_sync_loses_no_commit(world: World) -> None:
    app = world.app
    app.up("auth")

    def prepare(n: int) -> list[str]:
        script = f"git commit -q --amend -m amended; echo {n} > {n}.txt; git add -A"
        app.inside("auth", f"{script}; git commit -qm {n}; git stash list; git branch b{n} HEAD~1")
        return ["sync", "auth"]

    def finish(n: int) -> None:
        head = app.inside("auth", "git rev-parse HEAD").stdout.strip()
        assert git(app.folder, "rev-parse", "feature/auth").strip() == head
        assert git(app.tree("auth"), "status", "--porcelain") == ""
        quarantine = app.folder / ".git/treedock/instances/auth/quarantine"
        assert [*quarantine.iterdir()] == []

    # Amending what base holds would be refused: the first commit is its own.
    app.inside("auth", "git commit -q --allow-empty -m first")
    assert app.cli("sync", "auth").exit_code == 0
    told(world, "sync", kill_points(world, prepare, finish))


def test_update_is_completed_or_can_be_gone_on_with(world: World) -> None:
    app = world.app
    app.up("auth")

    def prepare(n: int) -> list[str]:
        app.inside("auth", f"echo {n} > a{n}.txt; git add -A; git commit -qm a{n}")
        commit(app.folder, {f"m{n}.txt": "x\n"}, f"m{n}")
        return ["update", "auth", "--rebase"]

    def finish(n: int) -> None:
        assert (app.tree("auth") / f"m{n}.txt").exists()
        assert (app.tree("auth") / f"a{n}.txt").exists()
        assert git(app.tree("auth"), "status", "--porcelain") == ""

    told(world, "update", kill_points(world, prepare, finish))


@pytest.mark.timeout(2400)  # some hundred points, each with two merges
def test_merge_lands_what_was_tested_or_nothing(world: World) -> None:
    app = world.app

    def prepare(n: int) -> list[str]:
        app.up(f"m{n}")
        made = app.inside(f"m{n}", f"echo {n} > m{n}.txt; git add -A; git commit -qm m{n}")
        assert made.exit_code == 0, made.stderr
        return ["merge", f"m{n}"]

    def finish(n: int) -> None:
        assert (app.folder / f"m{n}.txt").read_text() == f"{n}\n"
        assert git(app.folder, "status", "--porcelain") == ""
        world.check_nothing_is_left()

    told(world, "merge", kill_points(world, prepare, finish))


def test_clean_is_completed_by_the_next(world: World) -> None:
    app = world.app

    def prepare(n: int) -> list[str]:
        app.up(f"c{n}")
        return ["clean", f"c{n}"]

    def finish(n: int) -> None:
        world.check_nothing_is_left()

    told(world, "clean", kill_points(world, prepare, finish))


def test_forced_work_is_in_the_archive_whenever_clean_was_killed(world: World) -> None:
    app = world.app

    def prepare(n: int) -> list[str]:
        app.up(f"f{n}")
        app.inside(f"f{n}", f"echo {n} > f.txt; git add -A; git commit -qm f{n}; echo x > left.txt")
        app.cli("sync", f"f{n}")
        return ["clean", f"f{n}", "--force"]

    def finish(n: int) -> None:
        world.check_nothing_is_left()
        archives = sorted((app.folder / ".git/treedock/archive").glob(f"f{n}-*"))
        assert len(archives) == 1, archives
        assert (archives[0] / "uncommitted.tar").exists()

    told(world, "clean --force", kill_points(world, prepare, finish))
