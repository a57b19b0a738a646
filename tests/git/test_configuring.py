"""`config check`: what `up` would refuse of a treedock.yaml, told before it does."""

from typing import Any

import pytest

from runner.controller.onboarding.config_report import check
from runner.domain.errors import ConfigError
from tests.real_git import commit, git
from tests.running import Cli
from tests.shop import Shop

pytestmark = pytest.mark.deep

SERVICE = {"run": "serve"}


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """A project with app/server in its base, and a symlink to it."""
    (shop.repo / "linked").symlink_to("app")
    git(shop.repo, "add", "linked")
    commit(shop.repo, {"app/server/main.py": "", "images/Dockerfile": "FROM scratch\n"})
    return shop


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"setup": [{"run": "x", "in": "app/servr"}]}, "setup[0].in: main has no folder"),
        ({"setup": [{"run": "x", "in": "README.md"}]}, "setup[0].in: main has no folder"),
        ({"services": {"web": {**SERVICE, "in": "nope"}}}, "services.web.in: main has no folder"),
        ({"database": {"reset": "x", "in": "nope"}}, "database.in: main has no folder 'nope'"),
        ({"gates": [{"run": "x", "in": "nope"}]}, "gates[0].in: main has no folder 'nope'"),
        ({"image": {"build": {"context": "nope"}}}, "image.build.context: main has no folder"),
        (
            {"image": {"build": {"context": "app"}}},
            "image.build.dockerfile: main has no file 'app/Dockerfile'",
        ),
        ({"base": "trunk"}, "base: there is no branch 'trunk'"),
    ],
)
def test_what_base_does_not_have_is_refused_with_its_key(
    shop: Shop, change: dict[str, Any], said: str
) -> None:
    shop.configure(**change)
    with pytest.raises(ConfigError) as caught:
        check(shop.project)
    assert said in caught.value.message


def test_all_of_it_is_told_at_once(shop: Shop, cli: Cli) -> None:
    shop.configure(setup=[{"run": "x", "in": "a"}], image={"build": {"dockerfile": "b"}})
    answer = cli("config", "check")
    assert answer.exit_code == 2
    assert answer.stderr.splitlines()[:2] == [
        "treedock.yaml: image.build.dockerfile: main has no file 'b'",
        "treedock.yaml: setup[0].in: main has no folder 'a'",
    ]


def test_what_base_has_is_fine_and_so_is_what_lies_behind_a_symlink(shop: Shop) -> None:
    shop.configure(
        setup=[{"run": "x", "in": "app/server"}, {"run": "y"}, {"run": "z", "in": "linked/server"}],
        image={"build": {"context": "images"}},
    )
    assert check(shop.project) == []


def test_a_folder_that_a_set_up_step_may_make_is_only_doubted(shop: Shop, cli: Cli) -> None:
    shop.configure(setup=[{"run": "make"}], services={"web": {**SERVICE, "in": "build"}})
    answer = cli("config", "check")
    assert (answer.exit_code, answer.stdout) == (0, "treedock.yaml of shop is fine\n")
    doubt = "services.web.in: main has no folder 'build'; does a set-up step make it?"
    assert doubt in answer.stderr
    assert cli("config", "check", "--json").json["warnings"] == [f"treedock.yaml: {doubt}"]


def test_a_file_that_is_there_but_not_committed_does_not_count(shop: Shop) -> None:
    (shop.repo / "new").mkdir()
    shop.configure(setup=[{"run": "x", "in": "new"}])
    with pytest.raises(ConfigError) as caught:
        check(shop.project)
    assert "commit it to main" in caught.value.hint


def test_files_that_are_named_and_not_there_are_doubted(shop: Shop) -> None:
    named = {"inputs": ["app/**", "nothing/**"], "reset": "x"}
    step = {"run": "x", "in": "app/server", "produces": ["lib"], "key": ["main.py", "nolock"]}
    shop.configure(setup=[step], database=named)
    assert check(shop.project) == [
        "treedock.yaml: database.inputs: no file matches 'nothing/**', so no change of one counts",
        "treedock.yaml: setup[0].key: main has no file 'app/server/nolock', so every instance runs "
        "the step",
    ]
