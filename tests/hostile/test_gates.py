"""A candidate that attacks the gates which judge it, on the real engine."""

from pathlib import Path

import pytest
import yaml

from runner.adapters.engine.protocol import Filter
from runner.controller.landing import gates
from runner.controller.project import open_project, open_repository
from runner.controller.stream import Stream
from tests.real_git import commit, git

pytestmark = pytest.mark.engine

CONFIG = """\
version: 1
name: shop
limits: {memory: 256m, pids: 100, cpus: 1, disk_free: 100m}
setup: [{run: sh setup.sh}]
services:
  backend: {run: exec python3 -m http.server $BACKEND_PORT, port: backend, ready: {http: /a.txt}}
gates:
  - {run: "env; test -f a.txt && ! grep EVIL a.txt"}
  - outside: true
    run: |
      set -e
      ! touch planted .git/planted /run/treedock/git/planted /run/treedock/run/planted 2>/dev/null
      ! test -e /tmp/set-up
      test -z "$(git status --porcelain)" && git log -1 --format=%s && pwd && ! grep EVIL a.txt
  - {run: "curl -sf localhost:$BACKEND_PORT/a.txt", services: true}
"""


def test_a_candidate_does_not_steer_the_gates_that_judge_it(repo: Path, tmp_path: Path) -> None:
    commit(repo, {"treedock.yaml": CONFIG, "setup.sh": "touch /tmp/set-up\n"})
    main = git(repo, "rev-parse", "main").strip()
    git(repo, "switch", "--quiet", "--detach")
    good = commit(repo, {"a.txt": "a\n", ".env": "PATH=/evil\nAPP=blue\n"}, "good")
    forged = 'for n in setup-1 verify; do echo "0 " > /run/treedock/run/$n.exit; done; exit 3\n'
    forging = commit(repo, {"setup.sh": forged})
    git(repo, "switch", "--quiet", "--detach", good)
    evil = commit(repo, {"a.txt": "EVIL\n", "setup.sh": "echo a > a.txt\n"})
    git(repo, "switch", "--quiet", "main")
    project = open_project(open_repository(repo))
    green, forged_end, from_outside, rewritten = (
        gates.run_gates(
            project, f"x.{number}", candidate, chosen, base_commit=main,
            log=tmp_path / f"{number}", emit=Stream(),
        )
        for number, (candidate, chosen) in enumerate(
            [
                (good, project.config.gates),
                (forging, project.config.gates[:1]),
                (evil, project.config.gates),
                (evil, project.config.gates[:1]),
            ]
        )
    )  # fmt: skip
    assert green.green, green.message
    assert (green.log / "gate-2.log").read_text() == "good\n/workspace\n"
    seen = (green.log / "gate-1.log").read_text()
    assert "APP=blue" in seen
    assert "evil" not in seen
    assert (green.log / "gate-3.log").read_text() == "a\n"
    assert "setup-1 failed with exit code 3" in forged_end.message
    assert "gate-2 failed" in from_outside.message
    assert not (from_outside.log / "setup-1.log").exists()
    assert "after set-up this is not what would land any more: a.txt" in rewritten.message
    assert project.repository.engine.containers(Filter(repository=project.repository.key)) == []


LEFT = """\
set -e
folder=$(python3 -m site --user-site)
mkdir -p "$folder" /tmp/left
echo 'import os; os._exit(0)' >"$folder/usercustomize.py"
"""


def test_what_a_gate_from_outside_leaves_does_not_reach_the_next_one(
    repo: Path, tmp_path: Path
) -> None:
    judge = 'test ! -e /tmp/left && python3 -c \'assert open("a.txt").read() != "EVIL\\n"\''
    first, second = ({"run": run, "outside": True} for run in ("sh tests.sh", judge))
    config = {"version": 1, "name": "shop", "gates": [first, second]}
    commit(repo, {"treedock.yaml": yaml.safe_dump(config), "tests.sh": "true\n"})
    main = git(repo, "rev-parse", "main").strip()
    git(repo, "switch", "--quiet", "--detach")
    evil = commit(repo, {"a.txt": "EVIL\n", "tests.sh": LEFT})
    git(repo, "switch", "--quiet", "main")
    project = open_project(open_repository(repo))
    verdict = gates.run_gates(
        project, "x.left", evil, project.config.gates, base_commit=main,
        log=tmp_path / "log", emit=Stream(),
    )  # fmt: skip
    assert not verdict.green
    assert "gate-2 failed" in verdict.message
