"""Sidecars on the real engine: databases and caches beside an instance, in its own namespace."""

import socket

import pytest

from runner.adapters.engine.protocol import Exec, Filter
from runner.controller.project import open_repository
from runner.domain.instance.container import Container
from tests.free_ports import free_block
from tests.scenarios.conftest import SLOTS, App

pytestmark = pytest.mark.engine

POSTGRES = {
    "image": "postgres",
    "env": {"POSTGRES_USER": "shop", "POSTGRES_PASSWORD": "s3cret", "POSTGRES_DB": "shop-db"},
}
ASK = "import socket; s = socket.create_connection(('localhost', {port}), 5); {talk}"
SET = ASK.format(port=6379, talk="s.sendall(b'SET who {who}\\r\\n'); print(s.recv(99))")
GET = ASK.format(port=6379, talk="s.sendall(b'GET who\\r\\n'); print(s.recv(99))")


@pytest.fixture
def beside(app: App) -> App:
    """The app with a PostgreSQL and a Redis beside each instance, the former published."""
    first = free_block(SLOTS)
    ports = app.config["ports"] | {"db": f"{first}-{first + SLOTS - 1}"}
    sidecars = {"postgres": POSTGRES | {"publish": "db"}, "redis": {"image": "redis"}}
    app.configure(ports=ports, sidecars=sidecars, database=None)
    return app


def sidecars(app: App, instance: str = "auth") -> list[Container]:
    return app.engine.containers(
        Filter(repository=open_repository(app.folder).key, beside=instance)
    )


def volumes(app: App) -> list[str]:
    return app.engine.volumes(Filter(repository=open_repository(app.folder).key))


def redis(app: App, instance: str, script: str, **values: str) -> str:
    for key, value in values.items():
        script = script.replace(f"{{{key}}}", value)
    answer = app.cli("exec", instance, "--", "python3", "-c", script)
    assert answer.exit_code == 0, answer.stderr
    return answer.stdout


URL = "postgresql://shop:s3cret@localhost:5432/shop-db"


def psql(app: App, instance: str, statement: str, url: str = URL) -> str:
    """Ask the sidecar as the app would, with the password, over TCP."""
    (found,) = [
        one for one in sidecars(app, instance) if one.labels["treedock.sidecar"] == "postgres"
    ]
    asks = Exec(["psql", "--no-psqlrc", "-Atqc", statement, url])
    done = app.engine.exec(found.id, asks)
    assert done.exit_code == 0, done.output.decode()
    return done.output.decode().strip()


def test_each_instance_has_its_own_and_finds_them_on_localhost(beside: App) -> None:
    views = beside.up("auth", "pay")
    assert {view["state"] for view in views.values()} == {"running"}
    assert [one["name"] for one in views["auth"]["sidecars"]] == ["postgres", "redis"]
    for who in ("auth", "pay"):
        redis(beside, who, SET, who=who)
        psql(beside, who, f"create table made_by as select '{who}' as who")
    for who in ("auth", "pay"):
        assert who in redis(beside, who, GET)
        assert psql(beside, who, "select who from made_by") == who


def test_only_what_is_asked_for_is_published(beside: App) -> None:
    view = beside.up("auth")["auth"]
    with socket.create_connection(("127.0.0.1", view["ports"]["db"]), 5) as connection:
        connection.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # may we speak TLS?
        assert connection.recv(1) in (b"N", b"S")
    assert "db" not in view["urls"]
    for one in sidecars(beside):
        assert one.ports == {}


def test_data_and_life_follow_the_instance(beside: App) -> None:
    beside.up("auth")
    psql(beside, "auth", "create table kept as select 1 as x")
    assert beside.cli("down", "auth").exit_code == 0
    assert {one.status for one in sidecars(beside)} == {"exited"}
    assert beside.up("auth")["auth"]["state"] == "running"
    assert psql(beside, "auth", "select x from kept") == "1"
    assert beside.cli("restart", "auth").exit_code == 0
    redis(beside, "auth", SET, who="again")
    assert psql(beside, "auth", "select x from kept") == "1"
    answer = beside.cli("clean", "auth", "--force", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert sidecars(beside) == []
    assert volumes(beside) == []


def test_a_namespace_that_starts_anew_takes_its_sidecars_along(beside: App) -> None:
    beside.up("auth")
    (own,) = beside.engine.containers(
        Filter(repository=open_repository(beside.folder).key, instance="auth")
    )
    beside.engine.stop(own.id, 2)
    assert beside.up("auth")["auth"]["state"] == "running"
    redis(beside, "auth", SET, who="auth")


def test_a_sidecar_that_ended_is_told_and_started_again(beside: App) -> None:
    beside.up("auth")
    (cache,) = [one for one in sidecars(beside) if one.labels["treedock.sidecar"] == "redis"]
    beside.engine.stop(cache.id, 5)
    status = beside.status("auth")
    assert status["state"] == "degraded"
    assert {one["name"]: one["state"] for one in status["sidecars"]}["redis"] == "stopped"
    assert beside.up("auth")["auth"]["state"] == "running"


def test_its_log_is_shown_and_quoted_when_it_cannot_start(beside: App) -> None:
    beside.up("auth")
    assert "ready to accept connections" in beside.cli("logs", "auth", "postgres").stdout
    broken = {"postgres": POSTGRES | {"command": "--no-such-option=1"}}
    beside.configure(sidecars=broken)
    answer = beside.cli("up", "auth")
    assert answer.exit_code == 1
    assert "no_such_option" in answer.stderr  # in the words of postgres
    assert "sidecars.postgres" in answer.stderr


def test_it_runs_as_a_user_of_its_own_without_capabilities(beside: App) -> None:
    beside.up("auth")
    for one in sidecars(beside):
        asks = Exec(["sh", "-c", "id -u; grep CapEff /proc/self/status"])
        found = beside.engine.exec(one.id, asks)
        uid, capabilities = found.output.decode().split("\n", 1)
        assert int(uid) > 0
        assert capabilities.split()[1] == "0" * 16


def test_set_up_finds_it(beside: App) -> None:
    ping = ASK.format(port=6379, talk="s.sendall(b'PING\\r\\n'); assert b'PONG' in s.recv(9)")
    beside.configure(setup=[{"run": f'python3 -c "{ping}"'}])
    assert beside.up("auth")["auth"]["state"] == "running"


def test_its_database_is_reset_once_and_found_by_its_url(beside: App) -> None:
    ask = ASK.format(port=5432, talk="pass")
    reset = f'python3 -c "{ask}" && printenv PGDATABASE PGUSER >> resets'
    beside.configure(database={"engine": "postgres", "reset": reset})
    view = beside.up("auth")["auth"]
    assert (view["state"], view["database"]["engine"]) == ("running", "postgres")
    assert (beside.tree("auth") / "resets").read_text() == "shop-db\nshop\n"
    url = beside.inside("auth", "printenv DATABASE_URL").stdout.strip()
    assert psql(beside, "auth", "select current_database()", url) == "shop-db"
    shell = beside.cli("db", "shell", "auth", stdin="\\pset tuples_only\nselect current_user;\n")
    assert "shop" in shell.stdout, shell.stderr
    outside = beside.cli("db", "url", "auth").stdout.strip()
    assert outside == url.replace("5432", str(view["ports"]["db"]))
