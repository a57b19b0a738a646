"""What set-up steps make is made once and mounted from then on, decided on a fake engine: the step
runs in the worktree's own folder here, so that it is seen, and volumes are told by their names."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.cache.prune import cached, prune
from runner.controller.instance.throwaway import abandoned
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.gates import run_gates
from runner.controller.landing.recovery import clear_up
from runner.controller.lifecycle.warm import warm
from runner.controller.observe.listing import status
from runner.controller.operation import Operation
from runner.controller.volumes.snapshots import steps_of
from runner.domain.config.validate import plain
from runner.domain.errors import EngineUnavailable
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = pytest.mark.deep

STEP = "echo $TREEDOCK_ID >> {log}; mkdir -p lib; cat lock > lib/made"


@pytest.fixture
def runs(shop: Shop, tmp_path: Path) -> Callable[[], list[str]]:
    """runs(): the instances that the installer ran in, in their order. The shop has one."""
    log = tmp_path / "log"
    install = {"run": STEP.format(log=log), "in": "app", "produces": ["lib"], "key": ["lock"]}
    commit(shop.repo, {"app/lock": "one\n"}, "lock")
    shop.configure(setup=[install])
    git(shop.repo, "commit", "--quiet", "--all", "--message", "configured")
    return lambda: log.read_text().split() if log.exists() else []


Runs = Callable[[], list[str]]


def prune_all(shop: Shop) -> None:
    for one in shop.repository.snapshots.all():
        shop.repository.snapshots.remove(one.key)


def volumes(shop: Shop, **labels: str) -> list[str]:
    return shop.engine.volumes(Filter(repository=shop.repository.key, **labels))


def mounted(shop: Shop, instance: str) -> dict[str, str]:
    (container,) = shop.engine.containers(Filter(repository=shop.repository.key, instance=instance))
    spec = shop.engine._find(container.id).spec
    return {volume.target: volume.name for volume in spec.volumes}


def test_the_step_runs_once_in_a_throwaway_instance_and_others_mount_what_it_made(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    shop.up("pay")
    (once,) = runs()
    assert once.startswith("gate.snapshot-")
    targets = [mounted(shop, instance) for instance in ("auth", "pay")]
    assert [list(one) for one in targets] == [["/workspace/app/lib"]] * 2
    assert targets[0] != targets[1]
    assert shop.record("auth").setup_done == shop.record("pay").setup_done != ()
    assert abandoned(shop.project) == []
    assert [one.used_by for one in cached(shop.repository)] == [2]


def test_many_first_ones_at_once_run_the_step_once(shop: Shop, runs: Runs) -> None:
    brought = shop.bring("auth", "pay", "search", "cart", "mail")
    assert [one.error for one in brought] == [None] * 5
    assert len(runs()) == 1


def test_the_base_of_a_clean_run_is_clear_where_only_master_is_there(
    shop: Shop, runs: Runs
) -> None:
    git(shop.repo, "branch", "--move", "master")
    brought = shop.bring("auth", "pay")
    assert [one.error for one in brought] == [None] * 2
    assert len(runs()) == 1
    assert shop.warnings == []


def test_steps_of_one_manager_share_its_download_cache(shop: Shop) -> None:
    commit(shop.repo, {"app/lock": "one\n", "web/lock": "one\n"}, "locks")
    install = {
        "run": "echo npm; mkdir lib; cat lock > lib/made",
        "produces": ["lib"],
        "key": ["lock"],
    }
    shop.configure(setup=[{**install, "in": "app"}, {**install, "in": "web"}])
    shop.up("auth")
    home = shop.repository.records.folder("auth") / "home"
    assert (home / ".npm").is_dir()
    assert list(mounted(shop, "auth")) == [
        "/workspace/app/lib", "/workspace/web/lib", "/home/treedock/.npm",
    ]  # fmt: skip
    shop.up("pay")
    assert [one.used_by for one in cached(shop.repository)] == [2, 2]


@pytest.mark.deep
def test_the_mount_point_is_empty_on_the_host_and_git_shows_nothing(shop: Shop, runs: Runs) -> None:
    shop.up("auth")
    assert list((shop.tree("auth") / "app/lib").iterdir()) == []
    (shop.tree("auth") / "app/lib/from-the-host").write_text("x")
    assert git(shop.tree("auth"), "status", "--porcelain") == ""
    assert "app/lib" not in git(shop.tree("auth"), "ls-files", "--others", "--exclude-standard")


@pytest.mark.deep
def test_a_second_up_changes_nothing(shop: Shop, runs: Runs) -> None:
    shop.up("auth")
    (brought,) = shop.bring("auth")
    assert not brought.changed
    assert len(runs()) == 1


@pytest.mark.deep
def test_another_lock_file_on_base_is_another_snapshot(shop: Shop, runs: Runs) -> None:
    shop.up("auth")
    commit(shop.repo, {"app/lock": "two\n"}, "newer")
    shop.up("pay")
    assert len(runs()) == 2
    assert len(cached(shop.repository)) == 2


def test_what_a_branch_alone_decides_runs_in_its_instance_above_the_nearest(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    git(shop.repo, "switch", "--quiet", "-c", "feature/pay")
    commit(shop.repo, {"app/lock": "two\n"}, "newer")
    git(shop.repo, "switch", "--quiet", "main")
    shop.up(InstanceRequest("pay", attach=True))
    assert runs()[1:] == ["pay"]
    assert list(mounted(shop, "pay")) == ["/workspace/app/lib"]
    assert len(cached(shop.repository)) == 1


@pytest.mark.deep
def test_a_branch_with_the_lock_file_of_base_gets_what_base_made(shop: Shop, runs: Runs) -> None:
    """Not what its own other files would have made of it: its siblings share it."""
    git(shop.repo, "switch", "--quiet", "-c", "feature/pay")
    commit(shop.repo, {"app/postinstall": "evil\n"}, "poison")
    git(shop.repo, "switch", "--quiet", "main")
    seen = "ls >> {log}; " + STEP
    log = shop.repo.parent / "log"
    install = {"run": seen.format(log=log), "in": "app", "produces": ["lib"], "key": ["lock"]}
    shop.configure(setup=[install])
    shop.up(InstanceRequest("pay", attach=True))
    assert list(mounted(shop, "pay")) == ["/workspace/app/lib"]
    assert "postinstall" not in runs()


def test_a_changed_lock_file_has_the_step_run_in_the_instance_that_has_it(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    before = mounted(shop, "auth")
    (shop.tree("auth") / "app/lock").write_text("mine\n")
    assert status(shop.project, ["auth"], shop.emit)[0].out_of_date == ["setup"]
    shop.up("auth")
    assert runs()[1:] == ["auth"]
    assert mounted(shop, "auth") == before
    shop.up("auth")
    (shop.tree("auth") / "app/lock").write_text("one\n")
    shop.up("auth")
    assert runs()[1:] == ["auth", "auth"]
    assert len(cached(shop.repository)) == 1


@pytest.mark.deep
def test_steps_around_it_run_in_the_instance_in_their_order(
    shop: Shop, runs: Runs, tmp_path: Path
) -> None:
    log = tmp_path / "around"
    (install,) = shop.project.config.setup
    setup = [
        {"run": f"echo before $TREEDOCK_ID >> {log}"},
        plain(install),
        {"run": f"echo behind $TREEDOCK_ID >> {log}"},
    ]
    shop.configure(setup=setup)
    shop.up("auth")
    said = log.read_text().splitlines()
    assert said[0].startswith("before gate.snapshot-")
    assert said[1:] == ["before auth", "behind auth"]


def test_a_step_that_fails_says_so_in_the_instance_and_leaves_no_snapshot(
    shop: Shop, runs: Runs
) -> None:
    install = {"run": "echo oops; exit 3", "produces": ["lib"], "key": ["app/lock"]}
    shop.configure(setup=[install])
    refused = shop.refusal("auth")
    assert "auth: setup-1 failed with exit code 3" in refused.message
    assert cached(shop.repository) == []
    assert volumes(shop, cache="snapshot") == []
    shop.configure(setup=[{**install, "run": "mkdir -p lib; touch lib/x"}])
    shop.up("auth")
    assert len(cached(shop.repository)) == 1


@pytest.mark.deep
def test_a_step_that_leaves_its_folder_empty_makes_no_snapshot(shop: Shop) -> None:
    commit(shop.repo, {"lock": "one\n"}, "lock")
    shop.configure(setup=[{"run": "mkdir -p lib", "produces": ["lib"], "key": ["lock"]}])
    shop.up("auth")
    assert any("left nothing in lib" in text for text in shop.warnings)
    assert volumes(shop, cache="snapshot") == []
    (verdict,) = cached(shop.repository)
    assert (verdict.unfit, verdict.size) == ("it left nothing in lib", 0)
    assert prune(shop.repository, max_size=1) == []
    assert prune(shop.repository, max_size=0) == [verdict]


@pytest.mark.deep
def test_a_known_step_that_makes_more_than_is_known_runs_in_every_instance(
    shop: Shop, tmp_path: Path
) -> None:
    """Its manager's own folder would not be all that the app needs."""
    log = tmp_path / "log"
    installer = f"#!/bin/sh\necho x >> {log}\nmkdir -p node_modules; echo > node_modules/x\n"
    files = {"package.json": "{}", "package-lock.json": "{}", "bin/npm": installer}
    commit(shop.repo, files, "npm")
    (shop.repo / "bin/npm").chmod(0o755)
    git(shop.repo, "commit", "--quiet", "--all", "--message", "executable")
    path = f"{shop.repo}/bin:{os.environ['PATH']}"
    shop.configure(setup=[{"run": "npm ci"}], env={"set": {"PATH": path}})
    (shop.repo / "bin/npm").write_text(f"{installer}echo > generated.js\n")
    shop.up("auth")
    assert any("npm ci is not shared: it also makes generated.js" in t for t in shop.warnings)
    shop.up("pay")
    assert shop.warnings == []
    assert len(log.read_text().split()) == 3
    (shop.repo / "bin/npm").write_text(installer)
    prune_all(shop)
    shop.up("search")
    shop.up("cart")
    assert len(log.read_text().split()) == 4


@pytest.mark.deep
def test_where_the_branch_has_something_of_its_own_nothing_is_mounted(
    shop: Shop, runs: Runs
) -> None:
    commit(shop.repo, {"app/lib/vendored": "x\n"}, "vendored")
    shop.up("auth")
    assert mounted(shop, "auth") == {}
    assert runs() == ["auth"]


def test_a_symlink_on_the_way_is_not_followed(shop: Shop, runs: Runs, tmp_path: Path) -> None:
    shop.up("auth")
    shop.down("auth")
    tree = shop.tree("auth")
    (tree / "app/lib").rmdir()
    (tree / "app/lib").symlink_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert "lib has to be a folder" in shop.refusal("auth").message
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.deep
def test_clean_removes_what_an_instance_wrote_and_leaves_the_snapshot(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    removed = shop.clean("auth").removed
    assert len([part for part in removed if part.startswith("volume ")]) == 2
    assert volumes(shop) == volumes(shop, cache="snapshot")
    assert [one.used_by for one in cached(shop.repository)] == [0]
    shop.up("auth")
    assert len(runs()) == 1


def test_prune_removes_the_least_recently_used_and_never_one_in_use(shop: Shop, runs: Runs) -> None:
    shop.up("auth")
    commit(shop.repo, {"app/lock": "two\n"}, "newer")
    shop.up("pay")
    shop.clean("auth")
    old = cached(shop.repository)[-1]
    assert [one.key for one in prune(shop.repository, older_than=0)] == [old.key]
    assert [one.used_by for one in cached(shop.repository)] == [1]
    assert len(volumes(shop, cache="snapshot")) == 1
    shop.clean("pay")
    assert len(prune(shop.repository, older_than=3600)) == 0
    assert len(prune(shop.repository, older_than=0)) == 1
    assert volumes(shop) == []


@pytest.mark.deep
def test_volumes_that_somebody_removed_are_made_anew(shop: Shop, runs: Runs) -> None:
    shop.up("auth")
    shop.down("auth")
    (snapshot,) = volumes(shop, cache="snapshot")
    shop.engine.remove_volume(snapshot)
    shop.up("auth")
    assert any("are gone" in text for text in shop.warnings)
    assert len(runs()) == 2
    assert list(mounted(shop, "auth")) == ["/workspace/app/lib"]


@pytest.mark.deep
def test_a_worktree_that_is_made_anew_starts_with_the_snapshot_again(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    (shop.tree("auth") / "app/lock").write_text("mine\n")
    shop.up("auth")
    shop.down("auth")
    shop.repository.git.remove_worktree(shop.tree("auth"))
    shop.up("auth")
    assert len(runs()) == 2
    assert shop.record("auth").supplied == ()


@pytest.mark.deep
def test_an_engine_without_overlays_copies(shop: Shop, runs: Runs) -> None:
    shop.engine.overlays = False
    shop.up("auth")
    shop.up("pay")
    assert len(runs()) == 1
    assert "ensure_overlay" in shop.engine.calls
    assert shop.engine.calls.count("ensure_overlay") == 1  # it was tried once
    assert list(mounted(shop, "pay")) == ["/workspace/app/lib"]
    assert "copying what set-up makes" in shop.steps
    shop.repository.snapshots.forget_overlays()
    shop.engine.overlays = True
    shop.up("search")
    assert "copying what set-up makes" not in shop.steps


@pytest.mark.deep
def test_warm_makes_it_ahead_of_time(shop: Shop, runs: Runs) -> None:
    assert [one.used_by for one in warm(shop.project, shop.emit)] == [0]
    assert shop.engine.containers() == []
    shop.up("auth")
    assert len(runs()) == 1
    assert [one.key for one in warm(shop.project, shop.emit)] == [
        one.key for one in cached(shop.repository)
    ]
    assert len(runs()) == 1


@pytest.mark.deep
def test_a_gate_mounts_it_and_what_a_candidate_alone_decides_is_not_kept(
    shop: Shop, runs: Runs
) -> None:
    shop.up("auth")
    project = shop.project
    head = commit(shop.repo, {"app/lock": "two\n"}, "newer")
    git(shop.repo, "reset", "--quiet", "--hard", "HEAD~1")
    for name, candidate in (("same", git(shop.repo, "rev-parse", "HEAD").strip()), ("new", head)):
        log = shop.repo.parent / name
        verdict = run_gates(
            project, name, candidate, [], base_commit=candidate, log=log, emit=shop.emit
        )
        assert verdict.green, verdict.message
    assert runs()[1:] == ["gate.new"]
    assert len(cached(shop.repository)) == 1
    assert len(volumes(shop)) == 3


def test_a_variable_that_has_a_manager_copy_from_the_checkout_keeps_its_step_unshared(
    shop: Shop,
) -> None:
    commit(shop.repo, {"requirements.txt": "", "lock": ""})
    shop.up("auth")
    setup = [
        {"run": "python3 -m venv env && env/bin/pip install -r requirements.txt"},
        {"run": "./make", "produces": ["lib"], "key": ["lock"]},
    ]

    def shared(**variables: str) -> list[bool]:
        shop.configure(setup=setup, env={"set": variables})
        operation = Operation(shop.project, "auth", shop.emit)
        operation.image = shop.engine.containers()[0].image
        steps = steps_of(operation)
        return [product is not None for product in steps.products]

    assert shared() == [True, True]
    assert shared(PIP_FIND_LINKS="https://example.org/wheels", UV_LINK_MODE="copy") == [True, True]
    assert shared(PIP_FIND_LINKS="wheels") == [False, True]
    (shop.tree("auth") / ".env").write_text("UV_NO_EDITABLE=1\n")
    assert shared() == [False, True]


def test_a_clean_run_begins_with_no_download_that_is_not_verified_when_it_is_used(
    shop: Shop,
) -> None:
    """A package that is built in one clean run could have rewritten it."""
    install = {
        "run": "echo npm uv pip; mkdir lib; touch lib/made",
        "produces": ["lib"],
        "key": ["lock"],
    }
    shop.configure(setup=[install])
    folders = {
        "~/.npm": ["_cacache/content-v2/sha512", "_cacache/index-v5", "_npx/pnpm"],
        "~/.cache/uv": ["archive-v0", "wheels-v5"],
        "~/.cache/pip": ["http-v2", "wheels"],
    }

    def begun(lock: str) -> set[str]:
        """What the caches of the clean run for this lock file began with."""
        commit(shop.repo, {"lock": lock})
        shop.up(f"of-{lock.split()[0]}")
        found = set()
        for path, volume in shop.repository.snapshots.all()[0].volumes.items():
            root = shop.engine._volumes[volume].folder
            found |= {f"{path}/{one.relative_to(root)}" for one in root.rglob("*") if one.is_file()}
            for folder in folders.get(path, ()):
                (root / folder).mkdir(parents=True, exist_ok=True)
                (root / folder / "poison").write_text(lock)
        return found

    assert begun("one") == set()
    assert begun("two") == {"~/.npm/_cacache/content-v2/sha512/poison"}
    assert begun("three --hash=sha256:0") == {
        "~/.npm/_cacache/content-v2/sha512/poison", "~/.cache/pip/http-v2/poison",
    }  # fmt: skip


def merged(shop: Shop, *commits: dict[str, str]) -> list[str]:
    """A branch with these commits, merged into main; returns their ids."""
    git(shop.repo, "switch", "--quiet", "-c", "feature/merged")
    made = [commit(shop.repo, files) for files in commits]
    git(shop.repo, "switch", "--quiet", "main")
    git(shop.repo, "merge", "--quiet", "--no-ff", "--no-edit", "feature/merged")
    return made


def test_a_clean_run_is_at_the_newest_first_parent_of_base_with_that_key(
    shop: Shop, tmp_path: Path
) -> None:
    """Not at any ancestor: what a merged branch did in between was never reviewed or tested."""
    log = tmp_path / "log"
    old = commit(shop.repo, {"lock": "one\n", "seen": "old\n"}, "lock")
    run = f"echo $TREEDOCK_ID $(cat [s]een) >> {log}; mkdir -p lib; touch lib/made"
    shop.configure(setup=[{"run": run, "produces": ["lib"], "key": ["lock"]}])

    def last_run(instance: str, base: str) -> tuple[bool, str]:
        """(whether it was a clean run, what it saw) of the last run of the step."""
        shop.up(InstanceRequest(instance, base=base))
        where, seen = log.read_text().splitlines()[-1].split()
        return where.startswith("gate.snapshot-"), seen

    evil, later = merged(shop, {"lock": "two\n", "seen": "evil\n"}, {"seen": "fine\n"})
    assert last_run("first", old) == (True, "old")  # the last one before the merge
    assert last_run("evil", evil) == (True, "fine")  # base's head has that key
    commit(shop.repo, {"lock": "three\n"})
    commit(shop.repo, {"lock": "two\n", "seen": "newer\n"})
    commit(shop.repo, {"lock": "four\n"})
    shop.clean("evil")
    prune_all(shop)
    assert last_run("late", later) == (True, "newer")
    git(shop.repo, "branch", "--quiet", "-D", "feature/merged")
    only, _ = merged(shop, {"lock": "evil\n", "seen": "evil\n"}, {"lock": "four\n"})
    assert last_run("only", only) == (False, "evil")  # no first parent ever had that key


@pytest.mark.deep
def test_of_a_half_made_snapshot_nothing_is_used_and_nothing_is_left(
    shop: Shop, runs: Runs
) -> None:
    for calls in range(6, 60, 6):
        shop.engine.vanish(after=calls)
        with suppress(EngineUnavailable):  # at what concerns all instances
            shop.bring("auth")
        shop.engine.come_back()
        shop.up("auth")
        clear_up(shop.project, shop.emit)
        assert [one.used_by for one in cached(shop.repository)] == [1]
        assert len(volumes(shop)) == 3
        shop.clean("auth")
        prune(shop.repository, max_size=-1)
        assert volumes(shop) == []


def test_a_step_that_fails_is_tried_clean_once_and_said_in_short(
    shop: Shop, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    step = f"echo $TREEDOCK_ID >>{log}; for n in 1 2 3; do printf '%05000d\\n' $n; done; exit 3"
    commit(shop.repo, {"lock": "one\n"}, "lock")
    shop.configure(setup=[{"run": step, "produces": ["lib"], "key": ["lock"]}])
    git(shop.repo, "commit", "--quiet", "--all", "--message", "configured")
    errors = [brought.error for brought in shop.bring("auth", "pay")]
    clean, *inside = sorted(log.read_text().split(), key=lambda one: not one.startswith("gate."))
    assert (clean[:14], sorted(inside)) == ("gate.snapshot-", ["auth", "pay"])
    (warned,) = shop.warnings
    assert "It ended with: 000" in warned
    assert "\n" not in warned
    assert len(warned) < 1500
    for error in errors:
        assert error
        assert error.message.count("characters more") == 3
