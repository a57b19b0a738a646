"""`treedock doctor`: real repositories, and the real engine where the engine is the point."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.adapters.engine.docker import DockerEngine
from runner.adapters.engine.protocol import Engine, Filter
from runner.adapters.git import repository as git
from runner.adapters.store import locks
from runner.controller.cleanup.orphans import leftovers, stale_locks
from runner.controller.onboarding.damaged import damaged
from runner.controller.operation import Operation
from runner.controller.project import Project, open_project, open_repository
from runner.controller.stream import Stream
from runner.domain.events import Down
from runner.domain.instance import container as names
from runner.domain.instance.container import ContainerSpec, Limits
from runner.domain.instance.health import Finding
from runner.domain.instance.record import Lineage, Record

EMPTY_IMAGE = "treedock/test-doctor:empty"
CHECKS = ["git", "engine", "base-image", "disk", "inotify", "port-range", "exposed-services"]
OF_A_PROJECT = [
    *CHECKS,
    "repository",
    "hooks",
    "git-locks",
    "stale-locks",
    "leftovers",
    "slots",
    "unfinished",
]


quietly = Stream()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository with one commit and a treedock.yaml."""
    checkout = tmp_path / "shop"
    checkout.mkdir()
    (checkout / "treedock.yaml").write_text("version: 1\n")
    git.create(checkout, "A shop")
    return open_project(open_repository(checkout))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """The real engine, with an image that has nothing in it: containers are made, not started."""
    real = DockerEngine()
    nothing = io.BytesIO()
    tarfile.open(fileobj=nothing, mode="w").close()
    nothing.seek(0)
    real.import_image(nothing, EMPTY_IMAGE)
    yield real
    real.remove_image(EMPTY_IMAGE)


@dataclass(frozen=True)
class Workshop:
    """Makes the parts of instances, one by one."""

    project: Project
    engine: Engine

    def record(self, instance: str, *, branch: str = "") -> Record:
        repository = self.project.repository
        commit = repository.git.commit("main")
        assert commit
        record = Record(
            id=instance,
            project=self.project.name,
            git=Lineage(branch or f"feature/{instance}", "main", commit),
            checkout=str(repository.checkout),
            worktree=str(self.project.worktrees / instance),
            created_at="2026-01-31T09:30:00Z",
            ports={"backend": 9100},
            slot=0,
        )
        repository.records.write(record)
        return record

    def worktree(self, instance: str) -> Path:
        repository = self.project.repository
        path = self.project.worktrees / instance
        repository.git.add_worktree(path, f"feature/{instance}", repository.git.commit("main"))
        repository.git.check_out(path)
        return path

    def container(self, instance: str, *, repository: str = "") -> str:
        key = repository or self.project.repository.key
        return self.engine.create(
            ContainerSpec(
                name=f"treedock-test-doctor-{instance}-{key[:6]}",
                image=EMPTY_IMAGE,
                user="0:0",
                hostname=instance,
                ports=(),
                mounts=(),
                limits=Limits(memory=2**26, cpus=1, pids=16),
                labels={
                    names.LABEL: "instance",
                    names.LABEL_REPOSITORY: key,
                    names.LABEL_INSTANCE: instance,
                },
                network="none",
            )
        )

    def examine(self, *, fix: bool = False) -> list[Finding]:
        return leftovers(self.project, self.engine, fix=fix, emit=quietly)

    def has_container(self, instance: str) -> bool:
        key = self.project.repository.key
        return bool(self.engine.containers(Filter(repository=key, instance=instance)))

    def has_record(self, instance: str) -> bool:
        return self.project.repository.records.read(instance) is not None


@pytest.fixture
def workshop(project: Project, engine: Engine) -> Iterator[Workshop]:
    made = Workshop(project, engine)
    yield made
    for repository in (project.repository.key, "0123456789ab"):
        for container in engine.containers(Filter(repository=repository)):
            engine.remove(container.id)


Doctor = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Runs the real command in a folder that is no repository, or in `folder`."""

    def run(*options: str, folder: Path = tmp_path, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "runner", "doctor", *options]
        source = str(Path(__file__).parents[2])
        environment = {**os.environ, "PYTHONPATH": source, **env}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.mark.engine
def test_outside_of_a_repository_this_machine_is_examined(doctor: Doctor) -> None:
    done = doctor("--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    found = {finding["check"]: finding for finding in document["findings"]}
    assert [check for check in found if check != "docker-command"] == CHECKS
    assert found["engine"]["status"] == "ok"
    assert found["engine"]["message"].startswith("Engine ")
    assert set(found["git"]) == {"check", "status", "message", "way_out", "fixed"}
    assert done.returncode == 0


@pytest.mark.engine
def test_in_a_project_its_locks_and_leftovers_are_examined_too(
    doctor: Doctor, project: Project
) -> None:
    done = doctor("--json", folder=project.repository.checkout)
    findings = json.loads(done.stdout)["findings"]
    assert [f["check"] for f in findings if f["check"] != "docker-command"] == OF_A_PROJECT
    assert done.returncode == 0


def test_without_an_engine_the_way_out_is_told_and_the_exit_code_is_5(
    doctor: Doctor, project: Project, tmp_path: Path
) -> None:
    nowhere = f"unix://{tmp_path}/none.sock"
    done = doctor(folder=project.repository.checkout, DOCKER_HOST=nowhere)
    assert done.returncode == 5
    assert f"problem  engine: The engine at {nowhere}" in done.stdout
    assert "Start that engine, or unset DOCKER_HOST." in done.stdout


def test_an_engine_that_somebody_else_runs_is_never_started_by_fix(
    doctor: Doctor, tmp_path: Path
) -> None:
    done = doctor("--fix", "--json", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert (found["engine"]["status"], found["engine"]["fixed"]) == ("problem", False)
    assert done.returncode == 5


def test_configured_ports_in_the_ephemeral_range_are_a_warning(
    doctor: Doctor, project: Project, tmp_path: Path
) -> None:
    checkout = project.repository.checkout
    (checkout / "treedock.yaml").write_text("ports: {backend: 40000-40004}\n")
    done = doctor("--json", folder=checkout, DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    found = {finding["check"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert found["port-range"]["status"] == "warning"
    assert "backend 40000-40004" in found["port-range"]["message"]


def test_fix_removes_the_lock_of_an_instance_that_is_gone(project: Project) -> None:
    lock = project.repository.records.lock("gone")
    with locks.hold(lock):
        pass
    finding = stale_locks(project.repository, fix=False)
    assert (finding.status, finding.message.count("instance-gone.lock")) == ("warning", 1)
    assert lock.exists()
    finding = stale_locks(project.repository, fix=True)
    assert (finding.status, finding.fixed) == ("ok", True)
    assert not lock.exists()


def test_fix_removes_the_folder_of_an_instance_that_a_kill_kept(project: Project) -> None:
    left = project.repository.records.trash / "gone-4711"
    left.mkdir(parents=True)
    assert "gone-4711" in stale_locks(project.repository, fix=False).message
    assert stale_locks(project.repository, fix=True).fixed
    assert not left.exists()


def test_a_lock_that_is_held_is_not_stale(project: Project) -> None:
    lock = project.repository.records.lock("busy")
    with locks.hold(lock):
        assert stale_locks(project.repository, fix=True).status == "ok"
        assert lock.exists()


def test_the_locks_of_the_repository_and_of_its_instances_are_kept(project: Project) -> None:
    records = project.repository.records
    Operation(project.repository, "auth", Stream()).tell(Down())
    for lock in (records.lock("auth"), records.repository_lock):
        with locks.hold(lock):
            pass
    assert stale_locks(project.repository, fix=True).status == "ok"
    assert records.lock("auth").exists()
    assert records.repository_lock.exists()


@pytest.mark.engine
def test_an_instance_with_all_its_parts_is_no_finding(workshop: Workshop) -> None:
    workshop.record("auth")
    workshop.worktree("auth")
    workshop.container("auth")
    (finding,) = workshop.examine(fix=True)
    assert (finding.status, finding.fixed) == ("ok", False)
    assert workshop.has_container("auth")


@pytest.mark.engine
def test_fix_removes_a_container_of_this_repository_without_a_record(workshop: Workshop) -> None:
    workshop.container("ghost")
    (told,) = workshop.examine()
    assert told.status == "warning"
    assert "treedock-test-doctor-ghost" in told.message
    assert workshop.has_container("ghost")
    (mended,) = workshop.examine(fix=True)
    assert (mended.status, mended.fixed) == ("ok", True)
    assert not workshop.has_container("ghost")
    assert stale_locks(workshop.project.repository, fix=False).status == "ok"


@pytest.mark.engine
def test_a_container_of_another_repository_is_left_alone(workshop: Workshop) -> None:
    workshop.container("ghost", repository="0123456789ab")
    (finding,) = workshop.examine(fix=True)
    assert finding.status == "ok"
    assert workshop.engine.containers(Filter(repository="0123456789ab"))


@pytest.mark.engine
def test_a_container_on_which_a_verb_works_is_left_alone(workshop: Workshop) -> None:
    workshop.container("auth")
    with locks.hold(workshop.project.repository.records.lock("auth")):
        (finding,) = workshop.examine(fix=True)
    assert finding.status == "ok"
    assert workshop.has_container("auth")


@pytest.mark.engine
def test_fix_removes_the_folder_of_an_instance_that_is_gone(workshop: Workshop) -> None:
    folder = workshop.project.repository.records.folder("gone")
    Operation(workshop.project.repository, "gone", Stream()).tell(Down())
    (finding,) = workshop.examine(fix=True)
    assert finding.fixed
    assert not folder.exists()


@pytest.mark.engine
def test_a_folder_with_a_git_directory_of_its_own_may_hold_work_and_stays(
    workshop: Workshop,
) -> None:
    own = workshop.project.repository.records.folder("gone") / "git"
    own.mkdir(parents=True)
    (finding,) = workshop.examine(fix=True)
    assert (finding.status, finding.fixed) == ("warning", False)
    assert own.exists()


@pytest.mark.engine
def test_fix_removes_a_record_that_has_nothing_else(workshop: Workshop) -> None:
    workshop.record("auth")
    (told,) = workshop.examine()
    assert "neither worktree nor container" in told.message
    assert "treedock up auth" in told.way_out
    (mended,) = workshop.examine(fix=True)
    assert mended.fixed
    assert not workshop.has_record("auth")


@pytest.mark.engine
def test_a_record_whose_branch_has_commits_of_its_own_stays(workshop: Workshop) -> None:
    record = workshop.record("auth")
    path = workshop.worktree("auth")
    (path / "work.txt").write_text("a day's work\n")
    own = ["-c", "user.name=Ada", "-c", "user.email=ada@localhost"]
    subprocess.run(["git", *own, "-C", path, "add", "--all"], check=True)
    subprocess.run(["git", *own, "-C", path, "commit", "-qm", "Operation"], check=True)
    subprocess.run(["rm", "-r", path], check=True)
    (finding,) = workshop.examine(fix=True)
    assert (finding.status, finding.fixed) == ("problem", False)
    assert "a commit that no other branch holds" in finding.message
    assert "treedock clean auth --force" in finding.way_out
    assert workshop.has_record("auth")
    assert workshop.project.repository.git.branch(record.git.branch)


@pytest.mark.engine
def test_a_missing_worktree_is_told_with_the_commands_that_mend_it(workshop: Workshop) -> None:
    workshop.record("auth")
    path = workshop.worktree("auth")
    workshop.container("auth")
    subprocess.run(["rm", "-r", path], check=True)
    (finding,) = workshop.examine(fix=True)
    assert (finding.status, finding.fixed) == ("warning", False)
    assert str(path) in finding.message
    assert "treedock up auth" in finding.way_out
    assert "treedock clean auth" in finding.way_out
    assert workshop.has_container("auth")


@pytest.mark.engine
def test_a_missing_container_is_told_with_the_command_that_makes_it(workshop: Workshop) -> None:
    workshop.record("auth")
    workshop.worktree("auth")
    (finding,) = workshop.examine(fix=True)
    assert finding.message == "auth has no container."
    assert "treedock up auth" in finding.way_out
    assert workshop.has_record("auth")


@pytest.mark.engine
def test_a_worktree_without_a_record_is_told_and_kept(workshop: Workshop) -> None:
    path = workshop.worktree("stray")
    (finding,) = workshop.examine(fix=True)
    assert (finding.status, finding.fixed) == ("warning", False)
    assert f"git worktree remove {path}" in finding.way_out
    assert path.is_dir()


@pytest.mark.engine
def test_a_damaged_record_is_set_aside_and_nothing_of_its_instance_is_removed(
    workshop: Workshop,
) -> None:
    workshop.record("auth")
    workshop.container("auth")
    file = workshop.project.repository.records.folder("auth") / "record.json"
    file.write_text("{")
    (finding,) = damaged(workshop.project.repository, fix=False)
    assert finding.status == "problem"
    assert str(file) in finding.message
    damaged(workshop.project.repository, fix=True)
    assert [one.status for one in workshop.examine(fix=True)] == ["warning"]
    (aside,) = file.parent.glob("record.json.*")
    assert aside.read_text() == "{"
    assert workshop.has_container("auth")
