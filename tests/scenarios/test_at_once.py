"""Several operations at once, in threads of one process, on the real engine."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from runner.adapters.cancellation import Token
from runner.controller.verbs import Controller
from runner.domain.events import Notice, StepStarted
from runner.domain.requests.landing import Merge
from runner.domain.requests.lifecycle import Up
from runner.domain.requests.observe import List
from runner.domain.requests.sync import Sync
from tests.at_once import all_at_once
from tests.real_git import commit, git
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine


def test_up_list_sync_and_merge_work_at_once(app: App) -> None:
    app.configure(test="test -f done.txt")
    app.up("sales", "done")
    app.inside("sales", "echo sales >sales.txt; git add sales.txt; git commit -qm sales")
    done = commit(app.tree("done"), {"done.txt": "done"}, "done")
    controller = Controller.open(app.folder)
    all_at_once(
        controller,
        [Up(ids=("auth",)), Up(ids=("pay",)), List(), Sync(ids=("sales",)), Merge(ids=("done",))],
    )
    git(app.folder, "merge-base", "--is-ancestor", done, "main")
    assert git(app.folder, "show", "feature/sales:sales.txt").strip() == "sales"
    assert {app.status(id_)["state"] for id_ in ("auth", "pay", "sales")} == {"running"}
    assert len({app.status(id_)["slot"] for id_ in ("auth", "pay", "sales")}) == 3
    problems = [one for one in app.cli("doctor", "--json").json["findings"] if one["way_out"]]
    assert [one for one in problems if one["check"] != "exposed-services"] == []


def test_what_is_cancelled_does_not_take_another_operation_along(app: App) -> None:
    wait = "touch began; until test -e go; do sleep 0.1; done"
    app.configure(services=None, database=None, setup=[{"run": wait}])
    controller, token = Controller.open(app.folder), Token()
    at_work = threading.Semaphore(0)

    def listen(notice: Notice) -> None:
        if isinstance(notice.event, StepStarted) and notice.event.step.startswith("touch began"):
            at_work.release()

    with ThreadPoolExecutor() as pool:
        doomed = pool.submit(controller.run, Up(ids=("auth",)), listen, token)
        other = pool.submit(controller.run, Up(ids=("pay",)), listen)
        assert at_work.acquire(timeout=60)
        assert at_work.acquire(timeout=60)
        token.cancel()
        assert doomed.result(10).exit_code == 130
        assert not other.done()
        (app.tree("pay") / "go").touch()
        assert other.result(60).exit_code == 0
    (app.tree("auth") / "go").touch()
    assert app.up("auth")["auth"]["state"] == "running"
