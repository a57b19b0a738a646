"""What several threads ask for at once is done in one go."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from runner.controller.parallel import Grouped
from tests.waiting import eventually


def test_what_is_asked_for_meanwhile_is_done_together_and_each_gets_its_own_error() -> None:
    began, go_on = threading.Event(), threading.Event()
    done: list[list[int]] = []

    def perform(numbers: list[int]) -> None:
        done.append(numbers)
        if numbers == [1]:
            began.set()
            go_on.wait(10)
        if 13 in numbers:
            raise ValueError(13)

    grouped = Grouped(perform)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(grouped, 1)
        began.wait(10)
        others = [pool.submit(grouped, number) for number in (2, 13, 4)]
        eventually(lambda: len(grouped._waiting) == 3)
        go_on.set()
        first.result(10)
        assert [future.exception(10) for future in (others[0], others[2])] == [None, None]
        with pytest.raises(ValueError, match="13"):
            others[1].result(10)
    assert done[0] == [1]
    assert sorted(done[1]) == [2, 4, 13]
    assert sorted(done[2:]) == [[2], [4], [13]]


def test_one_after_the_other_is_done_alone() -> None:
    done: list[list[int]] = []
    grouped = Grouped(done.append)
    grouped(1)
    grouped(2)
    assert done == [[1], [2]]
