"""`db reset`, `snapshot`, `restore` of an SQLite file, on the fake engine and the real SQLite."""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from runner.adapters.database import Site, sqlite
from runner.controller.cache.prune import prune
from runner.controller.data import database as databases
from runner.controller.data.reset import reset
from runner.controller.instance.executor import Launch
from runner.controller.instance.processes import LocalExecutor, run_folder
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.lifecycle.up import up
from runner.controller.lifecycle.warm import warm
from runner.controller.operation import Operation
from runner.domain.config.sections import Database
from runner.domain.errors import CommandFailed, ConfigError, EngineUnavailable, NotFound, Refused
from tests.real_git import commit, git
from tests.shop import Shop
from tests.waiting import eventually

pytestmark = pytest.mark.deep

SEED = """
import sqlite3
with sqlite3.connect("data/app.db") as app:
    app.execute("create table item (name)")
    app.executemany("insert into item values (?)", [(line.strip(),) for line in open("seed.txt")])
open("runs", "a").write("x")
"""


@pytest.fixture
def seeded(shop: Shop) -> Shop:
    """A shop whose instance `auth` has a database that was made from seed.txt."""
    files = {"seed.txt": "hammer\n", "seed.py": SEED, "data/.keep": "", ".gitignore": "runs\n"}
    commit(shop.repo, files)
    shop.configure(database={"path": "data/app.db", "reset": "python3 seed.py"})
    shop.up("auth")
    return shop


def renew(shop: Shop, *, fresh: bool = False) -> None:
    shop.events.clear()
    reset(shop.project, "auth", shop.emit, fresh=fresh)


def items(shop: Shop, instance: str = "auth") -> list[str]:
    with closing(sqlite3.connect(shop.tree(instance) / "data/app.db")) as app:
        return [name for (name,) in app.execute("select name from item order by rowid")]


def add(shop: Shop, name: str) -> None:
    with closing(sqlite3.connect(shop.tree("auth") / "data/app.db")) as app, app:
        app.execute("insert into item values (?)", [name])


def runs(shop: Shop) -> int:
    """How often the project's own command ran."""
    return len((shop.tree("auth") / "runs").read_text())


def test_what_a_reset_reads_being_the_same_the_data_comes_from_the_golden_state(
    seeded: Shop,
) -> None:
    add(seeded, "nail")
    renew(seeded)
    assert (items(seeded), runs(seeded)) == (["hammer"], 1)
    assert "resetting the database from its golden state" in seeded.steps


def test_fresh_runs_the_command_whatever_is_known(seeded: Shop) -> None:
    renew(seeded, fresh=True)
    assert (items(seeded), runs(seeded)) == (["hammer"], 2)
    renew(seeded)
    assert runs(seeded) == 2


def test_another_seed_in_the_branch_runs_the_command_loudly(seeded: Shop) -> None:
    (seeded.tree("auth") / "seed.txt").write_text("saw\n")
    renew(seeded)
    assert (items(seeded), runs(seeded)) == (["saw"], 2)
    assert any("it runs again" in said for said in seeded.remarks)
    git(seeded.tree("auth"), "commit", "--quiet", "--all", "-m", "saw")
    renew(seeded)
    assert items(seeded) == ["saw"]


def test_only_named_inputs_count_where_they_are_named(seeded: Shop) -> None:
    named = {"inputs": ["seed.*"], "path": "data/app.db", "reset": "python3 seed.py"}
    seeded.configure(database=named)
    renew(seeded)
    (seeded.tree("auth") / "README.md").write_text("another\n")
    renew(seeded)
    assert runs(seeded) == 2
    (seeded.tree("auth") / "seed.txt").write_text("saw\n")
    renew(seeded)
    assert (items(seeded), runs(seeded)) == (["saw"], 3)


def test_a_second_instance_begins_with_what_the_first_ones_reset_made(seeded: Shop) -> None:
    add(seeded, "nail")
    seeded.up("pay")
    assert items(seeded, "pay") == ["hammer"]
    assert not (seeded.tree("pay") / "runs").exists()
    renew(seeded)
    assert runs(seeded) == 1


def test_several_first_ones_at_once_run_the_command_once(shop: Shop) -> None:
    files = {"seed.txt": "hammer\n", "seed.py": SEED, "data/.keep": "", ".gitignore": "runs\n"}
    commit(shop.repo, files)
    shop.configure(database={"path": "data/app.db", "reset": "python3 seed.py"})
    ids = ["auth", "pay", "search", "users"]
    assert [brought.error for brought in shop.bring(*ids)] == [None] * 4
    assert [items(shop, instance) for instance in ids] == [["hammer"]] * 4
    assert sum((shop.tree(instance) / "runs").exists() for instance in ids) == 1


def test_with_fresh_a_new_instance_runs_it_whatever_is_known(seeded: Shop) -> None:
    up(seeded.project, [InstanceRequest("pay")], seeded.emit, fetch=False, fresh=True)
    assert (seeded.tree("pay") / "runs").exists()


def test_another_seed_in_base_or_another_env_runs_it_again(seeded: Shop) -> None:
    commit(seeded.repo, {"seed.txt": "saw\n"})
    seeded.up("pay")
    assert items(seeded, "pay") == ["saw"]
    (seeded.repo / ".env").write_text("SEED=1\n")
    seeded.up("search")
    assert (seeded.tree("search") / "runs").exists()


def test_what_a_branch_made_of_its_own_is_nothing_for_others(seeded: Shop) -> None:
    """Code inside could have made the data anything."""
    git(seeded.repo, "branch", "feature/pay")
    git(seeded.repo, "switch", "--quiet", "feature/pay")
    commit(seeded.repo, {"seed.txt": "saw\n"})
    git(seeded.repo, "switch", "--quiet", "main")
    seeded.up(InstanceRequest("pay", attach=True))
    assert items(seeded, "pay") == ["saw"]
    kept = seeded.repository.snapshots.all()
    assert len(kept) == 1
    (seeded.tree("auth") / "seed.txt").write_text("saw\n")
    renew(seeded)
    assert runs(seeded) == 2
    assert seeded.repository.snapshots.all() == kept


def test_a_golden_state_is_of_bases_head_or_its_newest_first_parent_with_that_key(
    shop: Shop,
) -> None:
    files = {"seed.txt": "hammer\n", "seed.py": SEED, "data/.keep": "", ".gitignore": "runs\n"}
    old = commit(shop.repo, files)
    reads = {"path": "data/app.db", "reset": "python3 seed.py", "inputs": ["seed.txt"]}
    shop.configure(database=reads)
    git(shop.repo, "switch", "--quiet", "-c", "merged")
    evil = commit(shop.repo, {"seed.txt": "saw\n"})
    same = commit(shop.repo, {"beside.txt": "what the key does not tell\n"})
    git(shop.repo, "switch", "--quiet", "main")
    git(shop.repo, "merge", "--quiet", "--no-ff", "--no-edit", "merged")
    commit(shop.repo, {"beside.txt": "reviewed\n"})
    for instance, base in (("evil", evil), ("same", same), ("late", "main^")):
        shop.up(InstanceRequest(instance, base=base))
        assert items(shop, instance) == ["saw"]
        assert shop.repository.snapshots.all() == []
    shop.up(InstanceRequest("old", base=old))
    assert len(shop.repository.snapshots.all()) == 1
    shop.up("head")
    assert len(shop.repository.snapshots.all()) == 2


def test_a_file_that_the_reset_names_is_an_input_whatever_inputs_say(shop: Shop) -> None:
    files = {"seed.txt": "hammer\n", "seed.py": SEED, "data/.keep": "", ".gitignore": "runs\n"}
    commit(shop.repo, files)
    reads = {"path": "data/app.db", "reset": "python3 ./seed.py", "inputs": ["seed.txt"]}
    shop.configure(database=reads)
    shop.up("auth")
    commit(shop.repo, {"seed.py": SEED.replace("line.strip()", "line.strip().upper()")})
    shop.up("pay")
    assert items(shop, "pay") == ["HAMMER"]


@pytest.mark.parametrize("command", ["", "sh ./reset.sh", "sh ./outer.sh", "make data"])
def test_data_that_holds_an_instances_own_port_is_nobody_elses(shop: Shop, command: str) -> None:
    make = 'rm -f app.db; sqlite3 app.db "create table t as select $BACKEND_PORT p"\n'
    outer = "set -e\nsh reset.sh\n"
    commit(shop.repo, {"reset.sh": make, "outer.sh": outer, "Makefile": "data:\n\tsh outer.sh\n"})
    command = command or make.strip()
    shop.configure(database={"path": "app.db", "reset": command})
    for instance in ("auth", "pay"):
        record = shop.up(instance)
        with closing(sqlite3.connect(shop.tree(instance) / "app.db")) as app:
            assert app.execute("select p from t").fetchone() == (record.ports["backend"],)


def test_a_constant_of_the_configuration_is_nobody_s_own(shop: Shop) -> None:
    shop.configure(
        database={"path": "app.db", "reset": 'echo x >>ran; sqlite3 app.db "select $SIZE"'},
        env={"set": {"SIZE": "10"}},
    )
    commit(shop.repo, {".gitignore": "ran\n"})
    shop.up("auth")
    shop.up("pay")
    assert not (shop.tree("pay") / "ran").exists()


def test_another_copy_of_an_ignored_file_runs_it_again(seeded: Shop) -> None:
    commit(seeded.repo, {".gitignore": "runs\nmore.txt\n"})
    (seeded.repo / "more.txt").write_text("nail\n")
    seeded.configure(env={"copy": ["more.txt"]})
    seeded.up("pay")
    (seeded.repo / "more.txt").write_text("screw\n")
    seeded.up("search")
    assert (seeded.tree("search") / "runs").exists()
    seeded.up("users")
    assert not (seeded.tree("users") / "runs").exists()


def test_a_folder_that_only_the_reset_makes_is_made_for_the_others(shop: Shop) -> None:
    commit(shop.repo, {".gitignore": "instance/\nran\n"})
    reset = 'echo x >>ran; mkdir -p instance; sqlite3 instance/app.db "create table t (n)"'
    shop.configure(database={"path": "instance/app.db", "reset": reset})
    shop.up("auth")
    shop.up("pay")
    assert (shop.tree("pay") / "instance/app.db").exists()
    assert not (shop.tree("pay") / "ran").exists()


def test_what_is_edited_while_the_first_one_comes_up_reaches_nobody(shop: Shop) -> None:
    commit(
        shop.repo,
        {
            "schema.sql": "create table item (name);", ".gitignore": "ran\n",
            "more.sh": "sh deeper.sh\n", "deeper.sh": "true\n",
        },
    )  # fmt: skip
    shop.configure(
        setup=[{"run": "echo 'sqlite3 app.db \"insert into item values(1)\"' >deeper.sh"}],
        database={
            "path": "app.db", "inputs": ["schema.sql"],
            "reset": "echo x >>ran; sqlite3 app.db <schema.sql; sh [m]ore.sh",
        },
    )  # fmt: skip
    shop.up("auth")
    assert any("its files were changed meanwhile" in said for said in shop.warnings)
    assert shop.repository.snapshots.all() == []


def test_those_who_waited_in_vain_make_theirs_side_by_side(shop: Shop) -> None:
    """The reset changes what it reads: what it made is not kept for others."""
    commit(shop.repo, {"n": ""})
    shop.configure(database={"path": "app.db", "reset": "echo x >>n; sqlite3 app.db 'select 1'"})
    assert [brought.error for brought in shop.bring("auth", "pay", "search")] == [None] * 3
    waiting = [said for said in shop.remarks if "waiting for the database" in said]
    unshared = [said for said in shop.warnings if "its data is not shared" in said]
    assert unshared
    assert len(waiting) + len(unshared) == 3  # one that comes late has nothing to wait for
    assert shop.repository.snapshots.all() == []


def test_a_golden_state_that_was_pruned_is_made_anew(seeded: Shop) -> None:
    prune(seeded.repository, max_size=0)
    assert seeded.repository.snapshots.all() == []
    seeded.up("pay")
    assert (seeded.tree("pay") / "runs").exists()
    assert len(seeded.repository.snapshots.all()) == 1


def test_a_golden_state_that_cannot_be_taken_is_made_by_the_command(seeded: Shop) -> None:
    (kept,) = seeded.repository.snapshots.all()
    seeded.repository.snapshots.file(kept.key).unlink()
    seeded.repository.snapshots.file(kept.key).mkdir()
    seeded.up("pay")
    assert any("golden state of the database cannot be taken" in said for said in seeded.warnings)
    assert items(seeded, "pay") == ["hammer"]
    assert (seeded.tree("pay") / "runs").exists()


def test_a_golden_state_is_put_where_no_file_is_without_a_command_inside(seeded: Shop) -> None:
    before = seeded.engine.calls.count("exec_attached")
    seeded.up("pay")
    assert items(seeded, "pay") == ["hammer"]
    assert not (seeded.tree("pay") / "runs").exists()
    assert seeded.engine.calls.count("exec_attached") == before


@pytest.mark.parametrize("there", ["a link", "a journal", "a file"])
def test_where_anything_is_at_its_place_a_golden_state_is_copied_inside(
    seeded: Shop, tmp_path: Path, there: str
) -> None:
    tree = seeded.tree("auth")
    database = tree / "data/app.db"
    golden = tmp_path / sqlite.GOLDEN
    golden.write_bytes(database.read_bytes())
    database.unlink()
    if there == "a link":
        (tree / "data").rename(tree / "elsewhere")
        (tree / "data").symlink_to("elsewhere")
    elif there == "a journal":
        (tree / "data/app.db-wal").touch()
    else:
        database.touch()
    (container,) = seeded.engine.containers()
    run = seeded.repository.records.folder("auth") / "run"
    site = Site(seeded.engine, container.id, "", run, tmp_path, tree)
    before = seeded.engine.calls.count("exec_attached")
    assert sqlite.Adapter(Database(path="data/app.db"), None).reset(site)
    assert items(seeded) == ["hammer"]
    assert seeded.engine.calls.count("exec_attached") == before + 1


def test_warm_starts_a_container_only_where_the_state_is_missing(seeded: Shop) -> None:
    for missing in (False, True):
        if missing:
            prune(seeded.repository, max_size=0)
        seeded.events.clear()
        warm(seeded.project, seeded.emit)
        assert ("starting the container" in seeded.steps) == missing
        assert len(seeded.repository.snapshots.all()) == 1


def test_an_app_that_has_it_open_sees_the_renewed_data(seeded: Shop) -> None:
    with closing(sqlite3.connect(seeded.tree("auth") / "data/app.db")) as app:
        app.execute("pragma journal_mode = wal")
        with app:
            app.execute("insert into item values ('nail')")
        renew(seeded)
        assert app.execute("select count(*) from item").fetchone() == (1,)
        assert app.execute("pragma integrity_check").fetchone() == ("ok",)


def test_a_reset_that_fails_leaves_the_data_as_it_was(seeded: Shop) -> None:
    with closing(sqlite3.connect(seeded.tree("auth") / "data/app.db")) as app:
        app.execute("pragma journal_mode = wal")
        with app:
            app.execute("insert into item values ('nail')")
        (seeded.tree("auth") / "seed.py").write_text(f"{SEED}\nraise SystemExit(3)\n")
        with pytest.raises(CommandFailed, match="reset failed with exit code 3"):
            renew(seeded)
    assert items(seeded) == ["hammer", "nail"]
    assert seeded.record("auth").reset_key is not None
    assert git(seeded.tree("auth"), "status", "--porcelain") == " M seed.py\n"


@pytest.mark.parametrize("began", [False, True])
def test_a_reset_that_was_cut_off_gives_the_data_back_to_the_next(
    seeded: Shop, began: bool
) -> None:
    data = seeded.tree("auth") / "data"
    if began:
        (data / "app.db").rename(data / "app.db-before")
        (data / "app.db").write_bytes(b"half made")
    else:  # only the journal was set aside
        with closing(sqlite3.connect(data / "app.db")) as app:
            app.execute("pragma journal_mode = wal")
            with app:
                app.execute("insert into item values ('nail')")
            wal = (data / "app.db-wal").read_bytes()
            main = (data / "app.db").read_bytes()
        (data / "app.db").write_bytes(main)
        (data / "app.db-before-wal").write_bytes(wal)
    Operation(seeded.project, "auth", seeded.emit).change(reset_key=None)
    (seeded.tree("auth") / "seed.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(CommandFailed):
        renew(seeded)
    assert items(seeded) == (["hammer"] if began else ["hammer", "nail"])


def test_what_a_reset_that_was_whole_left_aside_never_comes_back(seeded: Shop) -> None:
    """It was killed, or the disk was full, before it could remove that."""
    data = seeded.tree("auth") / "data"
    (data / "app.db-before").write_bytes((data / "app.db").read_bytes())
    add(seeded, "a day of work")
    (seeded.tree("auth") / "seed.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(CommandFailed):
        renew(seeded)
    assert items(seeded) == ["hammer", "a day of work"]
    assert not (data / "app.db-before").exists()


def test_a_reset_whose_engine_goes_away_says_what_was_set_aside_and_up_makes_it_whole(
    seeded: Shop,
) -> None:
    add(seeded, "nail")
    script = seeded.tree("auth") / "seed.py"
    script.write_text(f"import time\nopen('began', 'w')\ntime.sleep(60)\n{SEED}")
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(renew, seeded)
        eventually((seeded.tree("auth") / "began").exists)
        seeded.engine.vanish(0)
        with pytest.raises(EngineUnavailable, match="cut off half-way") as caught:
            done.result()
    seeded.engine.come_back()
    assert "treedock up auth" in caught.value.hint
    script.write_text(SEED)
    seeded.up("auth")
    assert items(seeded) == ["hammer"]


def test_a_snapshot_is_restored_in_another_instance(seeded: Shop) -> None:
    seeded.up("pay")
    add(seeded, "nail")
    made = databases.snapshot(seeded.project, "auth", "nailed", seeded.emit)
    add(seeded, "saw")
    databases.restore(seeded.project, "pay", "auth", "nailed", seeded.emit)
    assert items(seeded, "pay") == ["hammer", "nail"]
    assert items(seeded) == ["hammer", "nail", "saw"]
    databases.restore(seeded.project, "auth", "auth", "nailed", seeded.emit)
    assert items(seeded) == ["hammer", "nail"]
    assert databases.snapshots(seeded.project, "auth") == [made]
    assert made.size > 0


def test_snapshots_are_named_listed_and_deleted(seeded: Shop) -> None:
    databases.snapshot(seeded.project, "auth", "one", seeded.emit)
    with pytest.raises(Refused, match="has a snapshot one already"):
        databases.snapshot(seeded.project, "auth", "one", seeded.emit)
    for name in ("../../record.json", "", ".hidden", "a/b"):
        with pytest.raises(ConfigError, match="cannot be a snapshot's name"):
            databases.snapshot(seeded.project, "auth", name, seeded.emit)
    with pytest.raises(NotFound, match="auth has no snapshot two") as caught:
        databases.restore(seeded.project, "auth", "auth", "two", seeded.emit)
    assert "It has one." in caught.value.hint
    assert "the snapshots of its database: one" in seeded.clean("auth", dry_run=True).removed
    databases.drop(seeded.project, "auth", "one", seeded.emit)
    assert databases.snapshots(seeded.project, "auth") == []
    with pytest.raises(NotFound):
        databases.drop(seeded.project, "auth", "one", seeded.emit)


def test_a_database_that_is_not_there_cannot_be_kept(seeded: Shop) -> None:
    (seeded.tree("auth") / "data/app.db").unlink()
    with pytest.raises(Refused, match=r"data/app\.db could not be copied"):
        databases.snapshot(seeded.project, "auth", "one", seeded.emit)
    assert databases.snapshots(seeded.project, "auth") == []


def test_a_copy_that_code_inside_turned_into_a_link_is_not_followed(
    seeded: Shop, tmp_path: Path
) -> None:
    """The copy passes through a folder that the instance can write."""
    (tmp_path / "secret").write_text("secret\n")
    adapter = sqlite.Adapter(Database(path="data/app.db"), None)
    run = seeded.repository.records.folder("auth") / "run"
    (container,) = seeded.engine.containers()
    site = Site(seeded.engine, container.id, "", run, tmp_path)
    (run / "database.passing").symlink_to(tmp_path / "secret")
    adapter.snapshot(site, tmp_path / "kept")
    assert (tmp_path / "secret").read_text() == "secret\n"
    assert (tmp_path / "kept").read_bytes().startswith(b"SQLite format 3")


def test_what_only_a_command_knows_is_reset_by_it_alone(shop: Shop) -> None:
    shop.configure(database={"engine": "command", "reset": "echo x >>.env.told"})
    shop.up("auth")
    renew(shop)
    assert (shop.tree("auth") / ".env.told").read_text() == "x\nx\n"
    with pytest.raises(Refused, match="does not say which database"):
        databases.snapshot(shop.project, "auth", "one", shop.emit)


@pytest.fixture
def without_sqlite3(tmp_path: Path) -> Iterator[None]:
    """A machine whose only SQLite is Python's."""
    kept, folder = os.environ["PATH"], tmp_path / "bin"
    folder.mkdir()
    for place in reversed(kept.split(os.pathsep)):
        for program in Path(place).glob("*"):
            if program.name != "sqlite3":
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    os.environ["PATH"] = str(folder)
    yield
    os.environ["PATH"] = kept


def test_pythons_sqlite_does_where_the_image_has_no_other(
    without_sqlite3: None, seeded: Shop
) -> None:
    add(seeded, "nail")
    renew(seeded)
    assert (items(seeded), runs(seeded)) == (["hammer"], 1)


def test_a_reset_job_that_still_runs_is_ended_before_its_data_is_moved(seeded: Shop) -> None:
    """Its treedock was killed: what it goes on to write would be nobody's database."""
    operation = Operation(seeded.project, "auth", seeded.emit)
    (container,) = seeded.engine.containers()
    slow = "sleep 300"
    LocalExecutor(operation, container.id).start(Launch("reset", slow, ".", {}))
    left = run_folder(operation).process("reset")
    assert left.alive
    (seeded.tree("auth") / "seed.txt").write_text("saw\n")
    renew(seeded)
    assert not left.alive or run_folder(operation).process("reset").pid != left.pid
    with pytest.raises(ProcessLookupError):
        os.kill(left.pid or 0, 0)
    assert items(seeded) == ["saw"]


def test_a_file_that_looks_like_one_set_aside_is_the_users_own(shop: Shop) -> None:
    shop.configure(database={"path": "app.db", "reset": "touch app.db"})
    shop.up("auth")
    (shop.tree("auth") / "app.db-before-refactor.sql").write_text("mine\n")
    assert "app.db-before-refactor.sql" in git(shop.tree("auth"), "status", "--porcelain")


def test_a_reset_that_comes_into_the_configuration_leaves_data_alone(shop: Shop) -> None:
    shop.configure(database={"path": "app.db"})
    shop.up("auth")
    (shop.tree("auth") / "app.db").write_text("mine\n")
    shop.configure(database={"path": "app.db", "reset": "rm -f app.db"})
    shop.up("auth")
    assert (shop.tree("auth") / "app.db").read_text() == "mine\n"
    assert any("treedock db reset auth" in said for said in shop.remarks)


def test_a_reset_that_makes_no_file_gives_the_one_of_before_back(seeded: Shop) -> None:
    (seeded.tree("auth") / "seed.py").write_text("")
    renew(seeded)
    assert items(seeded) == ["hammer"]
