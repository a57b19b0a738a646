"""This host: what /proc says, its packages, and the start of its engine."""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runner.adapters import cancellation
from runner.adapters.engine.unix import SOCKET
from runner.adapters.files import untrusted
from runner.domain.errors import EngineUnavailable, Unavailable
from runner.domain.instance.health import Machine, SocketState
from runner.domain.text import with_last_lines

DOCKERD_LOG = Path("/var/log/treedock-dockerd.log")
START_TIMEOUT = 60.0  # seconds; a first start on a slow disk took 5
PING_TIMEOUT = 10.0  # seconds; a busy engine answers within one
_LAST_LINES = 15
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"  # an ordinary user's PATH may lack these
# What a dockerd that was killed leaves, below /var/run.
_PID_FILES = {"dockerd": "docker.pid", "containerd": "docker/containerd/containerd.pid"}

Say = Callable[[str], None]


# --- looking ---------------------------------------------------------------------------------


def machine() -> Machine:
    """What matters here for installing and starting an engine."""
    user = _user()
    return Machine(
        user=user,
        root=os.geteuid() == 0,
        debian=is_debian(text_of(Path("/etc/os-release"))) and which("apt-get") is not None,
        systemd=Path("/run/systemd/system").is_dir(),
        dockerd=which("dockerd") is not None,
        grouped=_is_member(user, "docker"),
    )


def which(command: str) -> str | None:
    """Where a command lies, the system administrator's folders included."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


def socket_state(path: Path, timeout: float = PING_TIMEOUT) -> SocketState:
    """What becomes of a ping to an engine's socket. Needs no docker-py."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            status = connection.recv(64).split(b" ", 2)
        except PermissionError:
            return "denied"
        except (FileNotFoundError, NotADirectoryError):
            return "absent"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "silent"
    return "answers" if status[1:2] == [b"200"] else "silent"


def ephemeral_range() -> str:
    """The kernel's '32768<tab>60999'; empty where it says nothing."""
    return text_of(Path("/proc/sys/net/ipv4/ip_local_port_range"))


def watch_limit() -> int | None:
    """fs.inotify.max_user_instances, or None where the kernel says nothing."""
    text = text_of(Path("/proc/sys/fs/inotify/max_user_instances")).strip()
    return int(text) if text.isdecimal() else None


def processes_of(inodes: set[int], proc: Path = Path("/proc")) -> dict[int, str]:
    """The names of the processes that have these sockets open, as far as we may look."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, str] = {}
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or is someone else's
            for entry in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    inode = wanted.get(str(entry.readlink()))
                    if inode is not None:
                        found[inode] = text_of(process / "comm").strip()
    return found


def git_at_work(places: Sequence[Path], lock: Path, proc: Path = Path("/proc")) -> bool:
    """Whether a process holds a lock file of git's: one that has it open, or any git that works in
    one of these folders or was told one of them. One that we may not look into may be such."""
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            is_git = text_of(process / "comm").startswith("git")
            try:
                if any(one.readlink() == lock for one in (process / "fd").iterdir()):
                    return True
                if is_git and _is_about(process, places):
                    return True
            except PermissionError:
                if is_git:
                    return True
    return False


def _is_about(process: Path, places: Sequence[Path]) -> bool:
    environment = text_of(process / "cmdline") + text_of(process / "environ")
    where = (process / "cwd").readlink()
    return any(where.is_relative_to(place) or str(place) in environment for place in places)


def device(path: Path) -> int:
    """The number of the file system that holds `path`, or its nearest parent that is there."""
    while not path.exists():
        path = path.parent
    return path.stat().st_dev


def text_of(path: Path) -> str:
    """The content of a file of the system, empty where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


# --- mending; root only ------------------------------------------------------------------------


def install_engine(say: Say, *, systemd: bool) -> None:
    """Install Debian's or Ubuntu's engine. Raises Unavailable with apt's last lines."""
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=120"]
    run([*apt, "update"], say)
    packages = ["docker.io", "iptables", "apparmor"]
    if not systemd:
        packages.append("cgroupfs-mount")  # systemd mounts them itself
    if not subprocess.run(["apt-cache", "show", "docker-cli"], capture_output=True).returncode:
        packages.append("docker-cli")  # a package of its own since Debian 13
    run([*apt, "install", "-y", "--no-install-recommends", *packages], say)


def start_by_systemd(say: Say) -> None:
    """Raises Unavailable with what systemctl says."""
    run(["systemctl", "start", "docker"], say)


def start_own(say: Say) -> None:
    """Start this host's dockerd where no service manager does. Raises EngineUnavailable."""
    run_folder = Path("/var/run")
    if not is_starting(run_folder):
        forget_dead(run_folder)
        if "cgroup" not in text_of(Path("/proc/mounts")) and which("cgroupfs-mount"):
            run(["cgroupfs-mount"], say)
        try:
            start_engine([which("dockerd") or "dockerd"], SOCKET, DOCKERD_LOG)
        except EngineUnavailable:
            if not is_starting(run_folder):
                raise  # else the init script of the fresh package was quicker
    _await(SOCKET, START_TIMEOUT)


def is_starting(run_folder: Path, proc: Path = Path("/proc")) -> bool:
    """Whether a dockerd has taken possession of this run folder, answering or not."""
    return _lives(run_folder / _PID_FILES["dockerd"], "dockerd", proc)


def forget_dead(run_folder: Path, proc: Path = Path("/proc")) -> None:
    """Remove pid files of a killed engine. When another program has its number by now, dockerd
    would take that for itself and refuse to start."""
    for command, name in _PID_FILES.items():
        if not _lives(run_folder / name, command, proc):
            (run_folder / name).unlink(missing_ok=True)


def start_engine(
    argv: Sequence[str], answers_at: Path, log: Path, timeout: float = START_TIMEOUT
) -> subprocess.Popen[bytes]:
    """Start an engine in a session of its own and wait until its socket answers.

    Raises EngineUnavailable with the log's last lines when it ends or is silent for `timeout`
    seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = _spawn(argv, stdout=file, stderr=file, cwd="/", start_new_session=True)
    deadline = time.monotonic() + timeout
    while socket_state(answers_at) != "answers":
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            _end(process)
            how = "ended" if ended else f"did not answer within {timeout:g} seconds"
            last = untrusted.tail(log, _LAST_LINES)
            raise EngineUnavailable(
                with_last_lines(f"{argv[0]} was started but {how}.", last),
                hint=f"The whole log is {log}.",
            )
        cancellation.sleep(0.1)
    return process


def run(argv: Sequence[str], say: Say) -> None:
    """Run a command, telling each line of its output. Raises Unavailable with the last lines."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    lines: list[str] = []
    with _spawn(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=quiet, text=True,
        errors="replace",
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            lines.append(line.rstrip())
            say(lines[-1])
    if process.returncode:
        said = f"{' '.join(argv)} failed (exit code {process.returncode})."
        raise Unavailable(
            with_last_lines(said, lines[-_LAST_LINES:]),
            hint="Run that command yourself, mend what it complains about, and try again.",
        )


def _spawn(argv: Sequence[str], **how: Any) -> subprocess.Popen[Any]:
    try:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, **how)
    except FileNotFoundError as error:
        raise Unavailable(
            f"There is no command {argv[0]} on this machine.", hint="Install it and try again."
        ) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """An engine that does not answer must not be in the way of the next one."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await(path: Path, timeout: float) -> None:
    """Wait for an engine that someone else is starting."""
    deadline = time.monotonic() + timeout
    while socket_state(path) != "answers":
        if time.monotonic() > deadline:
            raise EngineUnavailable(
                f"A dockerd runs, but {path} did not answer within {timeout:g} seconds.",
                hint="Look at its log and restart it.",
            )
        cancellation.sleep(0.1)


def _lives(pid_file: Path, command: str, proc: Path) -> bool:
    pid = text_of(pid_file).strip()
    return pid.isdecimal() and text_of(proc / pid / "comm").strip() == command


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def is_debian(os_release: str) -> bool:
    pairs = dict(line.partition("=")[::2] for line in os_release.splitlines())
    families = f"{pairs.get('ID', '')} {pairs.get('ID_LIKE', '')}".replace('"', "").split()
    return not {"debian", "ubuntu"}.isdisjoint(families)


def _is_member(user: str, group: str) -> bool:
    try:
        return user in grp.getgrnam(group).gr_mem
    except KeyError:
        return False
