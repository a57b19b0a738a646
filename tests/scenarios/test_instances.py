"""The life of instances, through the command, on the real engine."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.real_git import commit, git
from tests.running import CHECKOUT
from tests.scenarios.conftest import BACKEND, App, fetch

pytestmark = pytest.mark.engine

_TEXT, _COUNT = {"type": ["string", "null"]}, {"type": ["integer", "null"]}
_STATES = ["absent", "stopped", "starting", "running", "degraded", "failed"]
_SERVICE = {"name": {"type": "string"}, "state": {"type": "string"}, "pid": _COUNT}
_SERVICE |= {"exit_code": _COUNT, "restarts": {"type": "integer"}}
_INSTANCE = {
    **{key: {"type": "string"} for key in ("id", "branch", "base", "worktree", "created_at")},
    "state": {"enum": [*_STATES, None]},
    "slot": _COUNT,
    "ports": {"type": "object", "additionalProperties": {"type": "integer"}},
    "urls": {"type": "object", "additionalProperties": {"type": "string", "format": "uri"}},
    "services": {
        "type": ["array", "null"],
        "items": {
            "type": "object",
            "properties": _SERVICE,
            "required": [*_SERVICE],
            "additionalProperties": False,
        },
    },
    "database": {
        "type": ["object", "null"],
        "properties": {"engine": {"type": "string"}, "reset_at": _TEXT},
        "required": ["engine", "reset_at"],
    },
    "dirty": {"type": ["boolean", "null"]},
    "ahead": _COUNT,
    "behind": _COUNT,
    "purpose": _TEXT,
    "container": _TEXT,
}
DOCUMENT = {
    "type": "object",
    "properties": {
        "schema_version": {"const": 1},
        "verb": {"enum": ["list", "status"]},
        "exit_code": {"const": 0},
        "error": {"const": None},
        "results": {"const": []},
        "slots": {"type": "object", "required": ["total", "free"]},
        "instances": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "object", "properties": _INSTANCE, "required": [*_INSTANCE]},
        },
    },
    "required": ["schema_version", "verb", "exit_code", "error", "results", "instances"],
    "additionalProperties": False,
}


def test_three_instances_come_up_side_by_side_each_with_its_own_everything(app: App) -> None:
    found = app.up("auth", "payments", "search")
    assert {view["state"] for view in found.values()} == {"running"}
    ports = [port for view in found.values() for port in view["ports"].values()]
    assert len(set(ports)) == 6
    for name, view in found.items():
        assert view["branch"] == f"feature/{name}"
        assert git(app.tree(name), "branch", "--show-current").strip() == view["branch"]
        own = f"BACKEND_PORT={view['ports']['backend']}"
        assert own in (app.tree(name) / ".ports.env").read_text().splitlines()
        assert own in (app.tree(name) / ".env").read_text().splitlines()
        assert "treedock.yaml" in fetch(view["urls"]["frontend"])
        asked = app.inside(name, "sqlite3 app.db 'select p from t'")
        assert asked.stdout.strip() == str(view["ports"]["backend"])
        assert git(app.tree(name), "status", "--porcelain") == ""
    assert git(app.folder, "status", "--porcelain") == ""


def test_the_documents_have_the_promised_shape(app: App) -> None:
    app.up("auth")
    listed = app.cli("list", "--json").json
    jsonschema.validate(listed, DOCUMENT)
    jsonschema.validate(app.cli("status", "--json").json, DOCUMENT)
    quick = listed["instances"][0]
    assert (quick["dirty"], quick["ahead"], quick["behind"]) == (None, None, None)
    commit(app.tree("auth"), {"new.txt": "1"})
    (app.tree("auth") / "loose.txt").write_text("2")
    whole = app.status("auth")
    assert (whole["dirty"], whole["ahead"], whole["behind"]) == (True, 1, 0)
    assert whole["database"]["engine"] == "sqlite"
    assert whole["database"]["reset_at"]
    assert {service["state"] for service in whole["services"]} == {"running"}


def test_up_on_a_running_instance_changes_nothing_and_says_so(app: App) -> None:
    app.up("auth")
    before = app.containers(), app.services("auth")
    again = app.cli("up", "auth")
    assert again.exit_code == 0
    assert "auth: is up already; nothing had to change" in again.stderr
    assert (app.containers(), app.services("auth")) == before


def test_a_changed_set_up_step_runs_again_with_those_behind_it(app: App) -> None:
    steps = [{"run": f"echo {name} >> ~/steps"} for name in ("one", "two", "three")]
    app.configure(setup=steps)
    app.up("auth")
    containers = app.containers()
    app.configure(setup=[steps[0], {"run": "echo other >> ~/steps"}, steps[2]])
    app.up("auth")
    ran = app.inside("auth", "cat ~/steps").stdout.split()
    assert ran == ["one", "two", "three", "other", "three"]
    assert app.containers() == containers


def test_a_changed_service_is_restarted_without_the_others(app: App) -> None:
    app.up("auth")
    before, containers = app.services("auth"), app.containers()
    changed = dict(app.config["services"])
    changed["backend"] = {**changed["backend"], "run": f"{BACKEND} --bind 0.0.0.0"}
    app.configure(services=changed)
    app.up("auth")
    after = app.services("auth")
    assert after["backend"]["pid"] != before["backend"]["pid"]
    assert after["frontend"] == before["frontend"]
    assert app.containers() == containers


def test_a_changed_variable_reaches_files_and_services(app: App) -> None:
    app.up("auth")
    containers = app.containers()
    app.configure(env={"set": {"GREETING": "port ${BACKEND_PORT}"}})
    view = app.up("auth")["auth"]
    expected = f"port {view['ports']['backend']}"
    assert app.inside("auth", 'echo "$GREETING"').stdout.strip() == expected
    assert f"GREETING='{expected}'" in (app.tree("auth") / ".ports.env").read_text()
    assert app.containers() != containers


def test_down_keeps_everything_and_up_goes_on_with_it(app: App) -> None:
    before = app.up("auth")["auth"]
    app.inside("auth", "sqlite3 app.db 'insert into t values (77)'; echo mine > kept.txt")
    containers = app.containers()
    assert app.cli("down", "auth").exit_code == 0
    assert app.status("auth")["state"] == "stopped"
    assert app.containers() == containers
    with pytest.raises(OSError, match="refused"):
        fetch(before["urls"]["backend"])
    after = app.up("auth")["auth"]
    assert (after["slot"], after["container"]) == (before["slot"], before["container"])
    assert "77" in app.inside("auth", "sqlite3 app.db 'select * from t'").stdout
    assert (app.tree("auth") / "kept.txt").read_text() == "mine\n"


def test_services_are_told_to_stop_and_have_ended_when_down_returns(app: App) -> None:
    polite = "trap 'echo bye > /workspace/goodbye; exit 0' TERM; sleep 1000 & wait"
    app.configure(services={"worker": {"run": polite}})
    app.up("auth")
    app.cli("down", "auth")
    assert (app.tree("auth") / "goodbye").read_text() == "bye\n"
    assert app.services("auth")["worker"]["state"] == "stopped"


def test_a_service_that_will_not_stop_does_not_hold_up_down(app: App) -> None:
    deaf = "trap '' TERM; while :; do sleep 1; done"
    app.configure(services={"worker": {"run": deaf}})
    app.up("auth")
    answer = app.cli("down", "auth", "--timings")
    took = re.search(r"stopping \((\d+\.\d+) s\)", answer.stderr)
    assert took, answer.stderr
    assert float(took[1]) < 2  # what a person was promised; beyond it the engine kills
    worker = app.services("auth")["worker"]
    assert (worker["state"], worker["pid"]) == ("stopped", None)


def test_restart_of_one_service_leaves_the_other_alone(app: App) -> None:
    app.up("auth")
    before = app.services("auth")
    assert app.cli("restart", "auth", "backend").exit_code == 0
    after = app.services("auth")
    assert after["backend"]["pid"] != before["backend"]["pid"]
    assert after["frontend"]["pid"] == before["frontend"]["pid"]
    missing = app.cli("restart", "auth", "nothing")
    assert missing.exit_code == 3
    assert "backend, frontend" in missing.stderr


def test_db_reset_makes_the_database_anew_and_brings_the_services_back(app: App) -> None:
    app.up("auth")
    app.inside("auth", "sqlite3 app.db 'insert into t values (77)'")
    assert app.cli("db", "reset", "auth").exit_code == 0
    assert "77" not in app.inside("auth", "sqlite3 app.db 'select * from t'").stdout.split()
    assert {service["state"] for service in app.services("auth").values()} == {"running"}


def test_exec_passes_exit_code_streams_and_folder(app: App) -> None:
    app.up("auth")
    (app.tree("auth") / "sub").mkdir()
    assert app.inside("auth", "exit 37").exit_code == 37
    both = app.inside("auth", "echo out; echo err >&2")
    assert (both.stdout, both.stderr) == ("out\n", "err\n")
    piped = app.cli("exec", "auth", "--", "cat", stdin="from outside\n")
    assert piped.stdout == "from outside\n"
    here = app.cli("exec", "--", "pwd", cwd=app.tree("auth") / "sub")
    assert here.stdout == "/workspace/sub\n"
    document = app.cli("exec", "auth", "--json", "--", "sh", "-c", "echo out; exit 3")
    assert document.exit_code == 3
    assert (document.json["exit_code"], document.json["stdout"]) == (3, "out\n")


def on_a_terminal(app: App, *arguments: str, typed: bytes = b"") -> tuple[int, bytes]:
    """Exit code and screen of treedock on a terminal of its own, at which `typed` is typed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", *arguments],
        cwd=app.folder, env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.write(ours, typed)
    code = process.wait(60)
    os.close(theirs)
    screen = b""
    while select.select([ours], [], [], 0)[0]:
        try:
            screen += os.read(ours, 1024)
        except OSError:  # EIO: the other end is closed
            break
    os.close(ours)
    return code, screen


def test_exec_and_shell_have_a_terminal_where_the_caller_has_one(app: App) -> None:
    app.up("auth")
    code, screen = on_a_terminal(app, "exec", "auth", "--", "sh", "-c", "tty; exit 5")
    assert (code, b"/dev/pts/" in screen) == (5, True), screen
    typed = b"tty; echo in $((40 + 2)) $TREEDOCK_ID; exit 6\n"
    code, screen = on_a_terminal(app, "shell", "auth", typed=typed)
    assert (code, b"/dev/pts/" in screen, b"in 42 auth" in screen) == (6, True, True), screen


def test_on_a_terminal_too_a_command_gets_env_as_it_is_now(app: App) -> None:
    app.up("auth")
    with (app.tree("auth") / ".env").open("a") as file:
        file.write("LATER='to day'\nDOCKER_HOST=tcp://127.0.0.1:9\n")
    tell = 'echo "<$LATER $DOCKER_HOST>"'
    code, screen = on_a_terminal(app, "exec", "auth", "--", "sh", "-c", tell)
    assert (code, b"<to day tcp://127.0.0.1:9>" in screen) == (0, True), screen


def test_db_shell_is_the_client_of_the_database(app: App) -> None:
    app.up("auth")
    asked = app.cli("db", "shell", "auth", stdin="select 'the answer', 6 * 7;\n")
    assert (asked.exit_code, asked.stdout) == (0, "the answer|42\n")
    code, screen = on_a_terminal(app, "db", "shell", "auth", typed=b"select 6 * 7;\n.quit\n")
    assert (code, b"42" in screen) == (0, True), screen
    app.configure(database=None)
    refused = app.cli("db", "shell", "auth")
    assert refused.exit_code == 2
    assert "database:" in refused.stderr


def test_a_command_that_is_not_there_is_127_and_told_in_a_sentence(app: App) -> None:
    app.up("auth")
    said = "There is no command 'nosuchcmd' in the instance's image or PATH."
    piped = app.cli("exec", "auth", "--", "nosuchcmd")
    assert (piped.exit_code, piped.stdout, said in piped.stderr) == (127, "", True)
    code, screen = on_a_terminal(app, "exec", "auth", "--", "nosuchcmd")
    assert (code, said.encode() in screen, b"OCI" in screen) == (127, True, False), screen


def test_shell_reads_a_script_where_there_is_no_terminal(app: App) -> None:
    app.up("auth")
    piped = app.cli("shell", "auth", stdin="pwd\nexit 4\n")
    assert (piped.exit_code, piped.stdout) == (4, "/workspace\n")


def test_logs_are_kept_for_each_process(app: App, eventually: Callable[..., object]) -> None:
    app.configure(setup=[{"run": "echo set up; echo twice"}])
    view = app.up("auth")["auth"]
    fetch(view["urls"]["backend"])
    eventually(lambda: "GET /" in app.cli("logs", "auth", "backend").stdout)
    assert app.cli("logs", "auth", "setup-1").stdout == "set up\ntwice\n"
    assert app.cli("logs", "auth", "setup-1", "--tail", "1").stdout == "twice\n"
    unknown = app.cli("logs", "auth", "nothing")
    assert unknown.exit_code == 3
    assert "backend, frontend" in unknown.stderr


def test_a_followed_log_shows_what_is_added(app: App, eventually: Callable[..., object]) -> None:
    view = app.up("auth")["auth"]
    command = [sys.executable, "-u", "-m", "runner", "logs", "auth", "backend", "-f"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, cwd=app.folder, env=environment, stdout=subprocess.PIPE
    ) as following:
        assert following.stdout
        os.set_blocking(following.stdout.fileno(), False)
        seen = b""

        def shown() -> bool:
            nonlocal seen
            fetch(view["urls"]["backend"] + "/?asked-for-this")
            seen += following.stdout.read() or b"" if following.stdout else b""
            return b"asked-for-this" in seen

        eventually(shown, 20)
        following.kill()


def test_path_and_open_print_where_things_are(app: App) -> None:
    view = app.up("auth")["auth"]
    assert app.cli("path", "auth").stdout.strip() == str(app.tree("auth"))
    assert app.cli("open", "auth").stdout.strip() == view["urls"]["frontend"]
    assert app.cli("open", "auth", "backend").stdout.strip() == view["urls"]["backend"]


def test_inside_a_worktree_the_id_may_be_left_out(app: App) -> None:
    app.up("auth", "search")
    here = app.tree("auth")
    assert app.cli("path", cwd=here).stdout.strip() == str(here)
    assert [v["id"] for v in app.cli("status", "--json", cwd=here).json["instances"]] == ["auth"]
    assert app.cli("down", cwd=here).exit_code == 0
    assert app.status("auth")["state"] == "stopped"
    assert app.status("search")["state"] == "running"


def test_clean_removes_what_treedock_made_and_nothing_else(app: App) -> None:
    git(app.folder, "branch", "mine")
    (app.folder / "trees").mkdir()
    (app.folder / "trees" / "notes.txt").write_text("mine")
    refs = git(app.folder, "for-each-ref")
    worktrees = git(app.folder, "worktree", "list")
    files = files_of(app.folder)
    app.up("auth", "search")
    rehearsed = app.cli("clean", "auth", "--dry-run")
    assert f"would remove worktree {app.tree('auth')}" in rehearsed.stdout
    assert app.tree("auth").is_dir()
    assert app.cli("clean", "--all").exit_code == 0
    assert git(app.folder, "for-each-ref") == refs
    assert git(app.folder, "worktree", "list") == worktrees
    assert app.containers() == []
    assert files_of(app.folder) == files
    assert not list((app.folder / ".git" / "treedock" / "instances").iterdir())


def files_of(folder: Path) -> set[str]:
    """Every file of a checkout, its git directory included, but neither git's objects nor what
    treedock keeps for the repository as a whole."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    kept = {".git/info/exclude"} | {
        f".git/treedock/{name}"
        for name in ("locks/repository.lock", "repository.json", "config.json")
    }
    for_all = (".git/objects/", ".git/treedock/archive/")
    return {name for name in found - kept if not name.startswith(for_all)}


def test_clean_refuses_to_lose_work_and_names_it(app: App) -> None:
    app.up("auth", "search")
    (app.tree("auth") / "draft.txt").write_text("unsaved")
    commit(app.tree("search"), {"done.txt": "1"}, "finished the search")
    refused = app.cli("clean", "auth", "search")
    assert refused.exit_code == 4
    assert "draft.txt" in refused.stderr
    assert "finished the search" in refused.stderr
    assert (app.tree("auth") / "draft.txt").exists()
    git(app.folder, "merge", "--quiet", "--squash", "feature/search")
    git(app.folder, "commit", "--quiet", "--message", "search, squashed")
    held = app.cli("clean", "search", "auth")
    assert held.exit_code == 4
    assert "Nothing was removed; with --each this goes: search" in held.stderr
    assert app.tree("search").is_dir()
    found = app.cli("clean", "search", "auth", "--each", "--json")
    assert found.exit_code == 4
    (cleaned,) = found.json["cleaned"]
    assert (cleaned["id"], cleaned["ignored"]) == ("search", ["app.db"])
    assert found.refused == {"auth": "uncommitted_changes"}
    assert not app.tree("search").exists()
    assert app.cli("clean", "auth", "--force").exit_code == 0


def test_a_deleted_worktree_is_made_set_up_and_filled_again(app: App) -> None:
    app.up("auth")
    subprocess.run(["rm", "-rf", str(app.tree("auth"))], check=True)
    assert "no worktree" in app.cli("list").stdout
    assert app.up("auth")["auth"]["state"] == "running"
    assert app.inside("auth", "ls; sqlite3 app.db 'select * from t'").exit_code == 0


def test_no_process_of_an_instance_becomes_a_zombie(app: App) -> None:
    app.up("auth")
    app.inside("auth", "sh -c 'sleep 0.1 & exec true'; sh -c '(sleep 0.05 &)'")
    app.cli("restart", "auth", "backend")
    states = app.inside("auth", "sleep 0.3; ps -eo stat=").stdout.split()
    assert states
    assert not [state for state in states if state.startswith("Z")]


def test_a_path_that_is_rewritten_leads_to_the_worktree_on_both_sides(app: App) -> None:
    commit(app.folder, {".gitignore": "*.json\n", "tools/serve": "a tool\n"}, "tools")
    (app.folder / ".mcp.json").write_text(f"{app.folder}/tools/serve")
    app.configure(env={"rewrite": [".mcp.json"]}, services=None, database=None)
    app.up("auth")
    named = (app.tree("auth") / ".mcp.json").read_text()
    assert Path(named).read_text() == "a tool\n"
    script = f'cat "$(cat .mcp.json)"; cd {app.tree("auth")} && git status --short && touch new'
    answer = app.inside("auth", script)
    assert (answer.exit_code, answer.stdout) == (0, "a tool\n"), answer.stderr
    assert (app.tree("auth") / "new").exists()


def test_completion_and_td_work_in_bash(app: App, tmp_path: Path) -> None:
    app.up("auth")
    binary = Path(sys.executable).parent
    script = 'eval "$(treedock shell-init bash)"; td auth && pwd; td nothing; echo "then $?"'
    environment = os.environ | {"PATH": f"{binary}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=app.folder, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [str(app.tree("auth")), "then 3"], done.stderr
