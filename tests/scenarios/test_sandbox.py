"""What code in an instance can and cannot do, on the real engine."""

import os
import socket
import struct
from pathlib import Path

import pytest

from tests.scenarios.conftest import App

pytestmark = pytest.mark.engine


def test_a_process_inside_has_our_ids_and_no_rights(app: App) -> None:
    app.up("auth")
    status = app.inside("auth", "id -u; id -g; grep -E '^(Cap|NoNew)' /proc/self/status").stdout
    lines = status.split()
    assert lines[:2] == [str(os.getuid()), str(os.getgid())]
    capabilities = {k: v for k, v in zip(lines[2::2], lines[3::2], strict=True) if "Cap" in k}
    assert set(capabilities.values()) == {"0" * 16}
    assert "NoNewPrivs:\t1" in status


def test_the_limits_of_the_configuration_hold(app: App) -> None:
    app.up("auth")
    script = (
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null;"
        "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null; true"
    )
    assert app.inside("auth", script).stdout.split() == [str(256 * 2**20), "100"]
    cpus = (
        "cat /sys/fs/cgroup/cpu.max 2>/dev/null || "
        "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us"
    )
    quota, period = app.inside("auth", cpus).stdout.split()
    assert quota == period  # one core


def test_a_memory_hog_is_killed_and_status_says_so(app: App) -> None:
    app.up("auth")
    hog = app.inside("auth", "python3 -c 'x = bytearray(600 * 2**20)'")
    assert hog.exit_code == 137
    limits = app.status("auth")["limits_reached"]
    assert [limit for limit in limits if limit.startswith("memory")]


def test_the_git_file_of_the_worktree_is_covered_and_cannot_be_removed(app: App) -> None:
    app.up("auth")
    before = (app.tree("auth") / ".git").read_bytes()
    for attack in (
        "rm -f .git",
        "mv .git gone",
        "echo x > .git",
        "ln -sf /etc .git",
        "umount .git",
    ):
        assert app.inside("auth", attack).exit_code != 0, attack
    assert (app.tree("auth") / ".git").read_bytes() == before
    assert str(app.folder) not in app.inside("auth", "cat .git").stdout


def test_the_main_repository_the_host_and_the_engine_are_out_of_sight(app: App) -> None:
    app.up("auth")
    for path in (app.folder, "/var/run/docker.sock", "/run/docker.sock"):
        assert app.inside("auth", f"ls -d {path}").exit_code != 0, path


def test_siblings_do_not_reach_each_other(app: App) -> None:
    views = app.up("auth", "search")
    address = app.inside("search", "hostname -i").stdout.split()[0]
    port = views["search"]["ports"]["backend"]
    probe = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    own = app.cli("exec", "search", "--", "python3", "-c", probe, address, str(port))
    assert own.exit_code == 0, own.stderr
    for host in (address, gateway(app), "host.docker.internal"):
        other = app.cli("exec", "auth", "--", "python3", "-c", probe, host, str(port))
        assert other.exit_code != 0, host
    assert "search" not in app.inside("auth", "ps -ef; cat /proc/*/environ | tr '\\0' '\\n'").stdout


def test_ports_are_published_on_loopback_only(app: App) -> None:
    port = app.up("auth")["auth"]["ports"]["backend"]
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    # The bridge's own address belongs to this host and is not loopback.
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection((gateway(app), port), 2).close()


def gateway(app: App) -> str:
    """The address of this host on the instances' network, as an instance sees it."""
    routes = app.inside("auth", "cat /proc/net/route").stdout.splitlines()
    (default,) = (fields for fields in map(str.split, routes) if fields[1] == "00000000")
    return socket.inet_ntoa(struct.pack("<L", int(default[2], 16)))


def test_a_mount_whose_source_is_missing_is_an_error_and_no_empty_folder(
    app: App, tmp_path: Path
) -> None:
    absent, own = tmp_path / "absent", tmp_path / "own" / "treedock"
    own.mkdir(parents=True)
    mounts = f"sandbox: {{mounts: [{{source: {absent}, target: /extra}}]}}\n"
    (own / "config.yaml").write_text(mounts)
    answer = app.cli("up", "auth", env={"XDG_CONFIG_HOME": str(own.parent)})
    assert answer.exit_code == 2
    assert f"{absent}, to be mounted at /extra, does not exist" in answer.stderr
    assert not absent.exists()
    assert app.containers() == []


def test_the_home_is_writable_and_the_user_has_a_name(app: App) -> None:
    app.up("auth")
    found = app.inside("auth", 'touch ~/x && echo "$HOME" && id -un')
    assert found.stdout.split() == ["/home/treedock", "root" if os.getuid() == 0 else "dev"]


def test_a_service_on_loopback_gets_exactly_that_said(app: App) -> None:
    run = "exec python3 -m http.server $BACKEND_PORT --bind 127.0.0.1"
    app.configure(services={"backend": {"run": run, "port": "backend", "ready": {"timeout": 20}}})
    answer = app.cli("up", "auth")
    assert answer.exit_code == 1
    assert "backend listens on 127.0.0.1:" in answer.stderr
    assert "--host 0.0.0.0" in answer.stderr
