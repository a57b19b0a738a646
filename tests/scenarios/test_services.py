"""Services that do not get ready: what is said, and how soon."""

import time

import pytest

from tests.real_git import commit
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

SERVER = """\
import http.server, os, ssl, sys

class Fails(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("no such table: users", flush=True)
        self.send_error(500)

server = http.server.HTTPServer(("0.0.0.0", int(os.environ["BACKEND_PORT"])), Fails)
if sys.argv[1:] == ["tls"]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert", "key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x "
    "-keyout key -out cert 2>/dev/null"
)


def test_a_service_that_fails_is_told_by_what_it_did_after_a_short_while(app: App) -> None:
    commit(app.folder, {"server.py": SERVER}, "server")
    app.configure(database=None, services=None)
    for run, said, also in (
        ("python3 server.py >log 2>&1 & sleep 1", "has to stay in the foreground", "-d, --daemon"),
        ("exec python3 -u server.py", "answered 500 for", "no such table: users"),
        (f"{CERTIFICATE}; exec python3 server.py tls", "answers in TLS at https://", "ready.http"),
    ):
        ready = {"http": "/", "timeout": 180}
        app.configure(services={"backend": {"run": run, "port": "backend", "ready": ready}})
        begun = time.monotonic()
        answer = app.cli("up", "auth", timeout=600)
        assert (answer.exit_code, said in answer.stderr, also in answer.stderr) == (
            *(1, True, True),
        ), answer.stderr
        assert time.monotonic() - begun < 90
        assert app.cli("exec", "auth", "--", "sh", "-c", "pkill python3; true").exit_code == 0
