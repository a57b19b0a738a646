"""An instance as a Compose file."""

import io
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runner import resources
from runner.adapters.engine.protocol import Filter
from runner.controller.observe.compose_export import compose_file
from runner.domain.errors import NotFound, Refused
from runner.domain.instance.container import ContainerSpec, Limits
from runner.domain.rendering.compose_file import Instance, render_compose
from runner.domain.rendering.yaml_text import block, flow
from tests.shop import Shop

VALUES = st.recursive(
    st.text() | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def beside(shop: Shop) -> Shop:
    """The shop with a service and a sidecar, up as `auth`."""
    shop.engine.import_image(io.BytesIO(), "tiny:1")
    cache = {"image": "tiny:1", "command": "sh -c 'exec sleep $0' 60", "volume": "/data"}
    shop.configure(
        services={"worker": {"run": "exec sleep $(echo 60)", "in": "."}},
        sidecars={"cache": cache | {"env": {"LEVEL": "no"}}},
        env={"set": {"PRICE": "3 $$"}},
    )
    shop.up("auth")
    return shop


def printed(shop: Shop) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(compose_file(shop.project, "auth"))
    return found


def test_services_and_sidecars_share_the_namespace_that_has_the_ports(beside: Shop) -> None:
    services = printed(beside)["services"]
    ports = beside.record("auth").ports.values()
    assert services["instance"]["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports]
    assert services["worker"]["network_mode"] == "service:instance"
    assert services["cache"]["network_mode"] == "service:instance"
    assert "ports" not in services["worker"]


def test_a_dollar_sign_is_none_for_compose_to_replace(beside: Shop) -> None:
    services = printed(beside)["services"]
    assert services["worker"]["entrypoint"] == ["sh", "-c", "exec sleep $$(echo 60)"]
    assert services["worker"]["environment"]["PRICE"] == "3 $$"
    assert services["cache"]["command"] == ["sh", "-c", "exec sleep $$0", "60"]


def test_data_is_in_the_instances_own_volumes_which_compose_may_not_remove(beside: Shop) -> None:
    document = printed(beside)
    (volume,) = beside.engine.volumes(Filter(beside="auth"))
    assert document["volumes"] == {volume: {"external": True}}
    mount = {"type": "volume", "source": volume, "target": "/data"}
    assert document["services"]["cache"]["volumes"] == [mount]


def test_secrets_stay_in_the_env_file(beside: Shop) -> None:
    (beside.tree("auth") / ".env").write_text("SECRET=of-nobody\n")
    text = compose_file(beside.project, "auth")
    assert "of-nobody" not in text
    env_files = yaml.safe_load(text)["services"]["worker"]["env_file"]
    assert env_files == [str(beside.tree("auth") / ".env")]


def test_an_env_file_that_leads_out_is_not_named(beside: Shop) -> None:
    env = beside.tree("auth") / ".env"
    env.unlink()
    env.symlink_to("/etc/hostname")
    assert "env_file" not in printed(beside)["services"]["worker"]


def test_a_service_may_be_called_as_the_container_that_holds_the_ports_or_no(beside: Shop) -> None:
    beside.configure(services={name: {"run": "exec sleep 60"} for name in ("instance", "no")})
    services = printed(beside)["services"]
    assert set(services) == {"instance_", "instance", "no", "cache"}
    assert services["cache"]["network_mode"] == "service:instance_"


def test_what_a_sidecar_publishes_is_published_from_the_namespace() -> None:
    spec = ContainerSpec(
        "x", "tiny:1", "7:7", "auth", (9101,), (), Limits(2**28, 1.5, 50), forwards={5432: 9301}
    )
    instance = Instance("auth", "shop", spec, None, {}, {})
    template = (resources.compose() / "instance.yaml").read_text()
    document = yaml.safe_load(render_compose(template, instance))
    ports = ["127.0.0.1:9101:9101", "127.0.0.1:9301:5432"]
    assert document["services"]["instance"]["ports"] == ports
    assert "volumes" not in document


def test_what_has_not_been_up_yet_is_refused(beside: Shop) -> None:
    with pytest.raises(NotFound):
        compose_file(beside.project, "pay")
    beside.configure(sidecars={"mail": {"image": "tiny:1"}})
    with pytest.raises(Refused, match="the sidecar mail"):
        compose_file(beside.project, "auth")


@given(st.dictionaries(st.text(), VALUES, min_size=1, max_size=3))
def test_any_value_survives_as_yaml(value: dict[str, Any]) -> None:
    assert yaml.safe_load(flow(value)) == value
    assert yaml.safe_load("\n".join(block(value, "  "))) == value
