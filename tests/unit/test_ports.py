"""Slots and ports. With 15 slots and 5 ids a collision has probability 0.53: stepping is usual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.errors import NoFreeSlot
from runner.domain.instance.ports import PortRange, choose_slot, home_slot, ports_of_slot

RANGES = {"backend": PortRange(9100, 9114), "frontend": PortRange(9200, 9214)}


def always(port: int) -> bool:
    return True


def test_shop_auth_of_15_slots_is_slot_1() -> None:
    assert home_slot("shop", "auth", 15) == 1
    assert choose_slot("shop", "auth", RANGES, {}, always) == 1
    assert ports_of_slot(RANGES, 1) == {"backend": 9101, "frontend": 9201}


def test_a_held_slot_is_stepped_past_even_when_its_port_could_be_bound() -> None:
    assert choose_slot("shop", "auth", RANGES, {9101: "shop/pay"}, always) == 2


def test_a_port_that_cannot_be_bound_is_stepped_past() -> None:
    assert choose_slot("shop", "auth", RANGES, {}, lambda port: port != 9101) == 2


def test_one_taken_port_of_the_pair_takes_the_slot() -> None:
    holders = {9201: "shop/pay", 9202: "shop/pay"}
    assert choose_slot("shop", "auth", RANGES, holders, lambda port: port != 9103) == 4


def test_the_search_goes_around_the_end() -> None:
    holders = {9100 + slot: "shop/pay" for slot in range(1, 15)}
    assert choose_slot("shop", "auth", RANGES, holders, always) == 0


def test_with_all_slots_taken_the_error_tells_who_holds_each() -> None:
    ranges = {"backend": PortRange(9100, 9102), "frontend": PortRange(9200, 9202)}
    holders = {9100: "shop/pay", 9202: "blog/search"}
    with pytest.raises(NoFreeSlot) as caught:
        choose_slot("shop", "auth", ranges, holders, lambda port: port != 9101)
    assert "All 3 slots are taken" in caught.value.message
    assert "9100 shop/pay, 9101 another process, 9202 blog/search" in caught.value.message
    assert "overflow: dynamic" in caught.value.hint


@given(st.sets(st.integers(0, 14)), st.sets(st.integers(0, 14)), st.text(min_size=1))
def test_the_slot_is_the_first_from_home_on_that_is_neither_held_nor_bound(
    held: set[int], bound: set[int], instance: str
) -> None:
    home = home_slot("shop", instance, 15)
    order = [(home + step) % 15 for step in range(15)]
    free = [slot for slot in order if slot not in held | bound]
    holders = {9200 + slot: "somebody" for slot in held}
    if free:
        chosen = choose_slot("shop", instance, RANGES, holders, lambda p: p - 9100 not in bound)
        assert chosen == free[0]
    else:
        with pytest.raises(NoFreeSlot):
            choose_slot("shop", instance, RANGES, holders, lambda p: p - 9100 not in bound)


def test_a_range_includes_both_ends() -> None:
    assert len(PortRange.parse("9100 - 9114")) == 15
    assert str(PortRange.parse("9100-9114")) == "9100-9114"


@pytest.mark.parametrize(
    "text", ["9100", "9100-", "-9114", "a-b", "9114-9100", "80-90", "65000-65536", "9100-9114-9120"]
)
def test_what_is_no_range_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        PortRange.parse(text)
