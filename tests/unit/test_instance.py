"""What an instance is called, what is kept about it, and the state its parts add up to."""

from dataclasses import asdict, replace

import pytest

from runner.domain.errors import ConfigError
from runner.domain.instance.record import (
    ContainerStatus,
    Failure,
    Record,
    ServiceState,
    ServiceView,
    State,
    check_id,
    preview_of,
    state_of,
)
from runner.domain.typed import typed
from tests.records import AUTH


@pytest.mark.parametrize("text", ["a", "auth", "a1", "1", "a-b_c", "a" * 40])
def test_a_plain_word_is_an_id(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "../x",
            "-rf",
            "A B",
            "a" * 80,
            "a" * 41,
            "auth\n",
            "\nauth",
            "a/b",
            ".",
            "..",
            "a.b",
        ),
        *("Auth", "auth-", "_auth", "ümlaut", "a\0b", "a b", "²", "--json", "$(id)", "a;b", "٣"),
    ],
)
def test_what_could_be_more_than_a_word_is_no_id(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an instance's id"):
        check_id(text)


def service(state: ServiceState, name: str = "backend") -> ServiceView:
    return ServiceView(name=name, state=state)


@pytest.mark.parametrize(
    ("container", "services", "ready", "failed", "busy", "state"),
    [
        ("absent", [], False, False, True, "starting"),
        ("created", [], False, True, True, "starting"),
        ("running", ["starting"], False, False, True, "starting"),
        ("running", ["running"], True, False, True, "running"),
        ("absent", [], False, False, False, "absent"),
        ("absent", [], True, False, False, "absent"),
        ("absent", [], False, True, False, "failed"),
        ("exited", ["stopped"], True, False, False, "stopped"),
        ("exited", ["stopped"], False, True, False, "failed"),
        ("created", [], False, False, False, "stopped"),
        ("paused", [], True, False, False, "stopped"),
        ("running", [], True, False, False, "running"),
        ("running", [], False, False, False, "failed"),
        ("running", ["running", "running"], True, False, False, "running"),
        ("running", ["running", "failed"], True, False, False, "degraded"),
        ("running", ["running", "exited"], True, False, False, "degraded"),
        ("running", ["running", "stopped"], True, False, False, "degraded"),
        ("running", ["failed", "failed"], True, False, False, "failed"),
        ("running", ["failed", "exited"], True, False, False, "failed"),
        ("running", ["exited", "exited"], True, False, False, "degraded"),
    ],
)
def test_the_parts_add_up_to_one_state(
    container: ContainerStatus,
    services: list[ServiceState],
    ready: bool,
    failed: bool,
    busy: bool,
    state: State,
) -> None:
    views = [service(one) for one in services]
    assert state_of(container, views, ready=ready, failed=failed, busy=busy) == state


def test_a_record_survives_being_kept() -> None:
    full = replace(
        AUTH,
        purpose="log in",
        setup_done=("a", "b"),
        services={"backend": "key"},
        error=Failure("refused", "no", "so do"),
    )
    for record in (AUTH, full):
        assert typed(Record, asdict(record)) == record


def test_unknown_keys_are_refused_and_missing_ones_have_their_defaults() -> None:
    data = asdict(AUTH)
    del data["ready"], data["services"], data["setup_done"]
    assert typed(Record, data) == AUTH
    with pytest.raises(TypeError, match="colour is unknown"):
        typed(Record, data | {"colour": "red"})


def test_a_record_without_its_worktree_is_none() -> None:
    data = asdict(AUTH)
    del data["worktree"]
    with pytest.raises(TypeError):
        typed(Record, data)


@pytest.mark.parametrize(
    ("served", "preview"),
    [
        ((), "frontend"),
        (("backend",), "backend"),
        (("backend", "frontend"), "frontend"),
        (("docs", "backend"), "backend"),
    ],
)
def test_the_preview_is_where_a_service_listens(served: tuple[str, ...], preview: str) -> None:
    assert preview_of(["backend", "docs", "frontend"], served) == preview
    assert preview_of([], served) == ""
