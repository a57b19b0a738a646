"""What the data of a new instance begins with: a pure decision."""

from collections.abc import Callable

import pytest

from runner.domain.data.initial import (
    Decision,
    Keep,
    Past,
    Restore,
    Run,
    Share,
    after_waiting,
    initial_data,
)

NEVER = Past()


def unasked() -> bool:
    raise AssertionError("this costs time and does not count")


def decided(
    past: Past = NEVER,
    share: Share = Share.MAKE,
    *,
    own: str = "",
    states: dict[str, str] | None = None,
    is_base: Callable[[], bool] = lambda: True,
) -> Decision:
    return initial_data(
        past,
        "today",
        share,
        own=lambda: own,
        key_of=lambda: "key",
        find=(states or {}).get,
        is_base=is_base,
    )


@pytest.mark.parametrize("share", [Share.MAKE, Share.TAKE])
def test_a_known_state_is_restored_and_nothing_more_is_asked(share: Share) -> None:
    found = decided(share=share, states={"key": "volume"}, is_base=unasked)
    assert found == Restore("key", "volume")
    assert decided(share=share, states={"key": ""}, is_base=unasked) == Restore("key", "")


def test_the_first_instance_on_base_makes_the_state_for_the_others() -> None:
    assert decided() == Run(keep="key")


def test_an_instance_that_something_has_run_in_makes_none() -> None:
    found = decided(share=Share.TAKE, is_base=unasked)
    assert found == Run("no golden state for this database yet")


def test_files_of_its_own_make_none() -> None:
    assert decided(is_base=lambda: False) == Run("no golden state for this database yet")


def test_data_of_its_own_takes_no_state_and_makes_none() -> None:
    found = decided(own="the reset reads its port", states={"key": "volume"}, is_base=unasked)
    assert found == Run("its data is its own: the reset reads its port")


def test_a_reset_that_was_cut_off_runs_again_whatever_is_known() -> None:
    found = decided(Past(begun=True), states={"key": "volume"}, is_base=unasked)
    assert isinstance(found, Run)
    assert "did not end well" in found.reason
    assert found.keep == ""


def test_without_sharing_it_runs_and_is_not_kept() -> None:
    found = decided(share=Share.NONE, states={"key": "volume"}, is_base=unasked)
    assert found == Run()


@pytest.mark.parametrize("share", [*Share])
def test_data_that_is_there_stays(share: Share) -> None:
    assert decided(Past("today", begun=True), share, is_base=unasked) == Keep()
    changed = decided(Past("yesterday", begun=True), share, is_base=unasked)
    assert isinstance(changed, Keep)
    assert "has changed" in changed.reason
    used = decided(Past(used=True), share, states={"key": "volume"}, is_base=unasked)
    assert isinstance(used, Keep)
    assert "there is a database.reset now" in used.reason


def test_who_waited_takes_the_state_or_makes_its_own_without_trying_again() -> None:
    assert after_waiting("key", "volume") == Restore("key", "volume")
    assert after_waiting("key", None) == Run()
