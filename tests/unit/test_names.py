"""What the parts of an instance are called."""

from runner.domain.instance.names import Names, is_throwaway, own_volume, throwaway

AUTH = Names("shop", "my_auth", "0123456789ab")


def test_names_tell_projects_instances_and_repositories_apart() -> None:
    assert AUTH.container == "treedock-shop-my_auth-012345"
    assert AUTH.beside("postgres") == "treedock-shop-my_auth-012345.postgres"
    assert AUTH.git_container(7) == "treedock-git-my_auth-012345-7"
    others = [Names("shop", "my_auth", "ab0123456789"), Names("shop", "b", AUTH.key)]
    assert AUTH.container not in {other.container for other in others}


def test_a_volume_follows_the_path_that_it_is_mounted_at() -> None:
    assert AUTH.layer("app/.venv") == AUTH.layer("app/.venv") != AUTH.layer("app/node_modules")
    assert AUTH.layer("app/.venv").startswith(f"{AUTH.container}.")
    assert own_volume(AUTH.layer("app/.venv")) == f"{AUTH.layer('app/.venv')}.own"


def test_a_host_name_has_no_underscore() -> None:
    assert AUTH.host == "my-auth"


def test_the_branch_is_where_the_configuration_wants_it() -> None:
    assert AUTH.branch("feature/{id}") == "feature/my_auth"


def test_all_refs_of_an_instance_lie_in_one_place() -> None:
    assert AUTH.refs == "refs/treedock/my_auth"
    assert AUTH.ref("was/1") == f"{AUTH.refs}/was/1"


def test_a_throwaway_instance_has_an_id_that_no_person_can_give() -> None:
    assert is_throwaway(throwaway("t1"))
    assert not is_throwaway("gate")
