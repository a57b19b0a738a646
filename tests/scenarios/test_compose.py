"""`treedock compose`: the same instance without treedock, brought up by Compose."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from runner.adapters.engine.protocol import Exec
from tests.real_git import commit
from tests.running import CHECKOUT
from tests.scenarios.conftest import App, fetch

pytestmark = pytest.mark.engine

SIDECARS = {
    "postgres": {"image": "postgres", "env": {"POSTGRES_PASSWORD": "a$b", "POSTGRES_DB": "shop"}},
    "redis": {"image": "redis"},
}
# It tells what it finds in its environment, in git, in its folder and in its database.
PAGE = """
import http.server, os, socket, subprocess
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        cache = socket.create_connection(('localhost', 6379), 5)
        cache.sendall(b'GET who\\r\\n')
        socket.create_connection(('localhost', 5432), 5)
        branch = subprocess.check_output(['git', 'branch', '--show-current'], text=True)
        names = ('SECRET', 'TREEDOCK_ID', 'PRICE', 'BACKEND_PORT', 'PGPASSWORD', 'HOME')
        told = [os.environ.get(name) for name in names]
        told += [branch, open('notes').read(), cache.recv(99), os.getuid(), os.getcwd()]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(repr(told).encode())
    log_message = lambda *_: None
http.server.HTTPServer(('', int(os.environ['BACKEND_PORT'])), Page).serve_forever()
"""
SET = (
    "import socket; s = socket.create_connection(('localhost', 6379), 5); "
    "s.sendall(b'SET who auth\\r\\nSAVE\\r\\n'); s.recv(99)"
)
# Of the second and of the first version of control groups.
LIMITS = (
    "cd /sys/fs/cgroup; cat memory.max pids.max 2>/dev/null || "
    "cat memory/memory.limit_in_bytes pids/pids.max"
)
Eventually = Callable[..., object]


class Compose:
    """Debian's docker-compose, on the file in `folder` as a project of its own."""

    def __init__(self, folder: Path, project: str) -> None:
        self.folder, self.project = folder, project

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            ["docker-compose", "-p", self.project, "-f", "compose.yaml", *arguments],
            cwd=self.folder, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def compose(tmp_path: Path) -> Iterator[Compose]:
    subprocess.run([CHECKOUT / "tests" / "install-compose"], check=True)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    found = Compose(folder, f"alone{abs(hash(tmp_path))}")
    yield found
    found("down", "-v", "--timeout", "2")


def test_compose_serves_the_same_page_from_the_printed_file(
    app: App, compose: Compose, eventually: Eventually
) -> None:
    (app.folder / ".env").write_text("SECRET='of nobody else'\n")
    (app.folder / ".git" / "info" / "exclude").write_text("/.env\n")
    backend = {"run": f'python3 -c "{PAGE}"', "port": "backend", "restart": "on-failure"}
    frontend = {**app.config["services"]["frontend"], "in": "web"}
    app.configure(
        services={"backend": backend, "frontend": frontend},
        sidecars=SIDECARS,
        database={"engine": "postgres", "reset": "echo reset > notes"},
        setup=[{"run": "echo front > web/index.html", "produces": ["web"], "key": ["README.md"]}],
        env={"set": {"PRICE": "3 $$"}},
    )
    view = app.up("auth")["auth"]
    app.cli("exec", "auth", "--", "python3", "-c", SET)
    before = {name: fetch(url) for name, url in view["urls"].items()}
    answer = app.cli("compose", "auth")
    assert answer.exit_code == 0, answer.stderr
    assert app.cli("down", "auth").exit_code == 0
    assert "of nobody else" not in answer.stdout
    assert "target: /workspace/web}" in answer.stdout  # what set-up made, copied on write

    (compose.folder / "compose.yaml").write_text(answer.stdout)
    compose("up", "-d")
    for name, url in view["urls"].items():
        eventually(lambda url=url: answers(url), 60)
        assert fetch(url) == before[name]
    assert "'of nobody else', 'auth', '3 $'" in before["backend"]
    assert "a$b" in before["backend"]

    refused = app.cli("up", "auth")
    assert (refused.exit_code, "docker compose down" in refused.stderr) == (4, True)
    compose("down", "-v")
    assert app.up("auth")["auth"]["state"] == "running"
    assert fetch(view["urls"]["backend"]) == before["backend"]


def answers(url: str) -> bool:
    try:
        return bool(fetch(url))
    except OSError:
        return False


def test_the_containers_of_compose_are_as_tight(app: App, compose: Compose) -> None:
    app.configure(sidecars=SIDECARS, database=None)
    app.up("auth")
    text = app.cli("compose", "auth").stdout
    app.cli("down", "auth")
    (compose.folder / "compose.yaml").write_text(text)
    compose("up", "-d")
    names = yaml.safe_load(text)["services"]
    assert set(names) == {"instance", "backend", "frontend", "postgres", "redis"}
    for name in names:
        container = compose("ps", "-q", name).strip()
        status = app.engine.exec(container, Exec(["cat", "/proc/1/status"])).output.decode()
        found = dict(line.split(":", 1) for line in status.splitlines())
        assert found["CapEff"].strip() == "0" * 16, name
        assert found["NoNewPrivs"].strip() == "1", name
        printed = app.engine.exec(container, Exec(["sh", "-c", LIMITS])).output.decode().split()
        assert printed == [str(256 * 2**20), "100"], name


COMPOSED = """
services:
  web:
    build: .
    command: sh -c "python3 serve.py 8000"
    ports: ["8000:8000"]
    environment: {CACHE: "redis:6379", GREETING: "${GREETING:-hello}"}
  migrate:
    build: .
    command: sh -c "env | grep ^PG > reset"
    depends_on: [db]
  db: {image: postgres, environment: {POSTGRES_PASSWORD: a, POSTGRES_DB: shop}}
  redis: {image: redis}
"""
SERVE = """
import http.server, os, socket, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        host, port = os.environ["CACHE"].split(":")
        cache = socket.create_connection((host, int(port)), 5)
        cache.sendall(b"PING\\r\\n")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["GREETING"].encode() + b" " + cache.recv(9))
http.server.HTTPServer(("", int(sys.argv[1])), Page).serve_forever()
"""


def test_a_project_of_compose_comes_up_as_init_proposes(app: App) -> None:
    commit(app.folder, {"compose.yaml": COMPOSED, "serve.py": SERVE})
    answer = app.cli("init", "--force")
    assert answer.exit_code == 0, answer.stderr
    proposed = yaml.safe_load((app.folder / "treedock.yaml").read_text())
    app.config = proposed | {key: app.config[key] for key in ("ports", "limits")}
    app.configure()
    view = app.up("auth")["auth"]
    assert view["state"] == "running"
    assert fetch(view["urls"]["backend"]) == "hello +PONG\r\n"
    assert "PGDATABASE=shop" in (app.tree("auth") / "reset").read_text()
