"""The fingerprint of a wanted container: it changes exactly when the container has to."""

from dataclasses import fields, replace

from runner.domain.instance.container import ContainerSpec, Limits, Mount, VolumeMount

SPEC = ContainerSpec(
    name="treedock-shop-auth",
    image="python:3.12",
    user="1000:1000",
    hostname="auth",
    ports=(9101,),
    mounts=(Mount("/shop/trees/auth", "/workspace"),),
    limits=Limits(memory=2**31, cpus=2, pids=512),
    environment={"BACKEND_PORT": "9101"},
    secrets={"TOKEN": "old"},
    labels={"treedock": "instance"},
)


def test_equal_wishes_have_equal_fingerprints() -> None:
    assert SPEC.fingerprint == replace(SPEC).fingerprint
    assert len(SPEC.fingerprint) == 16


def test_the_order_of_variables_does_not_matter() -> None:
    one = replace(SPEC, environment={"A": "1", "B": "2"})
    assert one.fingerprint == replace(SPEC, environment={"B": "2", "A": "1"}).fingerprint


def test_a_changed_secret_keeps_the_container_and_a_new_one_does_not() -> None:
    assert replace(SPEC, secrets={"TOKEN": "new"}).fingerprint == SPEC.fingerprint
    assert replace(SPEC, secrets={"TOKEN": "old", "KEY": ""}).fingerprint != SPEC.fingerprint


def test_everything_else_that_changes_changes_it() -> None:
    changes = {
        "name": "other",
        "image": "python:3.13",
        "user": "0:0",
        "hostname": "other",
        "ports": (9102,),
        "mounts": (Mount("/shop/trees/auth", "/workspace", read_only=True),),
        "limits": Limits(memory=2**31, cpus=1, pids=512),
        "environment": {"BACKEND_PORT": "9102"},
        "publish": "0.0.0.0",
        "capabilities": ("SYS_PTRACE",),
        "network": "other",
        "forwards": {5432: 9300},
        "volumes": (VolumeMount("data", "/data"),),
        "inside": "another",
        "command": (),
    }
    assert set(changes) == {f.name for f in fields(ContainerSpec)} - {"secrets", "labels"}
    found = {SPEC.fingerprint}
    for name, value in changes.items():
        found.add(replace(SPEC, **{name: value}).fingerprint)  # type: ignore[arg-type]
    assert len(found) == 1 + len(changes)
