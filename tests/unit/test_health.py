"""What doctor makes of plain values."""

import itertools

import pytest

from runner.domain.instance import health
from runner.domain.instance.health import Ailment, Machine, Parts, SocketState, is_stale_lock
from runner.domain.instance.ports import PortRange

# Port 2024 (07E8) on all addresses, 5432 (1538) on 127.0.0.1, 8080 (1F90) on 10.0.0.5, a
# connection of 8080 that is established (01), then 22 on [::], 9000 (2328) on [::1] and on
# [::ffff:127.0.0.1], and 3000 (0BB8) on a link-local address.
TABLES = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1061 1 0 100
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1062 1 0 100
   2: 0500000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 1063 1 0 100
   3: 0500000A:1F90 0600000A:C001 01 00000000:00000000 00:00000000 00000000  0  0 1064 1 0 20
  sl  local_address                         remote_address                        st ...
   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2001 1
   1: 00000000000000000000000001000000:2328 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2002 1
   2: 0000000000000000FFFF00000100007F:2328 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2003 1
   3: 000080FE00000000FF57A6705DC771FE:0BB8 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2004 1
"""  # noqa: E501 - the kernel's lines are this long

DEFAULT = {"backend": PortRange(9100, 9114), "frontend": PortRange(9200, 9214)}
EPHEMERAL = PortRange(32768, 60999)


def machine(
    *, root: bool = True, debian: bool = True, systemd: bool = False, grouped: bool = False
) -> Machine:
    user = "root" if root else "ada"
    return Machine(user, root, debian, systemd, dockerd=False, grouped=grouped)


def whole(
    *,
    record: bool = True,
    folder: bool = True,
    worktree: bool = True,
    registered: bool = True,
    container: bool | None = True,
    busy: bool = False,
) -> Parts:
    return Parts(record, folder, worktree, registered, container, busy)


@pytest.mark.parametrize(
    ("limit", "instances", "status"),
    [(None, 20, "ok"), (128, 3, "ok"), (128, 9, "warning"), (64, 0, "warning"), (1024, 60, "ok")],
)
def test_what_the_kernel_lets_watch_is_told_beside_the_instances(
    limit: int | None, instances: int, status: str
) -> None:
    finding = health.watches_finding(limit, instances)
    assert (finding.check, finding.status) == ("inotify", status)
    if limit is not None:
        assert f"{limit}, for {instances} instances" in finding.message
    assert ("sysctl -w fs.inotify.max_user_instances" in finding.way_out) == (status != "ok")


def test_a_finding_is_plain_json() -> None:
    finding = health.Finding("git", "ok", "git 2.39.5")
    assert finding.to_json() == {
        "check": "git",
        "status": "ok",
        "message": "git 2.39.5",
        "way_out": "",
        "fixed": False,
    }


@pytest.mark.parametrize(
    ("version", "status"),
    [((2, 38, 9), "problem"), ((2, 39), "ok"), ((2, 39, 5), "ok"), ((3,), "ok")],
)
def test_git_has_to_be_2_39_or_newer(version: tuple[int, ...], status: str) -> None:
    finding = health.git_finding(version)
    assert finding.status == status
    assert ".".join(map(str, version)) in finding.message


@pytest.mark.parametrize(("api", "status"), [("1.40", "problem"), ("1.41", "ok"), ("1.100", "ok")])
def test_the_engine_has_to_speak_api_1_41_or_newer(api: str, status: str) -> None:
    finding = health.version_finding("Engine 20.10.24", api)
    assert (finding.check, finding.status) == ("engine", status)
    assert api in finding.message


@pytest.mark.parametrize(
    ("state", "installed", "ailment"),
    [
        ("absent", False, "not-installed"),
        ("absent", True, "stopped"),
        ("refused", True, "stopped"),
        ("denied", True, "denied"),
        ("silent", True, "silent"),
    ],
)
def test_missing_stopped_forbidden_and_silent_engines_are_told_apart(
    state: SocketState, installed: bool, ailment: Ailment
) -> None:
    assert health.ailment_of(state, own_socket=True, installed=installed) == ailment


def test_an_engine_that_docker_host_names_is_not_ours_to_start() -> None:
    ailment = health.ailment_of("absent", own_socket=False, installed=True)
    assert ailment == "elsewhere"
    assert not health.is_repairable(ailment, machine())
    finding = health.engine_finding(ailment, machine(), "tcp://build:2375")
    assert "tcp://build:2375" in finding.message
    assert "DOCKER_HOST" in finding.way_out


def test_every_ailment_of_the_engine_has_its_own_words_and_a_way_out() -> None:
    ailments: list[Ailment] = ["elsewhere", "denied", "silent", "not-installed", "stopped"]
    found = [health.engine_finding(a, machine(root=False), "/run/docker.sock") for a in ailments]
    assert len({finding.message for finding in found}) == len(ailments)
    assert len({finding.way_out for finding in found}) == len(ailments)
    assert all(finding.status == "problem" and finding.way_out for finding in found)


def test_root_is_told_that_fix_installs_and_starts_the_engine() -> None:
    for ailment in ("not-installed", "stopped"):
        assert health.is_repairable(ailment, machine())
        assert "--fix" in health.engine_finding(ailment, machine(), "").way_out


def test_an_ordinary_user_is_told_the_commands_instead() -> None:
    ada = machine(root=False)
    assert not health.is_repairable("not-installed", ada)
    way = health.engine_finding("not-installed", ada, "").way_out
    assert "sudo apt-get install -y docker.io" in way
    assert "sudo usermod -aG docker ada" in way
    assert "sudo dockerd" in health.engine_finding("stopped", ada, "").way_out
    with_systemd = machine(root=False, systemd=True)
    way = health.engine_finding("stopped", with_systemd, "").way_out
    assert "sudo systemctl start docker" in way


def test_nothing_is_installed_where_apt_is_not_at_home() -> None:
    fedora = machine(debian=False)
    assert not health.is_repairable("not-installed", fedora)
    assert "https://" in health.engine_finding("not-installed", fedora, "").way_out


def test_a_member_of_the_group_only_has_to_log_in_anew() -> None:
    member = machine(root=False, grouped=True)
    assert "usermod" not in health.engine_finding("denied", member, "").way_out
    stranger = machine(root=False)
    assert "usermod -aG docker ada" in health.engine_finding("denied", stranger, "").way_out


def test_a_disk_below_the_limit_is_named() -> None:
    free = {"/home/ada/shop": 5 * 2**30, "the engine (/var/lib/docker)": 2**30}
    finding = health.disk_finding(free, 2 * 2**30)
    assert finding.status == "problem"
    assert "1.0 GiB for the engine (/var/lib/docker)" in finding.message
    assert "shop" not in finding.message
    assert "2.0 GiB" in finding.message


def test_enough_free_space_everywhere_is_fine() -> None:
    assert health.disk_finding({"/home/ada/shop": 2**31}, 2**31).status == "ok"


def test_the_default_ranges_are_clear_of_the_default_ephemeral_range() -> None:
    assert health.ports_finding(DEFAULT, EPHEMERAL).status == "ok"


@pytest.mark.parametrize(
    "ports", [PortRange(32760, 32774), PortRange(40000, 40014), PortRange(60999, 61013)]
)
def test_a_range_that_reaches_into_the_ephemeral_one_is_named(ports: PortRange) -> None:
    finding = health.ports_finding({**DEFAULT, "storybook": ports}, EPHEMERAL)
    assert finding.status == "warning"
    assert f"storybook {ports}" in finding.message
    assert "backend" not in finding.message
    assert "32768" in finding.way_out


@pytest.mark.parametrize(
    ("text", "wanted"), [("32768\t60999\n", EPHEMERAL), ("", None), ("32768 x", None)]
)
def test_the_ephemeral_range_is_read_as_the_kernel_writes_it(
    text: str, wanted: PortRange | None
) -> None:
    assert health.parse_ephemeral(text) == wanted


def test_only_services_beyond_loopback_are_exposed() -> None:
    assert health.exposed(TABLES) == {2024: {1061}, 8080: {1063}, 22: {2001}, 3000: {2004}}


def test_exposed_services_are_a_warning_with_port_and_process() -> None:
    finding = health.exposed_finding({2024: "", 22: "sshd"})
    assert finding.status == "warning"
    assert "22 (sshd), 2024 (process unknown)" in finding.message
    assert "iptables -I DOCKER-USER -d 169.254.169.254 -j DROP" in finding.way_out


def test_no_exposed_service_is_fine_but_a_clouds_metadata_is_told_of() -> None:
    finding = health.exposed_finding({})
    assert finding.status == "ok"
    assert "iptables -I DOCKER-USER -d 169.254.169.254 -j DROP" in finding.message


def test_a_rootless_engine_is_a_warning_and_another_none() -> None:
    (finding,) = health.rootless_findings(True)
    assert (finding.status, "limits" in finding.message) == ("warning", True)
    assert health.rootless_findings(False) == []


@pytest.mark.parametrize(
    ("parts", "wanted"),
    [
        (whole(), "whole"),
        (whole(container=None), "whole"),
        (whole(container=False), "lost-container"),
        (whole(worktree=False), "lost-worktree"),
        (whole(worktree=False, container=None), "lost-worktree"),
        (whole(worktree=False, container=False), "stripped"),
        (whole(registered=False), "unregistered"),
        (whole(record=False), "stray"),
        (whole(record=False, worktree=False, registered=False), "unrecorded"),
        (whole(record=False, worktree=False, registered=False, container=False), "unrecorded"),
        (whole(record=False, folder=False, registered=False, container=False), "whole"),
    ],
)
def test_what_the_parts_of_an_instance_add_up_to(parts: Parts, wanted: str) -> None:
    assert health.leftover_of(parts) == wanted


def test_an_instance_that_a_verb_works_on_is_left_alone() -> None:
    for a, b, c, d, e in itertools.product([True, False], repeat=5):
        assert health.leftover_of(Parts(a, b, c, d, e, busy=True)) == "whole"


@pytest.mark.parametrize(
    ("age", "held", "stale"),
    [(3600, False, True), (3600, True, False), (5, False, False), (-3600, False, False)],
)
def test_a_lock_of_gits_is_stale_when_it_is_old_and_held_by_none(
    age: float, held: bool, stale: bool
) -> None:
    assert is_stale_lock(age, held=held) is stale


def test_what_the_engine_cannot_do_is_a_warning_each() -> None:
    assert health.capability_findings(limits=["memory", "cpus", "pids"], userns=False) == []
    limits, userns = health.capability_findings(limits=["cpus"], userns=True)
    assert (limits.check, limits.status) == ("engine-limits", "warning")
    assert "memory, pids" in limits.message
    assert (userns.check, userns.status) == ("engine-userns", "warning")
