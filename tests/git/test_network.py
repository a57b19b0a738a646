"""The network that all instances share."""

from runner.controller.cleanup.orphans import network
from runner.controller.lifecycle.restart import restart
from tests.shop import Shop


def test_a_network_that_is_gone_is_made_again_by_doctor_up_and_restart(shop: Shop) -> None:
    engine = shop.engine
    assert network(shop.project, engine, fix=True) == []  # nothing needs it yet
    assert not engine.network
    shop.up("auth")
    assert network(shop.project, engine, fix=False) == []
    engine.network = False
    (found,) = network(shop.project, engine, fix=False)
    assert (found.status, "treedock doctor --fix" in found.way_out) == ("warning", True)
    (found,) = network(shop.project, engine, fix=True)
    assert (found.fixed, engine.network) == (True, True)
    engine.network = False
    shop.up("auth")
    assert engine.network
    engine.network = False
    restart(shop.project, "auth", shop.emit)
    assert engine.network


def test_an_engine_that_went_away_is_a_finding_of_the_network(shop: Shop) -> None:
    shop.up("auth")
    shop.engine.vanish()
    (found,) = network(shop.project, shop.engine, fix=True)
    assert found.status == "problem"
    shop.engine.come_back()
