"""What judges a candidate is not steered by it."""

import tempfile
from pathlib import Path

import pytest

from runner.controller.landing import gates
from runner.controller.landing.gates import Verdict
from runner.domain.config.sections import Gate
from tests.real_git import commit, git
from tests.shop import Shop


def judged(shop: Shop, candidate: str, *commands: str, **setup: object) -> Verdict:
    """The gates `commands` at a candidate, under main's configuration with these keys."""
    shop.configure(**setup)
    if git(shop.repo, "status", "--porcelain"):
        git(shop.repo, "commit", "--quiet", "--all", "--message", "configured")
    wanted = [Gate(run=command) for command in commands]
    log = Path(tempfile.mkdtemp(dir=shop.repo.parent))
    main = git(shop.repo, "rev-parse", "main").strip()
    return gates.run_gates(
        shop.project, "x.0", candidate, wanted, base_commit=main, log=log, emit=shop.emit
    )


@pytest.fixture
def candidate(shop: Shop) -> str:
    return on_top(shop, {"a.txt": "a\n"})


def on_top(shop: Shop, files: dict[str, str]) -> str:
    """A commit on top of main, which stays where it is."""
    git(shop.repo, "switch", "--quiet", "--detach")
    made = commit(shop.repo, files)
    git(shop.repo, "switch", "--quiet", "main")
    return made


def test_a_tracked_env_file_of_a_candidate_gives_no_loader_variables(shop: Shop) -> None:
    steered = "PATH=/evil\nPYTHONPATH=/evil\nNODE_OPTIONS=--require=/evil\nAPP_COLOUR=blue\n"
    candidate = on_top(shop, {".env": steered})
    gate = "printenv PATH PYTHONPATH NODE_OPTIONS; printenv APP_COLOUR"
    verdict = judged(shop, candidate, gate, setup=[{"run": f"{gate} > .treedock/seen || true"}])
    assert verdict.green
    assert "evil" not in (verdict.log / "gate-1.log").read_text()
    assert "blue" in (verdict.log / "gate-1.log").read_text()


def test_the_loader_variables_of_bases_own_env_file_stay_as_base_has_them(shop: Shop) -> None:
    commit(shop.repo, {".env": "PYTHONPATH=src\nNODE_OPTIONS=--no-warnings\n"})
    candidate = on_top(shop, {".env": "PYTHONPATH=/evil\nAPP_COLOUR=blue\n"})
    gate = 'test "$PYTHONPATH" = src && test "$APP_COLOUR" = blue && test -z "$NODE_OPTIONS"'
    assert judged(shop, candidate, gate).green


@pytest.mark.parametrize(
    ("does", "named"),
    [
        ("echo b > a.txt", "a.txt"),
        ("echo x > planted.py", "planted.py"),
        ("rm a.txt", "a.txt"),
        ("git update-index --force-remove a.txt", "a.txt (in the index)"),
        ("git update-index --skip-worktree README.md", "README.md (in the index)"),
        ("git symbolic-ref HEAD refs/heads/other", "HEAD"),
    ],
)
def test_what_set_up_or_a_gate_changes_of_a_candidate_is_red(
    shop: Shop, candidate: str, does: str, named: str
) -> None:
    inside = f"export GIT_DIR=$PWD/../git GIT_WORK_TREE=$PWD; {does}"
    by_gate = judged(shop, candidate, inside, "true")
    assert not by_gate.green
    assert "after gate-1" in by_gate.message
    assert named in by_gate.message
    by_setup = judged(shop, candidate, "touch ../judged", setup=[{"run": inside}])
    assert not by_setup.green
    assert "after set-up" in by_setup.message
    assert not (by_setup.log / "gate-1.log").exists()


def test_what_git_ignores_may_change(shop: Shop) -> None:
    candidate = on_top(shop, {".gitignore": "build/\n"})
    assert judged(shop, candidate, "mkdir build && touch build/x", "test -f build/x").green


@pytest.mark.parametrize("step", ["setup", "verify", "reset"])
def test_the_exit_code_of_what_runs_before_the_gates_cannot_be_forged(
    shop: Shop, candidate: str, step: str
) -> None:
    command = "R=$PWD/../run; for n in setup-1 verify reset; do echo '0 ' > $R/$n.exit; done; "
    command += "echo it failed; exit 3"
    configured: dict[str, dict[str, object]] = {
        "setup": {"setup": [{"run": command}]},
        "verify": {"verify": command},
        "reset": {"database": {"engine": "command", "reset": command}},
    }
    verdict = judged(shop, candidate, "true", **configured[step])
    assert not verdict.green
    assert "exit code 3" in verdict.message
    assert "it failed" in verdict.message
    name = "setup-1" if step == "setup" else step
    assert (verdict.log / f"{name}.log").read_text() == "it failed\n"


def test_a_gate_from_outside_runs_before_set_up_whatever_its_place(
    shop: Shop, candidate: str, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    shop.configure(
        setup=[{"run": f"echo set-up >> {seen}"}],
        gates=[
            {"run": f"echo inside >> {seen}"},
            {"run": f"echo outside >> {seen}; test -f a.txt", "outside": True},
        ],
    )
    git(shop.repo, "commit", "--quiet", "--all", "--message", "configured")
    project, main = shop.project, git(shop.repo, "rev-parse", "main").strip()
    verdict = gates.run_gates(
        project, "x.0", candidate, project.config.gates, base_commit=main,
        log=tmp_path / "log", emit=shop.emit,
    )  # fmt: skip
    assert verdict.green, verdict.message
    assert seen.read_text().split() == ["outside", "set-up", "inside"]
    assert shop.engine.containers() == []


def test_a_gate_cannot_be_outside_and_need_services() -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Gate(run="true", outside=True, services=True)
