"""This host, asked through files and sockets that the tests made."""

import http.server
import os
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.adapters.engine import unix
from runner.adapters.host import machine
from runner.domain.errors import EngineUnavailable, Unavailable

# Answers a ping as an engine does, at the socket named by its argument.
ENGINE = """
import http.server, socketserver, sys
class Ping(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")
    def address_string(self):
        return "local"
class Server(socketserver.UnixStreamServer):
    pass
print("API listen on", sys.argv[1], flush=True)
Server(sys.argv[1], Ping).serve_forever()
"""


@pytest.fixture
def engine_socket(tmp_path: Path) -> Iterator[Path]:
    """A socket behind which something speaks HTTP and says 200."""

    class Ping(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_ping" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    path = tmp_path / "engine.sock"
    with socketserver.UnixStreamServer(os.fspath(path), Ping) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield path
        server.shutdown()
        thread.join()


def test_an_engine_that_answers_a_ping_is_seen(engine_socket: Path) -> None:
    assert machine.socket_state(engine_socket) == "answers"


def test_no_socket_is_absent(tmp_path: Path) -> None:
    assert machine.socket_state(tmp_path / "none.sock") == "absent"


def test_a_socket_file_that_a_dead_engine_left_refuses(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    assert machine.socket_state(path) == "refused"


def test_a_socket_that_accepts_and_says_nothing_is_silent(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(path))
        silent.listen()
        assert machine.socket_state(path, timeout=0.1) == "silent"


@pytest.mark.parametrize(
    ("docker_host", "wanted"),
    [
        (None, Path("/var/run/docker.sock")),
        ("", Path("/var/run/docker.sock")),
        ("unix:///run/user/1000/docker.sock", Path("/run/user/1000/docker.sock")),
        ("tcp://10.0.0.7:2375", None),
        ("ssh://ada@build", None),
    ],
)
def test_the_engines_socket_is_where_docker_host_says(
    docker_host: str | None, wanted: Path | None
) -> None:
    environment = {} if docker_host is None else {"DOCKER_HOST": docker_host}
    assert unix.engine_socket(environment) == wanted


def test_the_process_of_a_listening_socket_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        inode = os.fstat(server.fileno()).st_ino
        own = Path("/proc/self/comm").read_text().strip()
        assert machine.processes_of({inode, 1}) == {inode: own}


def test_what_the_system_does_not_say_is_empty(tmp_path: Path) -> None:
    assert machine.text_of(tmp_path / "nothing") == ""
    assert machine.processes_of({4711}, proc=tmp_path) == {}


def test_the_pid_file_of_a_living_dockerd_is_kept(tmp_path: Path) -> None:
    proc, run = _machine_with(tmp_path, pid=42, command="dockerd")
    assert machine.is_starting(run, proc)
    machine.forget_dead(run, proc)
    assert (run / "docker.pid").exists()


@pytest.mark.parametrize("pid", [42, 43], ids=["taken by another program", "of no process"])
def test_the_pid_file_of_a_killed_dockerd_is_removed(tmp_path: Path, pid: int) -> None:
    proc, run = _machine_with(tmp_path, pid=42, command="bash")
    (run / "docker.pid").write_text(str(pid))
    assert not machine.is_starting(run, proc)
    machine.forget_dead(run, proc)
    assert not (run / "docker.pid").exists()


def test_a_command_tells_its_lines_and_sees_no_terminal_questions() -> None:
    lines: list[str] = []
    machine.run(["sh", "-c", "echo one; echo two >&2; echo $DEBIAN_FRONTEND"], lines.append)
    assert lines == ["one", "two", "noninteractive"]


def test_a_command_that_fails_is_named_with_its_exit_code_and_last_lines() -> None:
    with pytest.raises(Unavailable, match=r"exit code 100\)(.|\n)*E: no such package"):
        machine.run(["sh", "-c", "echo E: no such package; exit 100"], lambda line: None)


def test_a_command_that_is_not_there_is_named() -> None:
    with pytest.raises(Unavailable, match="no-such-command"):
        machine.run(["no-such-command"], lambda line: None)


def test_a_started_engine_lives_in_a_session_of_its_own(tmp_path: Path) -> None:
    path, log = tmp_path / "new.sock", tmp_path / "logs" / "engine.log"
    process = machine.start_engine([sys.executable, "-c", ENGINE, os.fspath(path)], path, log)
    try:
        assert machine.socket_state(path) == "answers"
        assert os.getsid(process.pid) == process.pid
        assert "API listen on" in log.read_text()
    finally:
        process.terminate()
        process.wait()


def test_an_engine_that_ends_at_once_is_reported_with_its_last_words(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo failed to start daemon: no cgroups; exit 1"]
    with pytest.raises(EngineUnavailable, match="no cgroups") as caught:
        machine.start_engine(argv, tmp_path / "never.sock", tmp_path / "engine.log")
    assert str(tmp_path / "engine.log") in caught.value.hint


def test_an_engine_that_never_answers_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    argv = ["sh", "-c", "echo loading; exec sleep 1000"]
    with pytest.raises(EngineUnavailable, match=r"within 0.3 seconds(.|\n)*loading"):
        machine.start_engine(argv, tmp_path / "never.sock", tmp_path / "engine.log", timeout=0.3)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('NAME="Debian GNU/Linux"\nID=debian\n', True),
        ("ID=ubuntu\nID_LIKE=debian\n", True),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', True),
        ('ID="fedora"\n', False),
        ("", False),
    ],
)
def test_debian_and_its_children_are_recognised(text: str, wanted: bool) -> None:
    assert machine.is_debian(text) is wanted


def _machine_with(folder: Path, *, pid: int, command: str) -> tuple[Path, Path]:
    """A /proc with one process, and a run folder whose pid file names it."""
    (folder / "proc" / str(pid)).mkdir(parents=True)
    (folder / "proc" / str(pid) / "comm").write_text(f"{command}\n")
    (folder / "run").mkdir()
    (folder / "run" / "docker.pid").write_text(str(pid))
    return folder / "proc", folder / "run"
