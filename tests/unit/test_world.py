"""What follows from one look at the instances, and from two."""

from dataclasses import replace

import pytest

from runner.domain.instance.container import (
    LABEL,
    LABEL_BESIDE,
    LABEL_INSTANCE,
    LABEL_REPOSITORY,
    Container,
)
from runner.domain.instance.record import ContainerStatus, Lineage, Record
from runner.domain.instance.world import Change, Glance, World, changes, leftover, strangers
from tests import records

KEY = "0123456789ab"
AUTH = replace(records.AUTH, ready=True)
LOGIN = replace(
    AUTH, id="login", git=Lineage("feature/login", "main", "1" * 40), worktree="/shop/trees/login"
)


def box(
    instance: str, status: ContainerStatus = "running", *, key: str = KEY, beside: str = "",
    sources: tuple[str, ...] = (),
) -> Container:  # fmt: skip
    of = {LABEL_BESIDE: beside} if beside else {LABEL_INSTANCE: instance}
    labels = {LABEL: "instance", LABEL_REPOSITORY: key, **of}
    return Container(f"{instance}{beside}-id", instance, status, labels, sources=sources)


def world(*records: Record, containers: tuple[Container, ...] | None = (), **more: object) -> World:
    found = World(
        key=KEY,
        records={one.id: one for one in records},
        doubts={},
        folders=frozenset(one.id for one in records),
        containers=containers,
        silent=None,
        services={one.id: () for one in records},
        worktrees={one.worktree: one.git.branch for one in records},
        present={one.worktree: True for one in records},
        refs={f"refs/heads/{one.git.branch}": one.git.base_commit for one in records},
        busy=frozenset(),
    )
    return replace(found, **more)  # type: ignore[arg-type]


RUNNING = Glance("running", busy=False, head="1" * 40)
STOPPED = replace(RUNNING, state="stopped")


def test_nothing_happened_between_two_looks_at_the_same() -> None:
    seen = world(AUTH, containers=(box("auth"),))
    assert changes(seen, seen) == []


def test_instances_appear_go_and_change_by_their_id() -> None:
    before = world(AUTH, LOGIN, containers=(box("auth"), box("login")))
    third = replace(
        AUTH, id="cart", git=Lineage("feature/cart", "main", "1" * 40), worktree="/shop/trees/cart"
    )
    after = world(third, AUTH, containers=(box("auth", "exited"), box("cart")))
    assert changes(before, after) == [
        Change("auth", RUNNING, STOPPED),
        Change("cart", None, RUNNING),
        Change("login", RUNNING, None),
    ]
    assert changes(after, before) == [
        Change(one.instance, one.after, one.before) for one in changes(before, after)
    ]


def test_a_verb_at_work_and_a_commit_are_changes() -> None:
    before = world(AUTH, containers=(box("auth"),))
    busy = replace(before, busy=frozenset({"auth"}))
    assert changes(before, busy) == [Change("auth", RUNNING, replace(RUNNING, busy=True))]
    moved = replace(before, refs={"refs/heads/feature/auth": "2" * 40})
    assert changes(before, moved) == [Change("auth", RUNNING, replace(RUNNING, head="2" * 40))]


def test_the_state_is_unknown_and_nothing_is_gone_while_the_engine_is_silent() -> None:
    before = world(AUTH, containers=(box("auth"),))
    silent = world(AUTH, containers=None)
    assert changes(before, silent) == [Change("auth", RUNNING, replace(RUNNING, state=None))]


def test_containers_of_another_repository_are_nothing_of_ours() -> None:
    others = (box("auth", key="another"), box("auth", beside="auth", key="another"))
    seen = world(AUTH, containers=others)
    assert seen.of("auth") == seen.sidecars("auth") == []
    assert seen.container("auth") is None
    assert seen.running() == {}
    assert seen.state("auth") == "absent"


def test_a_sidecar_alone_does_not_make_an_instance_whole() -> None:
    seen = world(AUTH, containers=(box("postgres", beside="auth"),))
    assert leftover(seen, "auth", AUTH.worktree) == "lost-container"
    assert leftover(replace(seen, records={}), "auth", "/else") == "unrecorded"
    assert seen.running() == {"auth": list(seen.own)}


def test_parts_are_not_judged_while_a_verb_is_at_work() -> None:
    seen = world(AUTH, present={})
    assert leftover(seen, "auth", AUTH.worktree) == "stripped"
    assert leftover(replace(seen, busy=frozenset({"auth"})), "auth", AUTH.worktree) == "whole"
    assert leftover(replace(seen, containers=None), "auth", AUTH.worktree) == "lost-worktree"


def test_a_branch_goes_with_its_instance_unless_it_is_used_elsewhere() -> None:
    seen = world(AUTH, LOGIN)
    assert seen.doomed_branch("auth") == "1" * 40
    assert seen.doomed_branches("auth") == ["feature/auth"]
    elsewhere = replace(seen, worktrees={**seen.worktrees, "/else": "feature/auth"})
    assert elsewhere.holder("auth") == "/else"
    assert elsewhere.doomed_branch("auth") is None
    assert elsewhere.doomed_branches("auth", together=["login"]) == ["feature/login"]
    kept = replace(AUTH, git=replace(AUTH.git, created_branch=False))
    attached = world(kept, replace(LOGIN, cleaning=True))
    assert attached.doomed_branches("auth") == ["feature/login"]
    assert replace(seen, refs={}).doomed_branches("auth") == []


@pytest.mark.parametrize(
    ("container", "is_one"),
    [
        (box("auth"), False),
        (box("gone"), True),
        (box("gone", "exited"), False),
        (box("gone", key="another"), False),
        (box("gone", key="another", sources=("/shop/.git/treedock/instances/gone",)), True),
        (box("gone", key="another", sources=("/shop/.git/treedock-two/x",)), False),
        (box("postgres", beside="gone"), False),
    ],
)
def test_strangers_run_and_have_no_folder_here(container: Container, is_one: bool) -> None:
    found = strangers(world(AUTH, containers=(container,)), "/shop/.git/treedock")
    assert found == ([container] if is_one else [])
