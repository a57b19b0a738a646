"""Several operations at once, in threads of one process."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from runner.controller.verbs import Controller
from runner.domain.answers import Answer
from runner.domain.events import Notice, OperationEnded
from runner.domain.requests.request import Request


def all_at_once(controller: Controller, requests: Sequence[Request[Any]]) -> list[Answer]:
    """The answers to these requests, begun at the same moment; each has to succeed, with a stream
    of events of its own that is numbered without a gap."""
    together = threading.Barrier(len(requests))

    def run(request: Request[Any]) -> tuple[Answer, list[Notice]]:
        heard: list[Notice] = []
        together.wait()
        return controller.run(request, heard.append), heard

    with ThreadPoolExecutor(len(requests)) as pool:
        found = list(pool.map(run, requests))
    for request, (answer, heard) in zip(requests, found, strict=True):
        assert not answer.errors, (request, answer.errors)
        assert answer.exit_code == 0, (request, answer)
        assert [notice.seq for notice in heard] == list(range(1, len(heard) + 1))
        assert isinstance(heard[-1].event, OperationEnded)
    operations = [{notice.operation for notice in heard} for _, heard in found]
    assert all(len(ids) == 1 for ids in operations)
    assert len(set().union(*operations)) == len(requests)
    return [answer for answer, _ in found]
