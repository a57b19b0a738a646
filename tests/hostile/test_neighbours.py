"""Reaching what belongs to a sibling, or to the engine."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runner.adapters.engine.protocol import Engine, Filter
from runner.controller.instance import images
from runner.controller.project import open_repository
from runner.controller.stream import Stream
from tests.hostile.layouts import House, Naive

if TYPE_CHECKING:
    from docker.models.containers import Container

pytestmark = pytest.mark.engine

SECRET = "belongs-to-search"
CONNECT = """
import socket, sys
socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
"""
ENGINE = """
import http.client, os, socket, sys
found = []
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
    try:
        with socket.socket(socket.AF_UNIX) as engine:
            engine.connect(path)
            found.append(path)
    except OSError:
        pass
sys.exit(0 if found else 1)
"""
# PTRACE_ATTACH, to every process that there is but ourselves and our parents.
ATTACH = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
own = {os.getpid(), os.getppid(), 1}
pids = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in own]
wanted = [int(pid) for pid in sys.argv[1:]] or pids
sys.exit(0 if any(libc.ptrace(16, pid, 0, 0) == 0 for pid in wanted) else 1)
"""


@pytest.fixture(scope="module")
def house(build: Callable[..., House]) -> Iterator[House]:
    """Two instances, each with a database of its own; `auth` is hostile."""
    database = {"engine": "sqlite", "path": "app.db"}
    reset = "python3 -c \"import sqlite3; c = sqlite3.connect('app.db'); "
    reset += "c.execute('create table t as select 1 as a')\""
    house = build("auth", "search", database={**database, "reset": reset})
    yield house
    house.end()


@pytest.fixture
def beside(docker_engine: Engine) -> Iterator["Container"]:
    """Another plain container, as the same way of doing it would start for a sibling: it has
    the engine's socket, and serves a port."""
    import docker

    with closing(docker.from_env()) as client:
        container = client.containers.run(
            images.ensure_git_image(docker_engine, Stream()),
            ["python3", "-m", "http.server", "9100"],
            entrypoint="",
            detach=True,
            volumes={"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "rw"}},
        )
        yield container
        container.remove(force=True)


def test_naively_siblings_reach_each_other_and_the_engine(
    naive: Naive, beside: "Container", eventually: Callable[..., object]
) -> None:
    beside.reload()
    address = next(iter(beside.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
    connect = f"python3 -c '{CONNECT}' {address} 9100"
    eventually(lambda: naive.run(connect)[0] == 0)
    assert beside.exec_run(["python3", "-c", ENGINE]).exit_code == 0


def test_naively_processes_of_one_container_read_and_trace_each_other(naive: Naive) -> None:
    code, said = naive.run(
        f"SECRET={SECRET} sleep 60 & pid=$!; until grep -q sleep /proc/$pid/cmdline; do :; done; "
        f"cat /proc/$pid/environ; python3 -c '{ATTACH}' $pid; code=$?; kill $pid; exit $code"
    )
    assert SECRET in said
    assert code == 0


def test_naively_a_sibling_s_files_and_database_are_there_to_write(naive: Naive) -> None:
    sibling = naive.tree.parent / "search"
    sibling.mkdir()
    with closing(sqlite3.connect(sibling / "app.db")) as database:
        database.execute("create table t as select 1 as a")
    naive.attack("rm ../search/app.db; echo evil >../search/README.md")
    assert (sibling / "README.md").exists()
    assert not (sibling / "app.db").exists()


def test_a_sibling_s_ports_cannot_be_reached(house: House) -> None:
    address = house.inside("search", "hostname -i").stdout.split()[0]
    port = house.status("search")["ports"]["backend"]
    assert house.inside("search", f"python3 -c '{CONNECT}' {address} {port}").exit_code == 0
    names = ("search", "treedock-shop-search", "host.docker.internal", address)
    for host in names:
        attack = house.attack(f"python3 -c '{CONNECT}' {host} {port}")
        assert attack.exit_code != 0, host


def test_a_sibling_s_processes_are_out_of_sight_and_cannot_be_traced(house: House) -> None:
    house.inside("search", f"SECRET={SECRET} sleep 600 >/dev/null 2>&1 &")
    seen = house.attack("cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n'")
    assert SECRET not in seen.stdout
    assert "TREEDOCK_ID=auth" in seen.stdout
    assert "TREEDOCK_ID=search" not in seen.stdout
    (container,) = house.engine.containers(
        Filter(repository=open_repository(house.folder).key, instance="search")
    )
    pids = " ".join(_pids(container.id))
    assert pids
    assert house.attack(f"python3 -c '{ATTACH}' {pids}").exit_code != 0
    assert house.attack(f"for pid in {pids}; do kill -9 $pid && exit 0; done; exit 1").exit_code
    assert house.services("search")["backend"]["state"] == "running"


def test_a_sibling_s_files_and_database_cannot_be_reached(house: House) -> None:
    tree = house.tree("search")
    (tree / "secret.txt").write_text(SECRET)
    before = (tree / "app.db").read_bytes()
    for path in (tree, "/workspace/../search", "/proc/1/root/../search", house.folder):
        assert house.attack(f"ls -d {path}").exit_code != 0, path
    found = house.attack(
        f"grep -rsl {SECRET} /workspace /run /home /tmp /var /mnt /srv /opt 2>/dev/null"
    )
    assert not found.stdout
    house.attack(f'mkdir -p x; ln -s {tree} x/tree; rm -rf x/tree/*; echo evil >"{tree}/app.db"')
    assert (tree / "app.db").read_bytes() == before
    assert (tree / "secret.txt").exists()
    house.look()


def test_the_engine_cannot_be_reached(house: House) -> None:
    assert house.attack(f"python3 -c '{ENGINE}'").exit_code != 0
    assert "docker.sock" not in house.attack("cat /proc/self/mountinfo").stdout
    gateway = house.inside("search", "hostname -i").stdout.split()[0].rsplit(".", 1)[0] + ".1"
    for port in (2375, 2376):
        attack = house.attack(f"python3 -c '{CONNECT}' {gateway} {port}")
        assert attack.exit_code != 0, port


def test_rights_cannot_be_regained(house: House) -> None:
    for script in (
        "mount -t proc proc /mnt",
        "unshare -m true",
        "chroot / true",
        "nsenter -t 1 -n true",
        "echo 1 >/proc/sys/kernel/sysrq",
        "echo x >/sys/fs/cgroup/release_agent",
        "echo >/proc/sysrq-trigger",
        "mknod /tmp/disk b 8 0",
        "chown 1:1 README.md",
        "kill -9 1 && ! kill -0 1",
    ):
        assert house.attack(script).exit_code != 0, script
    house.require_unharmed()


def _pids(container: str) -> list[str]:
    """The processes of a container as this machine counts them."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                if container in (process / "cgroup").read_text():
                    found.append(process.name)
            except OSError:
                continue
    return found
