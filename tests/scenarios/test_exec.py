"""`exec` and the process it is: signals, closed streams, readers that end, output without end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.running import CHECKOUT
from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine

COMMAND = [sys.executable, "-m", "runner"]
MEMORY = 700 * 2**20  # bytes of address space; what is printed below is more


@pytest.fixture
def app(app: App) -> App:
    app.configure(services=None, database=None)
    app.up("auth")
    return app


def begin(app: App, *arguments: str, shell: str = 'exec "$@"') -> "subprocess.Popen[bytes]":
    """Start treedock, by a shell line that may bend its streams."""
    return subprocess.Popen(
        ["sh", "-c", shell, "sh", *COMMAND, *arguments],
        cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(app: App, *arguments: str, shell: str = 'exec "$@"') -> tuple[int, bytes, bytes]:
    with begin(app, *arguments, shell=shell) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def running(app: App, words: str) -> bool:
    """Whether a process with these words runs inside."""
    return words in app.inside("auth", "ps -eo args=").stdout.splitlines()


def test_a_command_ends_with_the_exec_that_runs_it_and_with_its_terminal(
    app: App, eventually: Callable[..., object]
) -> None:
    script = 'trap "echo $0 >told; exit" TERM HUP; touch $0; sleep 6$0 & wait'
    for kind in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        name = str(int(kind))
        how = ("--json",) if kind is signal.SIGTERM else ()
        with begin(app, "exec", "auth", *how, "--", "sh", "-c", script, name) as process:
            eventually((app.tree("auth") / name).exists, 30)
            process.send_signal(kind)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 128 + kind, err
        assert err == b""
        assert not how or b'"exit_code": 143' in out
        assert not running(app, f"sleep 6{name}")
        if kind is not signal.SIGINT:
            assert (app.tree("auth") / "told").read_text() == f"{name}\n"
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        ["setsid", "-c", *COMMAND, "exec", "auth", "--", "sh", "-c", "touch on; sleep 71"],
        cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    eventually((app.tree("auth") / "on").exists, 30)
    os.close(ours)
    assert process.wait(60)
    assert not running(app, "sleep 71")


def test_output_is_bounded_closed_streams_are_dev_null_and_a_reader_that_ends_is_no_failure(
    app: App,
) -> None:
    script = "head -c 90000000 /dev/zero; echo end; echo err >&2; exit 3"
    limited = f'ulimit -v {MEMORY // 1024}; exec "$@"'
    code, out, err = ended(app, "exec", "auth", "--json", "--", "sh", "-c", script, shell=limited)
    assert code == 3, err
    document = json.loads(out)
    assert (document["exit_code"], document["truncated"]) == (3, True)
    assert (len(document["stdout"]), document["stderr"]) == (2**20, "err\n")
    assert document["stdout"].endswith("\0end\n")
    assert document["sizes"]["stdout"] == 90_000_004
    assert document["dropped"]["stdout"] == 90_000_004 - 64 * 2**20
    assert Path(document["files"]["stdout"]).stat().st_size == 64 * 2**20
    short = app.cli("exec", "auth", "--json", "--", "echo", "hi").json
    assert (short["stdout"], short["truncated"], short["files"]) == ("hi\n", False, {})
    _require_closed_streams_to_be_as_dev_null(app)


def _require_closed_streams_to_be_as_dev_null(app: App) -> None:
    for stream, kept in (("2", 1), ("", 0), ("0", 1)):
        closed = f'exec "$@" {stream}>&-' if stream != "0" else 'exec "$@" <&-'
        code, out, err = ended(app, "exec", "auth", "--", "echo", "hi", shell=closed)
        assert (code, out, err) == (0, b"hi\n" * kept, b"")
    for verb in (("list",), ("status",), ("path", "auth"), ("logs", "auth"), ("down", "auth")):
        code, _, err = ended(app, *verb, shell='exec "$@" >&- 2>&-')
        assert (code, err) == (0, b""), verb
    app.up("auth")
    for words in (["list"], ["exec", "auth", "--", "yes"]):
        code, _, err = ended(app, *words, shell='{ "$@"; echo $? >&2; } | true')
        assert err == b"141\n", words
    assert not running(app, "yes")
