"""Cancelling what works, from another thread."""

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from runner.adapters import cancellation
from runner.adapters.cancellation import Cancelled, Token
from tests.waiting import eventually

SOON = 10.0  # seconds; what is broken off would take many more


def cancelled_while(work: Callable[[], object], begun: Callable[[], object]) -> None:
    """Cancel `work`, in a thread of its own, once it has `begun`; it has to end with Cancelled."""
    token, ended = Token(), Future[None]()

    def operation() -> None:
        try:
            with cancellation.within(token):
                work()
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(None)

    threading.Thread(target=operation, daemon=True).start()
    eventually(begun)
    token.cancel()
    with pytest.raises(Cancelled):
        ended.result(SOON)
