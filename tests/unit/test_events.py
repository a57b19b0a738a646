"""One stream of events: numbered, journalled, and deaf to what its listener does."""

import json
import logging
import typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from runner.adapters.store.runs import Run
from runner.controller.operation import Operation
from runner.controller.stream import Stream
from runner.controller.verbs import Controller
from runner.domain import events
from runner.domain.errors import Refused
from runner.domain.events import (
    Down,
    Event,
    Notice,
    OperationEnded,
    Said,
    StepFailed,
    StepFinished,
    StepStarted,
    Warned,
)
from runner.domain.requests.lifecycle import Down as DownRequest
from runner.domain.requests.lifecycle import Up as UpRequest
from tests.shop import Shop


def journal(shop: Shop, instance: str) -> list[dict[str, object]]:
    path = shop.repository.records.folder(instance) / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_events_of_an_operation_are_numbered_whichever_thread_tells_them() -> None:
    heard: list[Notice] = []
    stream = Stream(heard.append)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: stream(Said(str(n)), f"i{n % 3}"), range(200)))
    assert [notice.seq for notice in heard] == list(range(1, 201))
    assert {notice.operation for notice in heard} == {stream.operation}
    assert Stream().operation != stream.operation


def test_nothing_is_heard_after_the_end() -> None:
    heard: list[Notice] = []
    stream = Stream(heard.append)
    stream(Said("late"))
    stream.end(OperationEnded("up", 0, None))
    stream(Said("too late"))
    assert [type(notice.event) for notice in heard] == [Said, OperationEnded]


def test_an_event_is_one_flat_object_in_json() -> None:
    notice = Notice(
        7, "2026-01-31T09:30:00.250Z", "5f2a90c1", "auth", StepFinished("stopping", 0.25)
    )
    assert notice.to_json() == {
        "seq": 7, "at": "2026-01-31T09:30:00.250Z", "operation": "5f2a90c1", "instance": "auth",
        "event": "step_finished", "step": "stopping", "seconds": 0.25,
    }  # fmt: skip


def test_no_field_of_an_event_hides_one_of_its_envelope() -> None:
    envelope = {field.name for field in fields(Notice)}
    for cls in typing.get_args(Event):
        assert not envelope & {field.name for field in fields(cls)}, cls


def test_a_listener_that_raises_breaks_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(notice: Notice) -> None:
        raise ZeroDivisionError(f"{notice.event}")

    with caplog.at_level(logging.ERROR):
        answer = Controller.open(shop.repo, connect=lambda: shop.engine).run(
            UpRequest(ids=("auth",)), broken
        )
    assert answer.exit_code == 0
    assert [view.state for view in answer.instances] == ["running"]
    assert "ZeroDivisionError" in caplog.text
    assert [one["event"] for one in journal(shop, "auth")][-2:] == ["up", "operation_ended"]


def test_what_is_kept_of_an_instance_is_what_was_told(shop: Shop) -> None:
    heard: list[Notice] = []
    controller = Controller.open(shop.repo, connect=lambda: shop.engine)
    controller.run(UpRequest(ids=("auth",)), heard.append)
    lasting = [notice for notice in heard if not _passes(notice)]
    assert isinstance(lasting[-1].event, OperationEnded)
    assert journal(shop, "auth") == [json.loads(json.dumps(notice.to_json())) for notice in lasting]
    kinds = [events.kind_of(type(notice.event)) for notice in lasting]
    assert {"created", "container_created", "step_finished", "up"} <= set(kinds)


def _passes(notice: Notice) -> bool:
    return isinstance(notice.event, events.PASSING)


def test_a_step_that_fails_says_so_and_is_kept(shop: Shop) -> None:
    shop.up("auth")
    heard: list[Notice] = []
    operation = Operation(shop.repository, "auth", Stream(heard.append))

    def fail() -> None:
        with operation.step("breaking"):
            raise Refused("no")

    with pytest.raises(Refused):
        fail()
    started, failed = (notice.event for notice in heard)
    assert started == StepStarted("breaking")
    assert isinstance(failed, StepFailed)
    assert (failed.step, failed.code) == ("breaking", Refused.code)
    assert journal(shop, "auth")[-1]["event"] == "step_failed"


def test_the_last_event_is_how_the_operation_ended_and_is_kept(shop: Shop) -> None:
    shop.up("auth")
    controller = Controller.open(shop.repo, connect=lambda: shop.engine)
    operations: list[str] = []
    for ids, code in ((("auth",), None), (("nope",), "not_found")):
        heard: list[Notice] = []
        answer = controller.run(DownRequest(ids=ids), heard.append)
        assert heard[-1].event == OperationEnded("down", answer.exit_code, code)
        assert (answer.exit_code == 0) == (code is None)
        operations.append(heard[-1].operation)
    ends = [one for one in journal(shop, "auth") if one["event"] == "operation_ended"]
    assert [one["operation"] for one in ends] == operations[:1]


def test_a_throwaway_instance_speaks_for_the_one_it_works_for() -> None:
    heard: list[Notice] = []
    stream = Stream(heard.append)
    aside = stream.aside("auth")
    hidden = aside(StepStarted("testing"), "gate.1")
    shown = aside(Warned("it is slow"), "gate.1")
    assert hidden.instance == "gate.1"
    assert heard == [shown]
    assert shown.instance == "auth"
    assert shown.seq == 1  # no number is missing for the listener
    assert hidden.operation == shown.operation


def test_a_run_keeps_what_happened_in_it(tmp_path: Path) -> None:
    run = Run.begin(tmp_path, "merge")
    notice = Stream()(Down())
    run.journal(notice)
    (line,) = (run.folder / "events.jsonl").read_text().splitlines()
    assert json.loads(line) == notice.to_json() | asdict(notice.event)
