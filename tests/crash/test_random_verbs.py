"""Random verbs from several processes, some killed on the way, on real git: whatever happens in
whatever order, nothing is lost, leaked or landed untested."""

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from runner.adapters.engine.protocol import Exec
from runner.controller.cleanup.clean import clean
from runner.controller.instance.private_git import ENVIRONMENT
from runner.controller.instance.worktree import InstanceRequest
from runner.controller.landing.merge import merge
from runner.controller.lifecycle.down import down
from runner.controller.lifecycle.up import up
from runner.controller.operation import Operation
from runner.controller.project import open_project, open_repository
from runner.controller.stream import Stream
from runner.controller.sync.sync import sync
from runner.controller.sync.update import go_on, update
from runner.domain.errors import RunnerError
from runner.domain.requests.landing import Merge
from tests.crash.shared_engine import KEY, EngineServer, shared
from tests.free_ports import free_block
from tests.real_git import commit, git, make_repository

pytestmark = pytest.mark.long

IDS = ["auth", "payments", "search"]
FILES = ["one.txt", "two.txt"]  # few, so that branches conflict
PROCESSES = multiprocessing.get_context("fork")

ids = st.sampled_from(IDS)
verbs = st.one_of(
    st.tuples(st.sampled_from(["up", "sync", "update", "rebase", "abort", "down"]), ids),
    st.tuples(st.sampled_from(["merge", "clean", "clean --force"]), ids),
    st.tuples(st.just("merge"), st.just("auth+payments+search")),
)
kills = st.one_of(st.none(), st.integers(1, 60))


quiet = Stream()


def run(repo: Path, address: Any, verb: str, ids: str, kill: int | None, said: Any) -> None:
    """One verb in a process of its own; `said` gets what is no error that a person may see."""
    if kill:
        os.environ["TREEDOCK_KILL_AFTER"] = str(kill)
    try:
        repository = open_repository(repo, connect=lambda: shared(address))
        project = open_project(repository)
        for instance in ids.split("+"):
            operation = Operation(repository, instance, quiet)
            match verb:
                case "up":
                    up(project, [InstanceRequest(instance)], quiet, fetch=False)
                case "down":
                    down(repository, instance, quiet)
                case "sync":
                    with operation.locked():
                        sync(operation)
                case "update":
                    update(operation, "merge")
                case "rebase":
                    update(operation, "rebase")
                case "abort":
                    go_on(operation, "abort")
                case "clean":
                    clean(repository, instance, quiet)
                case "clean --force":
                    clean(repository, instance, quiet, force=True)
                case "merge":
                    known = [one for one in ids.split("+") if one in repository.records.ids()]
                    merge(project, known, Merge(gates=("test -f README.md",)), quiet)
                    break
    except RunnerError:
        pass  # refused, with a way out: that is an answer
    except BaseException:
        said.put(f"{verb} {ids}:\n{traceback.format_exc()}")
    finally:
        said.close()
        said.join_thread()
        os._exit(0)


class Verbs(RuleBasedStateMachine):
    """A repository, and everything that people and their agents do to it at once."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="treedock-verbs-"))
        self.repo = make_repository(self.folder / "shop")
        self.server = EngineServer(authkey=KEY)
        self.commits: set[str] = set()
        self.count = 0

    @initialize()
    def a_project(self) -> None:
        self.server.start()
        self.engine = shared(self.server.address)
        first = free_block(10)
        config = {
            "version": 1,
            "name": "shop",
            "image": {"name": "tiny"},
            "network": {"ca": "none"},
            "ports": {
                "backend": f"{first}-{first + 4}",
                "frontend": f"{first + 5}-{first + 9}",
            },
            "limits": {"disk_free": 0},
        }
        files = {"treedock.yaml": yaml.safe_dump(config), "README.md": "# shop\n"}
        commit(self.repo, files, "first")
        repository = open_repository(self.repo, connect=lambda: self.engine)
        up(
            open_project(repository),
            [InstanceRequest("auth"), InstanceRequest("payments")],
            quiet,
            fetch=False,
        )

    @rule(jobs=st.lists(st.tuples(verbs, kills), min_size=1, max_size=2))
    def verbs_at_once(self, jobs: list[tuple[tuple[str, str], int | None]]) -> None:
        answers = PROCESSES.Queue()
        running = [
            PROCESSES.Process(
                target=run, args=(self.repo, self.server.address, *verb, kill, answers)
            )
            for verb, kill in jobs
        ]
        for process in running:
            process.start()
        for process in running:
            process.join(120)
            assert process.exitcode in (0, -signal.SIGKILL), f"{jobs}: {process.exitcode}"
        bugs = []
        with suppress(Exception):
            while not answers.empty():
                bugs.append(answers.get(timeout=1))
        assert bugs == [], "\n".join(bugs)

    @rule(instance=ids, file=st.sampled_from(FILES), amend=st.booleans())
    def somebody_commits_inside(self, instance: str, file: str, amend: bool) -> None:
        self.count += 1
        again = "--amend" if amend and self._has_own_commit(instance) else ""
        script = f"echo {self.count} > {file}; git add {file}; git commit -qm {self.count} {again}"
        self._inside(instance, script)

    @rule(instance=ids, file=st.sampled_from(FILES))
    def somebody_commits_on_the_host(self, instance: str, file: str) -> None:
        tree = self.repo / "trees" / instance
        if (tree / ".git").is_file() and (tree / "README.md").exists():
            self.count += 1
            (tree / file).write_text(f"{self.count}\n")
            with suppress(AssertionError):  # in the middle of something that was killed
                git(tree, "add", file)
                git(tree, "commit", "--quiet", "-m", f"host {self.count}")

    @rule(instance=ids)
    def somebody_leaves_a_file(self, instance: str) -> None:
        tree = self.repo / "trees" / instance
        if (tree / "README.md").exists():
            (tree / "left.txt").write_text("work\n")

    @rule(file=st.sampled_from(FILES))
    def base_goes_on(self, file: str) -> None:
        self.count += 1
        with suppress(AssertionError):  # while a landing that was killed holds the index
            commit(self.repo, {file: f"{self.count}\n"}, f"base {self.count}")
            self.own_commits = getattr(self, "own_commits", set()) | {
                git(self.repo, "rev-parse", "HEAD").strip()
            }

    @rule()
    def somebody_collects_garbage(self) -> None:
        git(self.repo, "gc", "--quiet", "--prune=now")

    @invariant()
    def no_commit_that_a_ref_reached_is_lost(self) -> None:
        reached = self._reached()
        lost = [
            git(self.repo, "log", "-1", "--format=%h %s <- %p", commit)
            for commit in self.commits - reached
        ]
        assert lost == []
        self.commits = reached

    @invariant()
    def base_is_only_ever_at_commits_that_were_tested(self) -> None:
        tested = set()
        for events in (self.repo / ".git/treedock").glob("runs/*/events.jsonl"):
            for line in events.read_text().splitlines():
                event = json.loads(line)
                if event["event"] == "tested" and event["green"]:
                    tested.add(event["commit"])
        landed = git(self.repo, "rev-list", "--first-parent", "--merges", "HEAD").split()
        assert set(landed) <= tested

    @invariant()
    def the_repository_is_whole(self) -> None:
        git(self.repo, "fsck", "--connectivity-only", "--no-dangling")

    @invariant()
    def no_two_instances_have_a_port_in_common(self) -> None:
        records = open_repository(self.repo).records.all()
        ports = [port for record in records for port in record.ports.values()]
        assert len(ports) == len(set(ports))

    @invariant()
    def every_container_is_one_of_an_instance_or_of_a_gate(self) -> None:
        if hasattr(self, "engine"):
            names = [c.instance for c in self.engine.containers() if c.instance]
            assert len(names) == len(set(names))

    def teardown(self) -> None:
        """At the end `clean` gets rid of everything, whatever was killed before."""
        try:
            if hasattr(self, "engine"):
                self._clean_everything()
        finally:
            with suppress(Exception):
                self.engine.close()  # type: ignore[attr-defined]
            with suppress(Exception):
                self.server.shutdown()
            shutil.rmtree(self.folder, ignore_errors=True)

    def _clean_everything(self) -> None:
        repository = open_repository(self.repo, connect=lambda: self.engine)
        for instance in repository.records.ids():
            if repository.records.read(instance):
                clean(repository, instance, quiet, force=True)
        left = [c for c in self.engine.containers() if c.instance in IDS]
        assert left == []
        trees = self.repo / "trees"
        assert not trees.exists() or [p for p in trees.iterdir() if p.name in IDS] == []

    def _reached(self) -> set[str]:
        """Everything but merge commits that a run made to test them, and that did not land: a run
        and its gates hold them by refs of their own, and a gate's worktree by its HEAD."""
        others = ["--exclude=refs/treedock-run/*", "--exclude=refs/treedock/gate.*"]
        others += ["--single-worktree", "--all"]
        heads = []
        for tree in (self.repo / "trees").glob("*"):
            with suppress(AssertionError):  # a removal that was killed left it without
                heads.append(git(tree, "rev-parse", "--verify", "HEAD").strip())
        return set(git(self.repo, "rev-list", *others, *heads).split())

    def _has_own_commit(self, instance: str) -> bool:
        git_dir = self.repo / ".git/treedock/instances" / instance / "git"
        head = git_dir / "logs/HEAD"
        return head.exists() and "commit" in head.read_text().splitlines()[-1]

    def _inside(self, instance: str, script: str) -> None:
        """As code in the instance would, if it runs."""
        found = [c for c in self.engine.containers() if c.instance == instance]
        if found and found[0].status == "running":
            with suppress(RunnerError):
                command = Exec(["sh", "-c", script], ENVIRONMENT, "/workspace")
                self.engine.exec(found[0].id, command)


@pytest.fixture(autouse=True)
def _no_kill_left() -> Iterator[None]:
    yield
    os.environ.pop("TREEDOCK_KILL_AFTER", None)


TestVerbs = Verbs.TestCase
TestVerbs.settings = settings(
    max_examples=int(os.environ.get("TREEDOCK_EXAMPLES", "15")),
    stateful_step_count=15,
    derandomize="TREEDOCK_EXAMPLES" not in os.environ,  # more examples are new ones
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # making an example smaller takes many minutes
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
