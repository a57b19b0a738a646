"""Files that programs on this machine read or write, turned inside into something else."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.adapters.files import untrusted
from tests.hostile.layouts import House, Naive
from tests.hostile.test_own_git import ODD

pytestmark = pytest.mark.engine

SECRET = "the-secret-of-this-machine"
_RUN = "log pid exit restarts key lock log.1"
_READ = "import sys; open(sys.argv[1], 'rb').read()"


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> Iterator[House]:
    """A project with a database of its own and a file that instances get a copy of."""
    house = build(
        database={"engine": "sqlite", "path": "app.db", "reset": "touch app.db"},
        env={"copy": ["local.json"]},
    )
    yield house
    house.end()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file on this machine that nothing inside may read."""
    file = tmp_path / "secret.env"
    file.write_text(f"SECRET={SECRET}\n")
    return file


class TestNaively:
    """What a script on this machine does with such files."""

    def test_writing_an_env_file_follows_the_symlink(self, naive: Naive) -> None:
        naive.attack('ln -s "$CANARY" .env')
        (naive.tree / ".env").write_text("PORT=9100\n")
        assert naive.canary.exists()

    def test_reading_an_env_file_follows_the_symlink(self, naive: Naive, secret: Path) -> None:
        naive.attack(f"ln -s {secret} .env")
        assert SECRET in (naive.tree / ".env").read_text()

    def test_reading_a_fifo_never_ends(self, naive: Naive) -> None:
        naive.attack("mkfifo .env")
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run([sys.executable, "-c", _READ, naive.tree / ".env"], timeout=1)

    def test_git_status_waits_for_a_fifo_named_gitignore(self, naive: Naive) -> None:
        naive.attack("mkfifo .gitignore")
        with pytest.raises(subprocess.TimeoutExpired):
            subprocess.run(["git", "status"], cwd=naive.tree, capture_output=True, timeout=1)

    def test_reading_a_sparse_file_takes_all_memory(self, naive: Naive) -> None:
        naive.attack("truncate -s 10G .env")
        bounded = 'ulimit -v 2000000; exec "$@"'
        command = ["sh", "-c", bounded, "sh", sys.executable, "-c", _READ]
        done = subprocess.run([*command, naive.tree / ".env"], capture_output=True, text=True)
        assert "MemoryError" in done.stderr

    def test_a_device_can_be_made(self, naive: Naive) -> None:
        assert naive.run("mknod zero c 1 5", user="0:0")[0] == 0


@pytest.mark.parametrize("kind", ["a symlink", "a FIFO", "a folder", "10 GB"])
def test_odd_files_in_the_worktree_hold_up_nobody(house: House, kind: str, secret: Path) -> None:
    odd = ODD[kind].replace("/etc/passwd", str(secret))
    house.attacked(
        "for name in .env .ports.env app.db local.json README.md .gitmodules .treedock "
        f'.worktreeinclude; do rm -rf "$name"; {odd}; done'
    )
    (house.folder / "local.json").write_text("{}")
    answers = house.look(("db", "reset", "auth"))
    (house.folder / "local.json").unlink()
    assert all(SECRET not in answer.stdout + answer.stderr for answer in answers.values())
    assert SECRET not in house.inside("auth", "env").stdout
    for name in ("local.json", "README.md"):  # no copy took the secret along
        assert SECRET.encode() not in (untrusted.read(house.tree("auth") / name) or b"")
    assert secret.read_text() == f"SECRET={SECRET}\n"


def test_an_env_file_that_leads_out_is_neither_followed_nor_changed(house: House) -> None:
    house.attacked('rm -rf .env .ports.env; ln -s "$CANARY" .env; ln -s "$CANARY" .ports.env')
    answers = house.look()
    for name in (".env", ".ports.env"):
        assert f"{name} is a symlink in this worktree" in answers["up"].stderr
    house.attacked("rm -f .env .ports.env; mkdir out; ln -s out/nowhere .env.treedock-new")
    house.look()


@pytest.mark.parametrize(
    ("kind", "name"),
    [("a FIFO", "deep/er/.gitignore"), ("a FIFO", ".gitattributes"), ("10 GB", ".gitignore")],
)
def test_files_that_git_itself_reads_hold_up_nobody(house: House, kind: str, name: str) -> None:
    # The same size as before, so that git has to compare, and for that asks for attributes.
    house.attacked(
        f"git checkout -q -- .; echo KEPT >kept.txt; name={name}; mkdir -p deep/er; "
        f'rm -rf "$name"; {ODD[kind]}'
    )
    house.look()
    house.attacked(f"rm -f {name}; git checkout -q -- .")


@pytest.mark.parametrize("kind", ["a symlink", "a FIFO", "a folder", "10 GB"])
def test_odd_files_in_the_run_folder_hold_up_nobody(house: House, kind: str, secret: Path) -> None:
    odd = ODD[kind].replace("/etc/passwd", str(secret))
    house.attacked(
        f"cd /run/treedock/run; for end in {_RUN}; do for job in service.backend reset other; do "
        f'name=$job.$end; rm -rf "$name"; {odd}; done; done'
    )
    looking = [("list",), ("status",), ("logs", "auth"), ("logs", "auth", "backend")]
    answers = house.look(verbs=looking)
    assert all(SECRET not in answer.stdout + answer.stderr for answer in answers.values())
    answers = house.look(verbs=[("restart", "auth")])
    assert answers["restart"].exit_code == 0, answers["restart"].stderr


def test_names_and_numbers_of_no_process_are_not_believed(house: House) -> None:
    house.attacked(
        "cd /run/treedock/run; seq 3000 | sed 's/.*/service.x&.log/' | xargs touch; "
        "echo '1 ' >service.backend.pid; echo '999999999 ' >service.backend.exit; "
        "echo 99 >service.backend.restarts"
    )
    looking = [("logs", "auth"), ("logs", "auth", "backend"), ("status", "auth", "--json")]
    answers = house.look(verbs=looking)
    assert "999999999" not in answers["status"].stdout
    assert house.look(verbs=[("restart", "auth")])["restart"].exit_code == 0
    house.attacked("rm -f /run/treedock/run/service.x*.log")


def test_devices_cannot_be_made(house: House) -> None:
    for where in (".", "/run/treedock/run", "/run/treedock/git", "~", "/tmp"):
        assert house.attack(f"mknod {where}/zero c 1 5").exit_code != 0, where


def test_set_user_ids_are_out_of_reach_for_others_on_this_machine(house: House) -> None:
    house.attacked("cp /bin/sh shell; chmod 4755 shell")
    assert (house.folder / "trees").stat().st_mode & 0o077 == 0


def test_very_many_and_very_deep_files_hold_up_nobody(house: House) -> None:
    house.attacked("mkdir many; cd many; seq 5000 | xargs touch; mkdir -p deep/$(seq -s/ 500)")
    house.look()
    house.attacked("rm -rf many")
