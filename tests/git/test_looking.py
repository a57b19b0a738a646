"""What `status` sees besides the state: what changed since, and where the worktree is."""

from typing import Any

import pytest

from runner.controller.observe.listing import status
from runner.controller.observe.logs import follow
from runner.domain.errors import EngineUnavailable, NotFound
from runner.domain.instance.record import View
from tests.real_git import git
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """An instance that came up with a set-up step, a service, a smoke test and a database."""
    shop.configure(
        setup=[{"run": "true"}],
        verify="true",
        services={"worker": {"run": "sleep 600"}},
        database={"engine": "sqlite", "path": "app.db", "reset": "touch app.db"},
    )
    shop.up("auth")
    return shop


def seen(shop: Shop) -> View:
    (view,) = status(shop.project, ["auth"], shop.emit)
    return view


def test_an_instance_that_follows_its_configuration_is_not_out_of_date(shop: Shop) -> None:
    assert seen(shop).out_of_date == []


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"setup": [{"run": "true"}, {"run": "echo more"}]}, "setup"),
        ({"setup": []}, "setup"),
        ({"verify": "echo fine"}, "verify"),
        ({"services": {"worker": {"run": "sleep 700"}}}, "services.worker"),
        ({"services": {}}, "services.worker"),
        ({"image": {"name": "python:3.12"}}, "image"),
        ({"image": "fullstack"}, "image"),
        ({"ports": {"backend": "9100-9104"}}, "ports"),
        ({"database": {"engine": "command", "reset": "make data"}}, "database.reset"),
    ],
)
def test_what_changed_in_the_configuration_since_is_named(
    shop: Shop, change: dict[str, Any], key: str
) -> None:
    shop.configure(**change)
    assert seen(shop).out_of_date == [key]


def test_up_brings_it_up_to_date(shop: Shop) -> None:
    shop.configure(setup=[{"run": "echo more"}], services={"worker": {"run": "sleep 700"}})
    assert seen(shop).out_of_date == ["setup", "services.worker"]
    shop.up("auth")
    assert seen(shop).out_of_date == []


def test_status_says_what_is_out_of_date_and_list_does_not_look(shop: Shop, cli: Cli) -> None:
    shop.configure(setup=[{"run": "echo more"}])
    nobody = {"DOCKER_HOST": "unix:///nobody"}
    told = cli("status", "auth", env=nobody).stdout
    assert "  out of date setup; treedock up auth brings it up to date\n" in told
    assert cli("list", "--json", env=nobody).json["instances"][0]["out_of_date"] is None
    shop.configure(
        setup=[{"run": "true"}], database={"engine": "sqlite", "path": "app.db", "reset": "make x"}
    )
    told = cli("status", "auth", env=nobody).stdout
    assert "  out of date database.reset; treedock db reset auth renews the data\n" in told


def test_another_branch_in_the_worktree_or_none_is_told(shop: Shop, cli: Cli) -> None:
    nobody = {"DOCKER_HOST": "unix:///nobody"}
    assert seen(shop).checked_out == "feature/auth"
    assert "checked out" not in cli("status", env=nobody).stdout
    git(shop.tree("auth"), "switch", "--quiet", "--create", "other")
    assert seen(shop).checked_out == "other"
    told = cli("status", env=nobody).stdout
    assert "  checked out other, not the instance's branch; go back with: git -C /" in told
    git(shop.tree("auth"), "switch", "--quiet", "--detach")
    assert seen(shop).checked_out == "HEAD"
    assert "no branch (detached HEAD)" in cli("status", env=nobody).stdout


def test_open_says_when_nothing_can_answer_at_the_url(shop: Shop, cli: Cli) -> None:
    # The instance runs on the fake engine; the command asks the real one, which has none of it.
    port = shop.record("auth").ports["backend"]
    opened = cli("open", "auth", "backend")
    assert opened.stdout == f"http://localhost:{port}\n"
    if "does not answer" not in opened.stderr:
        assert "The instance 'auth' is not running." in opened.stderr
        assert "Start it with: treedock up auth" in opened.stderr
    gone = cli("open", "auth", "backend", "--json", env={"DOCKER_HOST": "unix:///nobody"})
    assert gone.json["url"] == f"http://localhost:{port}"
    assert (gone.exit_code, "does not answer" in gone.stderr) == (0, True)


def test_following_a_log_ends_when_the_engine_goes_and_when_the_instance_does(shop: Shop) -> None:
    following = follow(shop.repository, "auth", ["worker"])
    shop.engine.vanish()
    with pytest.raises(EngineUnavailable):
        next(following)
    shop.engine.come_back()
    following = follow(shop.repository, "auth", ["worker"])
    shop.clean("auth", force=True)
    with pytest.raises(NotFound, match="no instance 'auth'"):
        next(following)
