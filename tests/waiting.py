"""Waiting for what happens elsewhere, without guessing how long it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

_Answer = TypeVar("_Answer")


def eventually(check: Callable[[], _Answer], seconds: float = 10.0) -> _Answer:
    """The first true answer of `check`; the test fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > deadline:
            pytest.fail(f"still {answer!r} after {seconds:g} s")
        time.sleep(0.02)
    return answer
