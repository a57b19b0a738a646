"""PostgreSQL of an instance on the real engine: reset, golden state, snapshots."""

import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner.adapters.engine.protocol import Filter
from runner.controller.project import open_repository
from tests.real_git import commit, git
from tests.scenarios.conftest import App
from tests.soak import SOAK, kill_steps
from tests.waiting import eventually

pytestmark = pytest.mark.engine

POSTGRES = {
    "image": "postgres",
    "env": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "s3cret", "POSTGRES_DB": "shop"},
}
SCHEMA = """
CREATE TABLE item (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO item (name) SELECT 'item ' || n FROM generate_series(1, 1000) n;
CREATE VIEW few AS SELECT * FROM item WHERE id < 10;
"""
RESET = "echo reset >>told && psql --quiet --set=ON_ERROR_STOP=1 --file=schema.sql"


@pytest.fixture
def shop(app: App) -> Iterator[App]:
    """The app with a PostgreSQL that schema.sql fills."""
    commit(app.folder, {"schema.sql": SCHEMA, ".gitignore": "told\n"}, "schema")
    database = {"engine": "postgres", "reset": RESET, "inputs": ["schema.sql"]}
    app.configure(sidecars={"postgres": POSTGRES}, database=database, services={}, setup=[])
    yield app
    app.cli("clean", "--all", "--force")
    app.cli("cache", "prune", "--max-size", "0")


def ask(app: App, statement: str, instance: str = "auth") -> str:
    """As the app inside would, by what it is told of the database."""
    answer = app.cli("exec", instance, "--", "psql", "-XAtqc", statement)
    assert answer.exit_code == 0, answer.stderr
    return answer.stdout.strip()


def dump(app: App, instance: str = "auth") -> str:
    answer = app.cli("exec", instance, "--", "sh", "-c", 'pg_dump "$DATABASE_URL"')
    assert answer.exit_code == 0, answer.stderr
    # Newer versions put a random key into two lines.
    return "\n".join(x for x in answer.stdout.splitlines() if not x.startswith("\\"))


def resets(app: App, instance: str = "auth") -> int:
    return (app.folder / f"trees/{instance}/told").read_text().count("reset")


def ok(app: App, *words: str) -> dict[str, Any]:
    answer = app.cli(*words, "--json")
    assert answer.exit_code == 0, answer.stderr
    found: dict[str, Any] = answer.json
    return found


def volumes(app: App) -> set[str]:
    return set(app.engine.volumes(Filter(repository=open_repository(app.folder).key)))


def test_the_command_runs_once_for_all_new_instances_and_each_has_its_own_data(shop: App) -> None:
    shop.up("auth", "pay", "search")
    ran = [one for one in ("auth", "pay", "search") if (shop.tree(one) / "told").exists()]
    assert len(ran) == 1
    assert len({dump(shop, one) for one in ("auth", "pay", "search")}) == 1
    for one in ("auth", "pay", "search"):
        ask(shop, f"INSERT INTO item (name) VALUES ('of {one}')", one)
    ok(shop, "restart", "pay")
    for one in ("auth", "pay", "search"):
        mine = ask(shop, "SELECT name FROM item WHERE id > 1000", one)
        assert mine == f"of {one}"
    ok(shop, "db", "reset", "pay")
    assert ask(shop, "SELECT count(*) FROM item", "pay") == "1000"
    assert ask(shop, "SELECT count(*) FROM item", "auth") == "1001"


def test_data_above_a_golden_state_is_in_use_and_goes_with_the_instance(shop: App) -> None:
    shop.up("auth")
    (golden,) = (name for name in volumes(shop) if "-snapshot-" in name)
    before = volumes(shop)
    shop.up("pay")
    new = volumes(shop) - before
    assert new
    # All that the data leans on, so that `docker volume prune` leaves it alone.
    assert all(any("-pay-" in user for user in shop.engine.users(name)) for name in (golden, *new))
    assert shop.cli("cache", "prune", "--max-size", "0").exit_code == 0
    assert golden in volumes(shop)
    ok(shop, "clean", "pay")
    assert volumes(shop) == before
    ok(shop, "clean", "auth")
    assert shop.cli("cache", "prune", "--max-size", "0").exit_code == 0
    assert volumes(shop) == set()


def test_that_somebody_removed_what_its_data_lies_above_is_said(shop: App) -> None:
    shop.up("auth")
    shop.up("pay")
    ok(shop, "down", "pay")
    key = open_repository(shop.folder).key
    for container in shop.engine.containers(Filter(repository=key, beside="pay")):
        shop.engine.remove(container.id)
    (golden,) = (name for name in volumes(shop) if "-snapshot-" in name)
    shop.engine.remove_volume(golden)
    answer = shop.cli("up", "pay")
    assert answer.exit_code == 4
    assert f"the volume {golden}, above which its data lies, is gone" in answer.stderr
    ok(shop, "clean", "pay")
    shop.up("pay")
    assert ask(shop, "SELECT count(*) FROM item", "pay") == "1000"
    ask(shop, "DELETE FROM item", "pay")
    ok(shop, "down", "pay")
    for container in shop.engine.containers(Filter(repository=key, beside="pay")):
        shop.engine.remove(container.id)
    gone = [name for name in volumes(shop) if "-pay-" in name]
    for name in gone:  # as `docker system prune --volumes` does
        shop.engine.remove_volume(name)
    answer = shop.cli("up", "pay")
    assert answer.exit_code == 0, answer.stderr
    assert f"the volume {min(gone)} with the data of postgres is gone" in answer.stderr
    assert ask(shop, "SELECT count(*) FROM item", "pay") == "1000"


RULES = """
DO $$ BEGIN CREATE ROLE "a ""b'"; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
REVOKE ALL ON DATABASE "shop ""x'" FROM PUBLIC;
GRANT CONNECT ON DATABASE "shop ""x'" TO "a ""b'" WITH GRANT OPTION;
ALTER DATABASE "shop ""x'" CONNECTION LIMIT 7;
ALTER DATABASE "shop ""x'" SET search_path = "$user", 'o''dd', public;
ALTER ROLE "a ""b'" IN DATABASE "shop ""x'" SET work_mem = '64MB';
COMMENT ON DATABASE "shop ""x'" IS 'the "shop''s"';
ALTER DATABASE "shop ""x'" OWNER TO "a ""b'";
"""
SEEN = """
SELECT datacl, pg_get_userbyid(datdba), datconnlimit, shobj_description(oid, 'pg_database'),
    (SELECT array_agg((setrole::regrole, setconfig) ORDER BY setrole)
     FROM pg_db_role_setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = current_database()
"""


@pytest.mark.long
def test_what_belongs_to_a_database_and_is_not_in_it_outlives_resets_and_restores(
    shop: App,
) -> None:
    commit(shop.folder, {"rules.sql": RULES}, "rules")
    name = "shop \"x'"
    reset = f"{RESET} --file=rules.sql"
    shop.configure(database={"engine": "postgres", "name": name, "reset": reset})
    shop.up("auth")
    made = ask(shop, SEEN)
    assert all(text in made for text in ("|7|", 'the "shop\'s"', "work_mem=64MB", "o'dd"))
    assert "=T" not in made  # nothing for everybody
    resets_before = resets(shop)
    ok(shop, "db", "reset", "auth")
    assert ask(shop, SEEN) == made
    assert resets(shop) == resets_before  # from the golden state
    ask(shop, 'ALTER DATABASE "shop ""x\'" CONNECTION LIMIT 5')  # by hand, later
    ok(shop, "db", "snapshot", "auth", "kept")
    ok(shop, "db", "reset", "auth")
    assert ask(shop, SEEN) == made.replace("|7|", "|5|")
    ok(shop, "db", "restore", "auth", "kept")
    assert ask(shop, SEEN) == made.replace("|7|", "|5|")
    ok(shop, "db", "reset", "auth", "--fresh")
    assert ask(shop, SEEN) == made
    shop.up("pay")  # from the golden state that all share
    assert ask(shop, SEEN, "pay") == made


@pytest.mark.long
def test_a_second_database_of_the_server_is_named_and_made_again_by_every_reset(shop: App) -> None:
    more = (
        "psql -qc 'DROP DATABASE IF EXISTS second' && psql -qc 'CREATE DATABASE second' && "
        "psql -qc 'CREATE TABLE IF NOT EXISTS t (n int)' second && psql -qc 'CREATE ROLE app'"
    )
    both = f"{RESET} && {more}"
    shop.configure(database={"engine": "postgres", "reset": both, "inputs": ["schema.sql"]})
    answer = shop.cli("up", "auth")
    assert answer.exit_code == 0, answer.stderr
    assert "also writes to the database second of the same server" in answer.stderr
    assert "the reset makes the role app, which stays" in answer.stderr
    assert [name for name in volumes(shop) if "-snapshot-" in name] == []
    said = shop.cli("db", "snapshot", "auth", "kept")
    assert "not in the snapshot: the database second" in said.stderr
    ask(shop, "DROP ROLE app")
    assert shop.inside("auth", "psql -qc 'INSERT INTO t VALUES (1)' second").exit_code == 0
    ok(shop, "db", "reset", "auth")
    count = shop.inside("auth", "psql -XAtqc 'SELECT count(*) FROM t' second")
    assert count.stdout.strip() == "0"
    shop.configure(database={"engine": "postgres", "reset": RESET, "inputs": ["schema.sql"]})
    ok(shop, "db", "reset", "auth", "--fresh")
    once = resets(shop)
    ok(shop, "db", "reset", "auth")  # it leaves the second one alone now
    assert resets(shop) == once


def test_a_script_learns_of_an_error_in_the_shell_of_the_database(shop: App) -> None:
    shop.up("auth")
    assert shop.cli("db", "shell", "auth", stdin="SELEC;").exit_code != 0
    answer = shop.cli("db", "shell", "auth", stdin="SELECT count(*) FROM item;")
    assert "1000" in answer.stdout


def test_data_that_was_used_is_no_golden_state_any_more(shop: App) -> None:
    shop.up("auth")
    shop.up("pay")
    ask(shop, "DELETE FROM item", "pay")
    shutil.rmtree(shop.tree("pay"))
    shop.up("pay")  # a new worktree begins with new data
    assert ask(shop, "SELECT count(*) FROM item", "pay") == "1000"


def test_set_up_that_may_write_to_the_server_keeps_its_data_to_its_instance(shop: App) -> None:
    shop.configure(setup=[{"run": "createdb other"}])
    shop.up("auth")
    answer = shop.cli("up", "pay")
    assert answer.exit_code == 0, answer.stderr
    assert "its data is its own: createdb other may write to it" in answer.stderr
    assert ask(shop, "SELECT count(*) FROM item", "pay") == "1000"


def test_warm_makes_the_golden_state_ahead_of_time(shop: App) -> None:
    ok(shop, "warm")
    assert shop.containers() == []
    shop.up("auth")
    assert not (shop.tree("auth") / "told").exists()
    assert ask(shop, "SELECT count(*) FROM item") == "1000"


def test_a_reset_brings_the_golden_state_back_and_ends_connections(shop: App) -> None:
    shop.up("auth")
    golden = dump(shop)
    ask(shop, "DROP VIEW few; DELETE FROM item; CREATE TABLE other ()")
    sleeper = threading.Thread(
        target=shop.cli, args=("exec", "auth", "--", "psql", "-Xc", "SELECT pg_sleep(300)")
    )
    sleeper.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    eventually(lambda: ask(shop, asleep) == "1")
    ok(shop, "db", "reset", "auth")
    sleeper.join(30)
    assert not sleeper.is_alive()
    assert dump(shop) == golden
    assert resets(shop) == 1
    assert ask(shop, "INSERT INTO item (name) VALUES ('new') RETURNING id") == "1001"


def test_a_reset_that_fails_leaves_the_data_as_it_was(shop: App) -> None:
    shop.up("auth")
    ask(shop, "INSERT INTO item (name) VALUES ('mine')")
    before = dump(shop)
    (shop.folder / "trees/auth/schema.sql").write_text(f"{SCHEMA}; SELECT nothing;")
    answer = shop.cli("db", "reset", "auth")
    assert answer.exit_code == 1
    assert 'column "nothing" does not exist' in answer.stderr
    assert dump(shop) == before
    (shop.folder / "trees/auth/schema.sql").write_text(SCHEMA)
    ok(shop, "db", "reset", "auth")
    assert ask(shop, "SELECT count(*) FROM item") == "1000"


def test_two_branches_with_different_migrations_keep_their_own(shop: App) -> None:
    shop.up("auth")
    shop.up("pay")
    tree = shop.folder / "trees/pay"
    (tree / "schema.sql").write_text(f"{SCHEMA}; ALTER TABLE item ADD price int DEFAULT 7;")
    git(tree, "commit", "--quiet", "--all", "-m", "price")
    ok(shop, "db", "reset", "pay")
    ask(shop, "DELETE FROM item", "pay")
    ok(shop, "db", "reset", "pay")
    assert resets(shop, "pay") == 1
    assert ask(shop, "SELECT sum(price) FROM item", "pay") == "7000"
    assert "price" not in dump(shop)
    assert resets(shop) == 1


def test_a_snapshot_of_one_is_restored_in_another(shop: App) -> None:
    shop.up("auth", "pay")
    ask(shop, "UPDATE item SET name = 'mine' WHERE id = 1")
    wanted = dump(shop)
    (made,) = ok(shop, "db", "snapshot", "auth", "before")["snapshots"]
    assert made["name"] == "before"
    ask(shop, "DELETE FROM item")
    ok(shop, "db", "restore", "pay", "before", "--from", "auth")
    assert dump(shop, "pay") == wanted
    assert ask(shop, "SELECT count(*) FROM item") == "0"
    ok(shop, "db", "restore", "auth", "before")
    assert dump(shop) == wanted
    assert [one["name"] for one in ok(shop, "db", "list", "auth")["snapshots"]] == ["before"]
    ok(shop, "db", "drop", "auth", "before")
    assert ok(shop, "db", "list", "auth")["snapshots"] == []


def test_a_broken_snapshot_leaves_the_data_as_it_was(shop: App) -> None:
    shop.up("auth")
    ok(shop, "db", "snapshot", "auth", "before")
    records = open_repository(shop.folder).records
    kept = records.folder("auth") / "snapshots/before"
    kept.write_bytes(kept.read_bytes()[:2000])
    before = dump(shop)
    answer = shop.cli("db", "restore", "auth", "before")
    assert answer.exit_code == 1
    assert "pg_restore failed" in answer.stderr
    assert "The data is as it was." in answer.stderr
    assert dump(shop) == before


def test_databases_that_treedock_keeps_stay_within_their_own_server(shop: App) -> None:
    """The golden state is closed to the app, and everything else it may do with its own."""
    shop.up("auth")
    answer = shop.cli("exec", "auth", "--", "psql", "-Xc", "SELECT 1", "treedock_golden")
    assert "not currently accepting connections" in answer.stderr
    names = ask(shop, "SELECT datname FROM pg_database ORDER BY 1").split()
    assert {"shop", "treedock_golden", "treedock_initial"} <= set(names)
    assert not {"treedock_before", "treedock_new", "treedock_old"} & set(names)


@pytest.mark.parametrize("statement", ["DROP DATABASE treedock_golden", "DROP DATABASE shop"])
def test_code_inside_that_dropped_a_database_gets_it_back(shop: App, statement: str) -> None:
    shop.up("auth")
    open_it = "ALTER DATABASE treedock_golden WITH ALLOW_CONNECTIONS true"
    for one in (open_it, statement):
        answer = shop.cli("exec", "auth", "--", "psql", "-Xc", one, "template1")
        assert answer.exit_code == 0, answer.stderr
    ok(shop, "db", "reset", "auth")
    assert ask(shop, "SELECT count(*) FROM item") == "1000"


def test_a_database_of_another_name_than_the_servers_is_made(shop: App) -> None:
    shop.configure(
        database={"engine": "postgres", "reset": RESET, "inputs": ["schema.sql"], "name": 'a"b c'}
    )
    shop.up("auth")
    assert ask(shop, "SELECT current_database()") == 'a"b c'
    ask(shop, "DELETE FROM item")
    ok(shop, "db", "reset", "auth")
    assert ask(shop, "SELECT count(*) FROM item") == "1000"


@pytest.mark.long
@pytest.mark.parametrize(("real", "shared"), [(False, False), (True, False), (True, True)])
def test_a_reset_killed_anywhere_is_completed_by_the_next(
    shop: App, real: bool, shared: bool, record_property: Callable[[str, object], None]
) -> None:
    """`up` completes what was cut off; what was set aside is never lost with it. `shared`: of an
    instance that began with the golden state of another."""
    if shared:
        ok(shop, "warm")
    shop.up("auth")
    words = ["db", "reset", "auth", *(["--fresh"] if real else [])]
    for kill in kill_steps(record_property):
        ask(shop, "INSERT INTO item (name) VALUES ('mine')")
        done = shop.cli(*words, env={"TREEDOCK_KILL_AFTER": str(kill)})
        shop.up("auth")
        assert ask(shop, "SELECT count(*) FROM item WHERE name <> 'mine'") == "1000"
        if done.exit_code == 0:
            break
        ok(shop, "db", "reset", "auth")
        assert ask(shop, "SELECT count(*) FROM item") == "1000"
    assert kill > (3 if SOAK else 0)
