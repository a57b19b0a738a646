"""Which containers and volumes are asked for."""

from dataclasses import fields

from runner.adapters.engine.protocol import EVERYTHING, Filter
from runner.domain.instance import container as names


def test_every_field_is_a_label_that_treedock_sets() -> None:
    """A label that no container has answers "none", and then what is in use looks unused."""
    known = {value for name, value in vars(names).items() if name.startswith("LABEL_")}
    asked = Filter(**{field.name: "x" for field in fields(Filter)})
    assert asked.labels.keys() <= known
    assert len(asked.labels) == len(fields(Filter))


def test_what_is_not_given_is_not_asked_for() -> None:
    assert EVERYTHING.labels == {}
    assert Filter(instance="auth").labels == {names.LABEL_INSTANCE: "auth"}
