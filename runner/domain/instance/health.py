"""What `doctor` finds, decided from plain values: each finding with its way out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

from runner.domain.frozen import dataclass
from runner.domain.instance.listening import is_loopback, listeners
from runner.domain.instance.ports import NO_SLOT, PortRange, Slots

GIT_WANTED = (2, 39)  # Debian 12's; `merge-tree --write-tree` came with 2.38
API_WANTED = (1, 41)  # Docker 20.10, Debian 12's
INOTIFY_EACH = 16  # file watchers of one instance: a backend and a frontend that reload, editors
INOTIFY_USUAL = 5  # instances that are counted on where there are fewer
INOTIFY_WANTED = 1024
# Where clouds tell a machine's own secrets, to whoever asks from it.
METADATA = "169.254.169.254"
# The engine never touches rules in this chain: https://docs.docker.com/network/iptables/
METADATA_RULE = f"iptables -I DOCKER-USER -d {METADATA} -j DROP"

LOCK_AGE = 60.0  # seconds

Status = Literal["ok", "warning", "problem"]
SocketState = Literal["absent", "refused", "denied", "silent", "answers"]
Ailment = Literal["elsewhere", "denied", "silent", "not-installed", "stopped"]


@dataclass(frozen=True)
class Finding:
    """What one check found. `check` is a stable name for programs; `way_out` is empty where all
    is well; `fixed` says that `--fix` made it well just now."""

    check: str
    status: Status
    message: str
    way_out: str = ""
    fixed: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Machine:
    """What matters of this host when it has no engine. `dockerd` says that it is installed,
    `grouped` that the user is a member of the group docker, in this session or the next."""

    user: str
    root: bool
    debian: bool
    systemd: bool
    dockerd: bool
    grouped: bool


Leftover = Literal[
    "whole", "unrecorded", "stray", "stripped", "lost-worktree", "unregistered", "lost-container"
]


@dataclass(frozen=True)
class Parts:
    """What is there of one instance. `worktree` is its folder and `registered` git's entry for
    it; `container` is None where no engine could be asked; `busy`: a verb is at work on it."""

    record: bool
    folder: bool
    worktree: bool
    registered: bool
    container: bool | None
    busy: bool


def git_finding(version: Sequence[int]) -> Finding:
    found = _dotted(version)
    if tuple(version) >= GIT_WANTED:
        return Finding("git", "ok", f"git {found}")
    return Finding(
        "git",
        "problem",
        f"git {found} is too old; treedock needs {_dotted(GIT_WANTED)} or newer.",
        "Install a newer git (Debian 12 and Ubuntu 24.04 have one).",
    )


def ailment_of(state: SocketState, *, own_socket: bool, installed: bool) -> Ailment:
    """Why the engine behind a socket in this state cannot be used.

    `own_socket` is false where DOCKER_HOST names another engine than this host's usual one.
    """
    if state == "denied":
        return "denied"
    if not own_socket:
        return "elsewhere"
    if state in ("silent", "answers"):
        return "silent"
    return "stopped" if installed else "not-installed"


def is_repairable(ailment: Ailment, machine: Machine) -> bool:
    """Whether `--fix` can safely do something about it."""
    if not machine.root:
        return False
    return ailment == "stopped" or (ailment == "not-installed" and machine.debian)


def engine_finding(ailment: Ailment, machine: Machine, address: str) -> Finding:
    """The engine cannot be used: what is the matter and the way out."""
    messages: dict[Ailment, str] = {
        "elsewhere": f"The engine at {address}, which DOCKER_HOST names, does not answer.",
        "denied": f"{machine.user} may not use the engine: no permission on {address}.",
        "silent": f"Something listens at {address} but does not answer as an engine does.",
        "not-installed": "The container engine is not installed: there is no dockerd.",
        "stopped": "The container engine is installed but does not run.",
    }
    return Finding("engine", "problem", messages[ailment], _way_to_engine(ailment, machine))


def version_finding(version: str, api_version: str) -> Finding:
    """Whether the engine that answered, by name and version, is new enough."""
    api = tuple(int(part) for part in api_version.split(".") if part.isdecimal())
    if api >= API_WANTED:
        return Finding("engine", "ok", f"{version}, API {api_version}")
    return Finding(
        "engine",
        "problem",
        f"{version} speaks API {api_version}; "
        f"treedock needs {_dotted(API_WANTED)} (Docker 20.10) or newer.",
        "Upgrade the engine.",
    )


def overlay_findings(operations: bool | None) -> list[Finding]:
    """`works`: whether the engine mounts volumes above others; None where no one tried."""
    if operations is None:
        return []
    if operations:
        return [Finding("dependencies", "ok", "instances share what set-up makes, copy-on-write")]
    return [
        Finding(
            "dependencies",
            "warning",
            "The engine cannot mount overlays: each new instance copies what set-up makes.",
            "A local engine that is not rootless can; copies work, but take time and space. "
            "treedock doctor --fix has the next `up` try again.",
        )
    ]


def rootless_findings(rootless: bool) -> list[Finding]:
    """What holds in an engine without root depends on how it was set up; else nothing to say."""
    if not rootless:
        return []
    return [
        Finding(
            "engine-rootless",
            "warning",
            "The engine is rootless: limits (memory, cpus, pids) may not hold, files in the "
            "worktrees may belong to other user ids, and ports may be published differently.",
            "Let your user have the cgroup v2 controllers (docs.docker.com, rootless mode), or use "
            "an engine that runs as root.",
        )
    ]


def capability_findings(*, limits: Collection[str], userns: bool) -> list[Finding]:
    """What an engine cannot do that instances want; `limits` are those that it can hold."""
    found = []
    missing = [limit for limit in ("memory", "cpus", "pids") if limit not in limits]
    if missing:
        found.append(
            Finding(
                "engine-limits",
                "warning",
                f"The engine cannot limit {', '.join(missing)}: one instance can take all of it.",
                "Boot the host with these cgroup controllers, for memory: cgroup_enable=memory.",
            )
        )
    if userns:
        found.append(
            Finding(
                "engine-userns",
                "warning",
                "The engine gives users inside other ids (userns-remap): they cannot write to the "
                "worktrees, which belong to yours.",
                "Take userns-remap out of the engine's configuration (dockerd --userns-remap).",
            )
        )
    return found


def disk_finding(places: Mapping[str, int], wanted: int) -> Finding:
    """`places` maps what lies on a disk to its free bytes; `wanted` is limits.disk_free."""
    short = {name: free for name, free in places.items() if free < wanted}
    said = ", ".join(f"{_gib(free)} for {name}" for name, free in (short or places).items())
    if not short:
        return Finding("disk", "ok", f"free: {said}")
    return Finding(
        "disk",
        "problem",
        f"Too little disk space is free: {said}; limits.disk_free wants {_gib(wanted)}.",
        "Free some (treedock clean, docker system df) or lower limits.disk_free.",
    )


def noexec_sentence(mount: str) -> str:
    """What it means for worktrees that lie below a mount point from which nothing may be run, and
    the way out."""
    return (
        f"{mount} is mounted noexec: scripts and programs in a worktree there cannot be run. "
        f"Allow it: mount -o remount,exec {mount} (for good in /etc/fstab). Or have new worktrees "
        "on another disk: `worktrees:` in ~/.config/treedock/config.yaml."
    )


def watches_finding(limit: int | None, instances: int) -> Finding:
    """`limit` is fs.inotify.max_user_instances, which all processes of a user share, inside and
    out; a development server that reloads takes one or more."""
    if limit is None:
        return Finding("inotify", "ok", "the kernel names no limit of inotify instances here")
    has = f"fs.inotify.max_user_instances is {limit}, for {instances} instances"
    if limit >= INOTIFY_EACH * max(instances, INOTIFY_USUAL):
        return Finding("inotify", "ok", has)
    return Finding(
        "inotify",
        "warning",
        f"{has}: file watchers (vite, uvicorn --reload) may fail with EMFILE, "
        '"too many open files".',
        f"sysctl -w fs.inotify.max_user_instances={INOTIFY_WANTED} (as root; for good in "
        "/etc/sysctl.d)",
    )


def slots_finding(slots: Slots, *, dynamic: bool) -> Finding:
    """`dynamic`: an instance gets any free ports where there is no slot."""
    free = f"{slots.free} of {slots.total} slots are free"
    if slots.free or dynamic:
        return Finding("slots", "ok", free)
    return Finding(
        "slots", "warning", f"{free}: no instance can be added (overflow: refuse).", NO_SLOT
    )


def ports_finding(ranges: Mapping[str, PortRange], ephemeral: PortRange | None) -> Finding:
    """Whether the kernel could give a port of ours to someone's outgoing connection."""
    if ephemeral is None:
        return Finding("port-range", "ok", "the kernel names no ephemeral range here")
    inside = {
        name: ports
        for name, ports in ranges.items()
        if ports.first <= ephemeral.last and ports.last >= ephemeral.first
    }
    said = ", ".join(f"{name} {ports}" for name, ports in (inside or ranges).items())
    if not inside:
        return Finding("port-range", "ok", f"{said}: clear of the ephemeral range {ephemeral}")
    return Finding(
        "port-range",
        "warning",
        f"{said}: in the kernel's ephemeral range {ephemeral}, whose ports any outgoing "
        "connection may take.",
        f"Move the ranges under `ports:` in treedock.yaml below {ephemeral.first}.",
    )


def parse_ephemeral(text: str) -> PortRange | None:
    """The content of ip_local_port_range, '32768<tab>60999', or None where it is none."""
    numbers = text.split()
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        return None
    return PortRange(int(numbers[0]), int(numbers[1]))


def exposed(tables: str) -> dict[int, set[int]]:
    """From the text of /proc/net/tcp and tcp6: ports listened on beyond loopback, each with the
    inodes of its sockets."""
    found: dict[int, set[int]] = {}
    for line in tables.splitlines():
        fields = line.split()
        for address, port in listeners(line):
            if not is_loopback(address):
                inode = int(fields[9]) if len(fields) > 9 and fields[9].isdecimal() else 0
                found.setdefault(port, set()).add(inode)
    return found


def exposed_finding(ports: Mapping[int, str]) -> Finding:
    """`ports` maps each port to the process that listens there, '' where that is unknown."""
    if not ports:
        return Finding(
            "exposed-services",
            "ok",
            "no service of this host listens beyond loopback; in a cloud sandboxes reach its "
            f"metadata at {METADATA} unless you run: {METADATA_RULE}",
        )
    said = ", ".join(
        f"{port} ({name or 'process unknown'})" for port, name in sorted(ports.items())
    )
    return Finding(
        "exposed-services",
        "warning",
        f"Sandboxes can reach services of this host that listen beyond loopback: {said}.",
        "Let them listen on 127.0.0.1, or block the engine's networks with a firewall. In a cloud "
        f"block its metadata, too: {METADATA_RULE}",
    )


def leftover_of(parts: Parts) -> Leftover:
    """What the parts add up to; 'whole' is none of doctor's business.

    unrecorded: a container or a folder of treedock's that no record accounts for; stray: the
    same of a worktree; stripped: a record and nothing else.
    """
    if parts.busy:
        return "whole"
    if not parts.record:
        if parts.registered:
            return "stray"
        return "unrecorded" if parts.container or parts.folder else "whole"
    if not parts.worktree:
        return "stripped" if parts.container is False else "lost-worktree"
    if not parts.registered:
        return "unregistered"
    return "lost-container" if parts.container is False else "whole"


def is_stale_lock(age: float, *, held: bool) -> bool:
    """Whether a lock file of git's, `age` seconds old, is left by a git that was killed. One in an
    editor holds it for as long as a person types; what is not named git does so for a moment."""
    return not held and age > LOCK_AGE


def _way_to_engine(ailment: Ailment, machine: Machine) -> str:
    sudo = "" if machine.root else "sudo "
    if ailment == "elsewhere":
        return "Start that engine, or unset DOCKER_HOST."
    if ailment == "denied":
        if machine.grouped:
            return "You are in the group docker since your last login: log in anew."
        return f"sudo usermod -aG docker {machine.user}, then log in anew."
    if ailment == "silent":
        return "It may still be starting: try again, then look at its log and restart it."
    if is_repairable(ailment, machine):
        return "treedock doctor --fix sees to it."
    if ailment == "stopped":
        start = "systemctl start docker" if machine.systemd else "dockerd"
        return f"Start it: {sudo}{start}{_join_group(machine)}"
    if machine.debian:
        install = f"{sudo}apt-get update && {sudo}apt-get install -y docker.io"
        return f"Install it: {install}{_join_group(machine)}"
    return "Install Docker Engine 20.10 or newer: https://docs.docker.com/engine/install/"


def _join_group(machine: Machine) -> str:
    if machine.root or machine.grouped:
        return ""
    return f"; then sudo usermod -aG docker {machine.user}, and log in anew"


def _dotted(version: Sequence[int]) -> str:
    return ".".join(str(part) for part in version)


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
