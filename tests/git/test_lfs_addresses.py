"""Where git-lfs on this machine sends requests is base's decision, not a branch's."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runner.controller.merge import Wanted, merge
from runner.controller.worktree import Wish
from tests.real_git import commit, git
from tests.shop import Shop

pytestmark = [
    pytest.mark.deep,
    pytest.mark.skipif(shutil.which("git-lfs") is None, reason="there is no git-lfs"),
]

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


def test_a_branch_does_not_decide_where_git_lfs_sends_requests(shop: Shop, server: Server) -> None:
    config = {"clean": "git-lfs clean -- %f", "smudge": "git-lfs smudge -- %f",
              "process": "git-lfs filter-process"}  # fmt: skip
    url = f"[lfs]\n\turl = http://127.0.0.1:{server.server_port}/steered\n"
    git(shop.repo, "switch", "--quiet", "-c", "feature/auth")
    commit(
        shop.repo, {"big.bin": POINTER, ".lfsconfig": url, ".gitattributes": "*.bin filter=lfs\n"}
    )
    git(shop.repo, "switch", "--quiet", "main")
    for key, value in config.items():
        git(shop.repo, "config", f"filter.lfs.{key}", value)
    shop.up(Wish("auth", attach=True))
    assert (shop.tree("auth") / "big.bin").read_text() == POINTER
    assert any(".lfsconfig is not that of main" in said for said in shop.warnings)
    tested = Wanted(gates=("grep -q steered .lfsconfig && grep -q oid big.bin && false",))
    merged = merge(shop.project, ["auth"], tested, shop.events.append)
    assert [one.state for one in merged.outcomes] == ["red"]
    assert server.asked == []
    commit(shop.repo, {".lfsconfig": url}, "base has it")
    git(shop.repo, "branch", "feature/payments", "feature/auth")
    shop.refusal(Wish("payments", attach=True))
    assert "/steered/objects/batch" in server.asked
