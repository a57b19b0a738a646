"""Where the app inside finds its database."""

from typing import Any

import pytest

from runner.adapters.database import variables_of
from runner.controller.data.database import url_of
from runner.controller.landing.gates import run_gates
from runner.domain.config.sections import Gate
from runner.domain.config.validate import validate
from runner.domain.errors import ConfigError, Refused
from tests.real_git import git
from tests.shop import Shop

SIDECAR = {
    "image": "postgres",
    "env": {"POSTGRES_USER": "ann@shop", "POSTGRES_PASSWORD": "p/w:1", "POSTGRES_DB": "shop"},
}


def found(**keys: Any) -> dict[str, str]:
    return variables_of(validate({"name": "shop", **keys}, "treedock.yaml"))


def test_a_postgres_is_found_by_its_url_and_by_its_clients() -> None:
    assert found(sidecars={"postgres": SIDECAR}, database={"engine": "postgres"}) == {
        "DATABASE_URL": "postgresql://ann%40shop:p%2Fw%3A1@localhost:5432/shop",
        "PGHOST": "localhost",
        "PGPORT": "5432",
        "PGUSER": "ann@shop",
        "PGPASSWORD": "p/w:1",
        "PGDATABASE": "shop",
    }


def test_sidecar_name_and_port_can_be_others() -> None:
    sidecars = {"db": {"image": "postgres:16", "ready": {"tcp": 5433}}}
    database = {"engine": "postgres", "sidecar": "db", "name": "app"}
    seen = found(sidecars=sidecars, database=database)
    assert seen["DATABASE_URL"] == "postgresql://postgres@localhost:5433/app"
    assert "PGPASSWORD" not in seen


def test_a_sqlite_file_is_found_by_its_url() -> None:
    assert found(database={"path": "data/app.db"}) == {
        "DATABASE_URL": "sqlite:////workspace/data/app.db"
    }


@pytest.mark.parametrize("database", [None, {"engine": "command", "reset": "./reset"}, {}])
def test_nothing_is_said_of_what_is_not_known(database: dict[str, str] | None) -> None:
    assert found(database=database) == {}


def test_a_database_needs_its_sidecar() -> None:
    with pytest.raises(ConfigError, match="there is no sidecar 'postgres'"):
        found(database={"engine": "postgres"})


def test_every_command_inside_gets_it_and_what_env_says_counts_more(shop: Shop) -> None:
    tell = 'echo "$DATABASE_URL" > told'
    shop.configure(database={"path": "app.db", "reset": tell})
    shop.up("auth")
    assert (shop.tree("auth") / "told").read_text().endswith("/app.db\n")
    (shop.repo / ".env").write_text("DATABASE_URL=sqlite:///elsewhere.db\n")
    shop.configure(database={"path": "app.db", "reset": f"{tell} 2>&1"})
    shop.up("pay")
    assert (shop.tree("pay") / "told").read_text() == "sqlite:///elsewhere.db\n"


def test_every_call_of_pnpm_finds_the_store_of_the_first(shop: Shop) -> None:
    tell = 'echo "$npm_config_store_dir $pnpm_config_store_dir $HOME" > told'
    with (shop.repo / ".git/info/exclude").open("a") as file:
        file.write("told\n")
    shop.configure(setup=[{"run": tell}])
    shop.up("auth")
    assert len((shop.tree("auth") / "told").read_text().split()) == 1
    shop.configure(setup=[{"run": f"{tell}; echo npx pnpm@9 install"}])
    shop.up("pay")
    *stores, home = (shop.tree("pay") / "told").read_text().split()
    assert stores == [f"{home}/.pnpm-store"] * 2
    (shop.repo / ".env").write_text("npm_config_store_dir=/mine\n")
    shop.up("search")
    assert (shop.tree("search") / "told").read_text().split()[0] == "/mine"
    fails = 'test "$npm_config_store_dir" = "$HOME/.pnpm-store"'
    (shop.repo / ".env").unlink()
    head = git(shop.repo, "rev-parse", "main").strip()
    verdict = run_gates(
        shop.project, "new", head, [Gate(run=fails)], base_commit=head,
        log=shop.repo.parent / "log", emit=shop.emit,
    )  # fmt: skip
    assert verdict.green, verdict.message


def test_a_client_on_the_host_finds_it_where_it_is_published(shop: Shop) -> None:
    shop.configure(database={"path": "app.db"})
    record = shop.up("auth")
    assert url_of(shop.project, "auth") == f"sqlite:///{record.worktree}/app.db"
    shop.configure(sidecars={"postgres": SIDECAR}, database={"engine": "postgres"})
    with pytest.raises(Refused, match="cannot be reached"):
        url_of(shop.project, "auth")
    port = record.ports["backend"]
    shop.configure(sidecars={"postgres": SIDECAR | {"publish": "backend"}})
    there = f"postgresql://ann%40shop:p%2Fw%3A1@localhost:{port}/shop"
    assert url_of(shop.project, "auth") == there
