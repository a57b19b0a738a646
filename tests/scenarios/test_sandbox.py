"""What code in an instance can and cannot do, on the real engine."""

import os
import socket

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
    for host in (address, "172.17.0.1", "host.docker.internal"):
        other = app.cli("exec", "auth", "--", "python3", "-c", probe, host, str(port))
        assert other.exit_code != 0, host
    assert "search" not in app.inside("auth", "ps -ef; cat /proc/*/environ | tr '\\0' '\\n'").stdout


def test_ports_are_published_on_loopback_only(app: App) -> None:
    port = app.up("auth")["auth"]["ports"]["backend"]
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells which address we go out from
        outside = probe.getsockname()[0]
    if outside.startswith("127."):
        pytest.skip("this host has no address but loopback")
    with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
        socket.create_connection((outside, port), 2)


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
