"""`up` on the fake engine: what is refused, what is left alone, what is tried again."""

import contextlib
import os
import socket
from pathlib import Path

import pytest

from runner.controller.instance import images
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.observe.listing import look
from runner.controller.project import open_repository
from runner.domain.errors import (
    BranchExists,
    CommandFailed,
    ConfigError,
    EngineFailed,
    EngineUnavailable,
    LimitReached,
    NoFreeSlot,
    Refused,
)
from runner.domain.instance.ports import Slots
from tests.contract.fake_engine import FakeEngine
from tests.real_git import commit, git, make_repository
from tests.shop import Shop

pytestmark = pytest.mark.deep

FIVE = ["auth", "pay", "search", "cart", "mail"]


def nothing_was_touched(shop: Shop) -> bool:
    return (
        not (shop.repo / "trees").exists()
        and git(shop.repo, "for-each-ref", "refs/heads").count("\n") == 1
        and shop.repository.records.all() == []
    )


# --- refused before anything is touched -----------------------------------------------------


def test_an_instance_comes_up_with_branch_worktree_container_and_slot(shop: Shop) -> None:
    record = shop.up("auth")
    assert git(shop.tree("auth"), "branch", "--show-current").strip() == "feature/auth"
    (container,) = shop.engine.containers()
    assert (container.status, container.instance) == ("running", "auth")
    assert container.ports == record.ports
    assert container.labels["treedock.slot"] == str(record.slot)
    (view,) = shop.list()
    assert (view.state, view.missing) == ("running", [])


@pytest.mark.parametrize("name", ["../x", "-rf", "A B", "a" * 80, "auth\n"])
def test_a_bad_id_stops_all_of_them(shop: Shop, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an instance's id"):
        shop.bring("pay", name)
    assert nothing_was_touched(shop)
    assert shop.engine.calls == []


def test_an_unknown_base_is_refused_with_the_branches_there_are(shop: Shop) -> None:
    for base in ("nope", "--all", "HEAD^{tree}"):
        error = shop.refusal(InstanceRequest("auth", base=base))
        assert isinstance(error, ConfigError)
        assert base in error.message
        assert "main" in error.hint
    assert nothing_was_touched(shop)


def test_a_branch_that_exists_is_refused_with_the_way_to_attach(shop: Shop) -> None:
    git(shop.repo, "branch", "feature/auth")
    error = shop.refusal("auth")
    assert isinstance(error, BranchExists)
    assert "treedock up auth --attach" in error.hint
    assert not (shop.repo / "trees").exists()
    assert shop.up(InstanceRequest("auth", attach=True)).git.created_branch is False


def test_attaching_needs_a_branch_that_is_checked_out_nowhere(shop: Shop, tmp_path: Path) -> None:
    assert isinstance(shop.refusal(InstanceRequest("auth", attach=True)), Refused)
    git(shop.repo, "worktree", "add", "--quiet", "-b", "feature/auth", str(tmp_path / "mine"))
    error = shop.refusal(InstanceRequest("auth", attach=True))
    assert isinstance(error, BranchExists)
    assert str(tmp_path / "mine") in error.message


@pytest.mark.parametrize("occupied", ["folder", "file", "dangling symlink"])
def test_a_worktree_path_that_is_occupied_is_refused(shop: Shop, occupied: str) -> None:
    path = shop.repo / "trees" / "auth"
    path.parent.mkdir()
    if occupied == "folder":
        path.mkdir()
    elif occupied == "file":
        path.write_text("mine")
    else:
        path.symlink_to("absent")
    error = shop.refusal("auth")
    assert isinstance(error, Refused)
    assert str(path) in error.message
    assert shop.repository.records.all() == []


def test_the_limit_is_told_with_who_is_there(shop: Shop) -> None:
    shop.configure(limits={"instances": 2, "disk_free": 0})
    shop.up("auth")
    shop.up("pay")
    error = shop.refusal("search")
    assert isinstance(error, LimitReached)
    assert "auth, pay" in error.message
    assert not (shop.repo / "trees" / "search").exists()
    shop.up("auth")


def test_too_little_disk_starts_nothing(shop: Shop) -> None:
    shop.configure(limits={"disk_free": "1000t"})
    with pytest.raises(LimitReached, match="GiB are free on the disk"):
        shop.bring("auth")
    assert nothing_was_touched(shop)


def test_an_image_that_cannot_be_had_starts_nothing(shop: Shop) -> None:
    shop.configure(image={"name": "nobody/has:this"})
    with pytest.raises(EngineFailed, match="nobody/has:this"):
        shop.bring("auth")
    assert nothing_was_touched(shop)


def test_a_repository_without_commits_is_refused(shop: Shop, tmp_path: Path) -> None:
    empty = Shop(make_repository(tmp_path / "empty"), shop.engine)
    (empty.repo / "treedock.yaml").write_text("{image: {name: tiny}, network: {ca: none}}\n")
    with pytest.raises(Refused, match="no commits"):
        empty.bring("auth")


# --- slots ----------------------------------------------------------------------------------


def test_five_instances_get_five_slots(shop: Shop) -> None:
    brought = shop.bring(*FIVE)
    assert [one.error for one in brought] == [None] * 5
    assert sorted(shop.record(name).slot or 0 for name in FIVE) == [0, 1, 2, 3, 4]


def test_with_all_slots_taken_the_error_tells_who_holds_them(shop: Shop) -> None:
    shop.configure(overflow="refuse")
    shop.bring(*FIVE)
    shop.down("pay")
    with pytest.raises(NoFreeSlot) as caught:
        shop.bring("sixth")
    assert all(f"shop/{name}" in caught.value.message for name in FIVE)
    assert not (shop.repo / "trees" / "sixth").exists()
    shop.clean("pay")
    with pytest.raises(NoFreeSlot, match="Only 1 of 5 slots are free, and 2 are needed"):
        shop.bring("sixth", "seventh", "auth")
    assert sorted(record.id for record in shop.repository.records.all()) == [
        "auth", "cart", "mail", "search",
    ]  # fmt: skip
    shop.up("sixth")


def test_overflow_takes_any_free_ports_says_so_and_keeps_them(shop: Shop) -> None:
    shop.bring(*FIVE)
    record = shop.up("sixth")
    assert record.slot is None
    taken = {port for name in FIVE for port in shop.record(name).ports.values()}
    assert len(record.ports) == 2
    assert not taken & set(record.ports.values())
    named = ", ".join(map(str, record.ports.values()))
    assert f"all 5 slots are taken: it gets free ports, and keeps them: {named}" in shop.remarks
    shop.clean("pay")
    shop.down("sixth")
    assert shop.up("sixth").ports == record.ports
    assert shop.remarks == []


def test_how_many_slots_are_free_is_shown(shop: Shop) -> None:
    assert look(shop.repository, shop.emit).slots is None  # no `up` yet
    shop.bring("auth", "pay")
    shop.down("pay")
    assert look(shop.repository, shop.emit).slots == Slots(total=5, free=3)
    ranges = shop.project.config.ports["backend"]
    held = {shop.record(instance).ports["backend"] for instance in ("auth", "pay")}
    other = next(port for port in range(ranges.first, ranges.last + 1) if port not in held)
    with socket.create_server(("127.0.0.1", other)):
        assert look(shop.repository, shop.emit).slots == Slots(total=5, free=2)


def test_a_stopped_instance_of_another_project_holds_its_slot(shop: Shop, tmp_path: Path) -> None:
    ports = shop.up("auth").ports
    shop.down("auth")
    git(tmp_path, "clone", "--quiet", "--single-branch", str(shop.repo), "clone/shop")
    twin = Shop(tmp_path / "clone" / "shop", shop.engine)
    other = twin.up("auth")
    assert other.ports != ports
    assert len(shop.engine.containers()) == 2
    assert [view.id for view in shop.list()] == ["auth"]
    twin.clean("auth")
    assert [container.ports for container in shop.engine.containers()] == [ports]


def test_a_port_range_that_a_foreign_process_holds_is_stepped_past(shop: Shop) -> None:
    home = shop.up("auth").ports
    shop.clean("auth")
    with socket.create_server(("127.0.0.1", home["frontend"])):
        assert shop.up("auth").ports != home


def test_a_port_that_was_taken_meanwhile_moves_the_instance_to_the_next_slot(shop: Shop) -> None:
    before = shop.up("auth")
    shop.down("auth")
    with socket.create_server(("127.0.0.1", before.ports["backend"])):
        after = shop.up("auth")
    assert after.slot != before.slot
    assert any("taken by another process" in warning for warning in shop.warnings)
    (container,) = shop.engine.containers()
    assert (container.status, container.ports) == ("running", after.ports)
    written = (shop.tree("auth") / ".ports.env").read_text()
    assert f"BACKEND_PORT={after.ports['backend']}\n" in written


class _Probed(FakeEngine):
    """Another process has a port for a moment when the first container starts."""

    probed = False

    def start(self, container: str) -> None:
        with contextlib.ExitStack() as held:
            if not self.probed:
                (found,) = self.containers()
                taken = socket.create_server(("127.0.0.1", found.ports["backend"]))
                held.enter_context(taken)
            self.probed = True
            super().start(container)


def test_a_port_that_is_only_probed_when_the_container_starts_is_kept(shop: Shop) -> None:
    engine = _Probed(images=["tiny"], own=[next(images.default_tags())])
    probed = Shop(shop.repo, engine)
    record = probed.up("auth")
    assert engine.probed
    assert not [warning for warning in probed.warnings if "taken by" in warning]
    (container,) = engine.containers()
    assert (container.status, container.ports) == ("running", record.ports)
    engine.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no ::1 here")
def test_a_process_at_the_other_localhost_moves_a_stopped_instance_and_is_said_of_a_running_one(
    shop: Shop,
) -> None:
    before = shop.up("auth")
    port = before.ports["frontend"]
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        assert shop.up("auth").ports == before.ports
        assert [w for w in shop.warnings if f"[::1]:{port}" in w and "treedock restart auth" in w]
        shop.down("auth")
        after = shop.up("auth")
    assert after.slot != before.slot
    assert any(f"port {port} is taken by another process" in w for w in shop.warnings)
    (container,) = shop.engine.containers()
    assert (container.status, container.ports) == ("running", after.ports)
    shop.up("auth")
    assert shop.warnings == []


# --- again ----------------------------------------------------------------------------------


def test_a_second_up_changes_nothing(shop: Shop) -> None:
    shop.up("auth")
    (before,) = shop.engine.containers()
    shop.engine.calls.clear()
    (brought,) = shop.bring("auth")
    assert not brought.changed
    assert shop.engine.containers() == [before]
    assert not {"create", "start", "stop", "remove"} & set(shop.engine.calls)


def test_down_keeps_everything_and_up_starts_the_same_container(shop: Shop) -> None:
    before = shop.up("auth")
    (container,) = shop.engine.containers()
    assert shop.down("auth") is True
    assert shop.down("auth") is False
    assert [view.state for view in shop.list()] == ["stopped"]
    (brought,) = shop.bring("auth")
    assert brought.changed
    assert [c.id for c in shop.engine.containers()] == [container.id]
    assert shop.record("auth").ports == before.ports


def test_a_changed_limit_makes_the_container_anew_and_keeps_the_worktree(shop: Shop) -> None:
    shop.up("auth")
    (shop.tree("auth") / "work").write_text("mine")
    (before,) = shop.engine.containers()
    shop.configure(limits={"memory": "1g", "disk_free": 0})
    shop.up("auth")
    (after,) = shop.engine.containers()
    assert before.id != after.id
    assert (shop.tree("auth") / "work").read_text() == "mine"


def test_a_changed_secret_in_the_env_file_keeps_the_container(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": ".env\n"})
    (shop.repo / ".env").write_text("TOKEN=1\n")
    shop.up("auth")
    (before,) = shop.engine.containers()
    env = shop.tree("auth") / ".env"
    env.write_text(env.read_text().replace("TOKEN=1", "TOKEN=2"))
    shop.up("auth")
    assert [c.id for c in shop.engine.containers()] == [before.id]


def test_a_lost_worktree_container_or_branch_is_made_again(shop: Shop) -> None:
    shop.up("auth")
    made = commit(shop.tree("auth"), {"a": "1"})
    shop.engine.remove(shop.engine.containers()[0].id)
    shop.tree("auth").rename(shop.repo / "away")
    shop.up("auth")
    assert git(shop.tree("auth"), "rev-parse", "HEAD").strip() == made
    assert [c.status for c in shop.engine.containers()] == ["running"]


def test_another_base_for_an_instance_that_exists_is_refused(shop: Shop) -> None:
    git(shop.repo, "branch", "develop")
    shop.up("auth")
    assert isinstance(shop.refusal(InstanceRequest("auth", base="develop")), Refused)
    shop.up(InstanceRequest("auth", base="main", purpose="log in"))
    assert shop.record("auth").purpose == "log in"


def test_one_that_fails_does_not_stop_the_others(shop: Shop) -> None:
    git(shop.repo, "branch", "feature/pay")
    auth, pay, search = shop.bring("auth", "pay", "search")
    assert isinstance(pay.error, BranchExists)
    assert auth.error is None
    assert search.error is None
    assert [view.id for view in shop.list()] == ["auth", "search"]


# --- the engine -----------------------------------------------------------------------------


def test_without_an_engine_nothing_is_touched(shop: Shop) -> None:
    shop.engine.vanish()
    with pytest.raises(EngineUnavailable):
        shop.bring("auth")
    assert nothing_was_touched(shop)


@pytest.mark.deep
def test_an_engine_that_goes_away_anywhere_in_the_middle_is_mended_by_the_next_up(
    shop: Shop,
) -> None:
    shop.up("warm")
    calls = len(shop.engine.calls)
    for after in range(calls):
        shop.engine.vanish(after)
        try:
            (brought,) = shop.bring("auth")
        except EngineUnavailable:
            pass
        else:
            assert brought.error is None or isinstance(brought.error, EngineUnavailable)
        shop.engine.come_back()
        shop.up("auth")
        assert [view.state for view in shop.list()] == ["running", "running"]
        shop.clean("auth")
    assert [c.instance for c in shop.engine.containers()] == ["warm"]


def test_list_goes_on_without_an_engine_and_says_so(shop: Shop) -> None:
    shop.up("auth")
    shop.engine.vanish()
    (view,) = shop.list()
    assert view.state is None
    assert any("does not answer" in warning for warning in shop.warnings)


# --- set-up, reset, services ----------------------------------------------------------------


def test_verify_runs_again_after_a_set_up_step_until_it_passes(shop: Shop) -> None:
    shop.configure(verify="test ! -e broken")
    shop.up("auth")
    shop.configure(setup=[{"run": "touch broken"}])
    for _ in range(2):
        assert "verify failed with exit code 1" in shop.refusal("auth").message
    (shop.tree("auth") / "broken").unlink()
    shop.up("auth")


def test_a_set_up_step_that_fails_keeps_its_log_and_up_again_resumes_there(shop: Shop) -> None:
    steps = [{"run": "echo x >>first"}, {"run": "echo trying; cat wanted"}, {"run": "echo x >last"}]
    shop.configure(setup=steps)
    error = shop.refusal("auth")
    assert isinstance(error, CommandFailed)
    assert "exit code 1" in error.message
    assert "trying" in error.message
    assert "treedock logs auth setup-2" in error.hint
    assert shop.processes("auth").last_lines("setup-2")[0] == "trying"
    (view,) = shop.list()
    assert view.state == "failed"
    assert view.error is not None
    (shop.tree("auth") / "wanted").touch()
    shop.up("auth")
    assert (shop.tree("auth") / "first").read_text() == "x\n"
    assert (shop.tree("auth") / "last").exists()
    assert [view.state for view in shop.list()] == ["running"]


def test_a_changed_step_runs_again_with_those_behind_it(shop: Shop) -> None:
    shop.configure(setup=[{"run": f"echo {n} >>ran"} for n in "abc"])
    shop.up("auth")
    shop.configure(setup=[{"run": f"echo {n} >>ran"} for n in "axc"])
    shop.up("auth")
    assert (shop.tree("auth") / "ran").read_text().split() == ["a", "b", "c", "x", "c"]


def test_a_step_runs_in_its_folder_and_a_missing_one_is_named(shop: Shop) -> None:
    commit(shop.repo, {"app/x": ""})
    shop.configure(setup=[{"run": "touch here", "in": "app"}, {"run": "true", "in": "nope"}])
    error = shop.refusal("auth")
    assert (shop.tree("auth") / "app" / "here").exists()
    assert "exit code 127" in error.message
    assert "no such command or folder" in error.message


def test_a_reset_runs_once_for_a_new_instance(shop: Shop) -> None:
    shop.configure(database={"path": "x.db", "reset": "echo $TREEDOCK_ID >>x.db"})
    shop.up("auth")
    shop.down("auth")
    shop.up("auth")
    assert (shop.tree("auth") / "x.db").read_text() == "auth\n"
    assert shop.record("auth").reset_at


@pytest.mark.parametrize(
    ("reset", "said"),
    [("./scripts/absent.sh", "exit code 127"), ("echo no table; exit 3", "no table")],
)
def test_a_reset_that_is_missing_or_fails_is_told_with_its_last_lines(
    shop: Shop, reset: str, said: str
) -> None:
    shop.configure(database={"path": "x.db", "reset": reset})
    error = shop.refusal("auth")
    assert isinstance(error, CommandFailed)
    assert said in error.message
    assert shop.record("auth").reset_at is None
    shop.configure(database={"path": "x.db", "reset": "true"})
    shop.up("auth")


def test_services_run_in_processes_of_their_own_and_end_with_down(shop: Shop) -> None:
    shop.configure(services={"one": {"run": "exec sleep 60"}, "two": {"run": "exec sleep 60"}})
    shop.up("auth")
    (view,) = shop.list()
    assert [(s.name, s.state) for s in view.services or ()] == [
        ("one", "running"),
        ("two", "running"),
    ]
    pids = [service.pid for service in view.services or ()]
    assert len({os.getpgid(pid or 0) for pid in pids}) == 2
    shop.down("auth")
    (view,) = shop.list()
    assert [s.state for s in view.services or ()] == ["stopped", "stopped"]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_changed_service_is_started_anew_and_the_other_left_alone(shop: Shop) -> None:
    shop.configure(services={"one": {"run": "exec sleep 60"}, "two": {"run": "exec sleep 60"}})
    shop.up("auth")
    before = {s.name: s.pid for s in shop.list()[0].services or ()}
    shop.configure(services={"one": {"run": "exec sleep 60"}, "two": {"run": "exec sleep 61"}})
    shop.up("auth")
    after = {s.name: s.pid for s in shop.list()[0].services or ()}
    assert before["one"] == after["one"]
    assert before["two"] != after["two"]


def test_a_service_that_dies_fails_up_with_its_exit_code_and_last_lines(shop: Shop) -> None:
    shop.configure(services={"web": {"run": "echo no port; exit 7", "port": "backend"}})
    error = shop.refusal("auth")
    assert isinstance(error, CommandFailed)
    assert "exit code 7" in error.message
    assert "no port" in error.message
    assert "treedock logs auth web" in error.hint
    (view,) = shop.list()
    assert view.preview == view.urls["backend"]


# --- origin ---------------------------------------------------------------------------------


def test_a_new_instance_starts_from_origins_base_when_that_is_ahead(
    shop: Shop, origin: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--single-branch", str(origin), "other")
    ahead = commit(tmp_path / "other", {"a": "1"})
    git(tmp_path / "other", "push", "--quiet", "origin", "main")
    (brought,) = shop.bring("auth", fetch=True)
    assert brought.error is None
    assert git(shop.tree("auth"), "rev-parse", "HEAD").strip() == ahead
    assert git(shop.repo, "rev-parse", "main").strip() != ahead
    assert "main is 1 behind origin/main; auth starts from origin/main" in shop.remarks


def test_an_origin_that_is_not_there_is_a_warning(shop: Shop) -> None:
    git(shop.repo, "remote", "add", "origin", "/absent.git")
    (brought,) = shop.bring("auth", fetch=True)
    assert brought.error is None
    assert any("going on with what is here" in warning for warning in shop.warnings)


def test_diverged_bases_are_told_and_the_local_one_counts(
    shop: Shop, origin: Path, tmp_path: Path
) -> None:
    git(tmp_path, "clone", "--quiet", "--single-branch", str(origin), "other")
    commit(tmp_path / "other", {"a": "1"})
    git(tmp_path / "other", "push", "--quiet", "origin", "main")
    local = commit(shop.repo, {"b": "1"})
    shop.bring("auth", fetch=True)
    assert git(shop.tree("auth"), "rev-parse", "HEAD").strip() == local
    assert any("diverged" in warning for warning in shop.warnings)


def test_up_from_inside_an_instance_makes_a_sibling(shop: Shop) -> None:
    shop.up("auth")
    opened = open_repository(shop.tree("auth"), connect=lambda: shop.engine)
    assert opened.checkout == shop.repo
    inside = Shop(shop.tree("auth"), shop.engine)
    inside.up("pay")
    assert shop.tree("pay") == shop.repo / "trees" / "pay"
