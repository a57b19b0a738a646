"""Where git-lfs on this machine sends requests is base's decision, not a branch's."""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.merge import merge
from runner.domain.requests.landing import Merge
from tests.inside import Inside
from tests.real_git import commit, git, write
from tests.running import CHECKOUT
from tests.shop import Shop

pytestmark = pytest.mark.deep

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'1' * 64}\nsize 3\n"


class Server(ThreadingHTTPServer):
    """A server that has nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Nothing)
        self.asked: list[str] = []


class Nothing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        self.send_error(404)

    do_GET = do_POST

    def log_message(self, *words: object) -> None:
        """Not in the test's output."""


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def large(shop: Shop) -> Shop:
    """The shop on a machine with Git LFS."""
    subprocess.run([CHECKOUT / "tests" / "install-lfs"], check=True)
    config = {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f",
              "process": "git-lfs filter-process"}  # fmt: skip
    for key, value in config.items():
        git(shop.repo, "config", f"filter.lfs.{key}", value)
    return shop


def address(server: Server, name: str) -> str:
    return f"[lfs]\n\turl = http://127.0.0.1:{server.server_port}/{name}\n"


def test_a_branch_does_not_decide_where_git_lfs_sends_requests(large: Shop, server: Server) -> None:
    url = address(server, "steered")
    git(large.repo, "switch", "--quiet", "-c", "feature/auth")
    write(large.repo, {"big.bin": POINTER})
    commit(large.repo, {".lfsconfig": url, ".gitattributes": "*.bin filter=lfs\n"})
    plain = ("-c", "filter.lfs.clean=", "-c", "filter.lfs.process=")
    git(large.repo, *plain, "add", "big.bin")
    git(large.repo, *plain, "commit", "--quiet", "--message", "a pointer")
    git(large.repo, "switch", "--quiet", "main")
    large.up(InstanceRequest("auth", attach=True))
    assert (large.tree("auth") / "big.bin").read_text() == POINTER
    assert any(".lfsconfig is not that of main" in said for said in large.warnings)
    tested = Merge(gates=("grep -q steered .lfsconfig && grep -q oid big.bin && false",))
    (merged,) = merge(large.project, ["auth"], tested, large.emit)
    assert [one.state for one in merged.outcomes] == ["red"]
    assert server.asked == []
    commit(large.repo, {".lfsconfig": url}, "base has it")
    git(large.repo, "branch", "feature/payments", "feature/auth")
    large.refusal(InstanceRequest("payments", attach=True))
    assert "/steered/objects/batch" in server.asked


def test_what_is_committed_inside_is_asked_for_at_bases_address(
    large: Shop, server: Server
) -> None:
    attributes = {".gitattributes": "*.bin filter=lfs\n"}
    commit(large.repo, {**attributes, ".lfsconfig": address(server, "base")})
    large.up("auth")
    auth = Inside(large)
    auth.commit({".lfsconfig": address(server, "steered")}, "steered")
    blob = auth(f"printf '{POINTER}' | git hash-object -w --stdin")
    auth(f"git update-index --add --cacheinfo 100644,{blob},big.bin; git commit -qm big")
    write(auth.tree, {"big.bin": POINTER, ".lfsconfig": address(server, "not-committed")})
    auth.sync()
    assert set(server.asked) == {"/base/objects/batch"}
