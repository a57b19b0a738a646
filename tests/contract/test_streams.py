"""What an engine goes on saying, and terminals inside, asked of the fake and the real one alike."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import pytest

from runner.adapters import cancellation
from runner.adapters.cancellation import Cancelled, Token
from runner.adapters.engine.protocol import Engine, Exec, Filter, Stats, Terminal
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec
from tests.contract.conftest import RUNNING, Create
from tests.waiting import eventually


def broken_off(listen: Callable[[], Iterator[object]]) -> bool:
    """Whether a cancellation ends the wait for something that does not come."""
    token, waiting = Token(), threading.Event()

    def wait() -> None:
        with cancellation.within(token):
            found = listen()
            waiting.set()
            next(found)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(wait)
        waiting.wait(10)
        token.cancel()
        return isinstance(running.exception(10), Cancelled)


def test_what_happens_to_wanted_containers_is_told_in_its_order(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    began = time.time()
    key = spec.labels[names.LABEL_REPOSITORY]
    other = replace(spec, name=f"{spec.name}.other", ports=())
    other = replace(other, labels={**spec.labels, names.LABEL_REPOSITORY: "another"})
    with engine.events(Filter(repository=key)) as events:
        engine.start(create(other))
        made = create(replace(spec, ports=()))
        engine.start(made)
        engine.stop(made, 0)
        engine.remove(made)
        wanted = (event for event in events if event.action in ("start", "die", "destroy"))
        told = list(islice(wanted, 3))
    assert [event.action for event in told] == ["start", "die", "destroy"]
    assert {event.container for event in told} == {made}
    assert all(event.labels[names.LABEL_INSTANCE] == "auth" for event in told)
    assert began - 1 < told[0].at <= told[2].at < time.time() + 1
    with engine.events(Filter(repository=key), since=began - 1) as events:
        assert any(event.action == "start" for event in events)


def test_a_wait_for_events_is_broken_off(engine: Engine) -> None:
    def listen() -> Iterator[object]:
        with engine.events(Filter(repository="nobody's")) as events:
            yield from events

    assert broken_off(listen)


def test_a_log_is_followed_to_its_end_and_in_whole_lines(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    script = "echo old; echo before; sleep 0.3; printf 'af'; sleep 0.1; echo ter; sleep 0.2"
    made = create(replace(spec, ports=(), command=("sh", "-c", script)))
    engine.start(made)
    assert eventually(lambda: engine.last_lines(made, 5)[:2] == ["old", "before"])
    with engine.follow_log(made, 1) as lines:
        assert list(lines)[-2:] == ["before", "after"]


def test_a_wait_for_a_log_is_broken_off(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(replace(spec, ports=(), command=("sleep", "60")))
    engine.start(made)

    def listen() -> Iterator[object]:
        with engine.follow_log(made, 0) as lines:
            yield from lines

    assert broken_off(listen)


def test_what_a_container_uses_is_counted(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(replace(spec, ports=()))
    assert engine.stats(made) == Stats(0.0, 0, 0, 0)
    engine.start(made)
    script = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exec sleep 60"
    engine.exec_detached(made, Exec(["sh", "-c", script]))
    assert eventually(lambda: engine.stats(made).cpu_seconds > 0.02)
    found = engine.stats(made)
    assert 2**12 < found.memory < found.memory_limit == spec.limits.memory
    assert 2 <= found.pids < 10


def screen(terminal: Terminal, until: str) -> str:
    """What is printed, up to that text or the end."""
    text = ""
    while until not in text:
        data = terminal.read()
        if not data:
            break
        text += data.decode()
    return text


def test_a_command_at_a_terminal_reads_prints_and_knows_its_size(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    script = 'test -t 0 && echo at a terminal; read name; echo "[$name]"; stty size; exit 3'
    with engine.terminal(made, Exec(["sh", "-c", script]), rows=20, columns=70) as terminal:
        assert "at a terminal\r\n" in screen(terminal, "terminal\r\n")
        assert terminal.exit_code() is None
        terminal.resize(30, 90)
        terminal.write(b"Ada\n")
        assert "[Ada]\r\n30 90\r\n" in screen(terminal, "30 90\r\n")
        assert terminal.read() == b""
        assert eventually(lambda: terminal.exit_code() == 3)


def test_a_command_whose_terminal_goes_is_ended(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    deaf = "trap '' HUP TERM; echo up; while :; do sleep 73; done"
    command = Exec(["sh", "-c", deaf])
    with engine.terminal(made, command, rows=20, columns=70) as terminal:
        screen(terminal, "up")
    left = engine.exec(made, Exec(["sh", "-c", RUNNING, "sh", "sleep73"]))
    assert left.output.split() == []
    assert eventually(lambda: terminal.exit_code() is not None)


def test_what_cannot_start_at_a_terminal_prints_why(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)
    with engine.terminal(made, Exec(["absent"]), rows=20, columns=70) as terminal:
        assert "absent" in screen(terminal, "\0")
        assert eventually(lambda: terminal.exit_code() in (126, 127))


def test_a_wait_at_a_terminal_is_broken_off(
    engine: Engine, spec: ContainerSpec, create: Create
) -> None:
    made = create(spec)
    engine.start(made)

    def listen() -> Iterator[object]:
        with engine.terminal(made, Exec(["sleep", "60"]), rows=20, columns=70) as terminal:
            while data := terminal.read():
                yield data

    assert broken_off(listen)


@pytest.mark.parametrize("lines", [0, 2])
def test_of_a_log_as_many_lines_as_asked_for_come(
    engine: Engine, spec: ContainerSpec, create: Create, lines: int
) -> None:
    made = create(replace(spec, ports=(), command=("sh", "-c", "echo 1; echo 2; echo 3")))
    engine.start(made)
    assert eventually(lambda: engine.last_lines(made, 9) == ["1", "2", "3"])
    assert engine.last_lines(made, lines) == ["1", "2", "3"][3 - lines :]
