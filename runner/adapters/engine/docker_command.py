"""The `docker` command, for what docker-py lacks: a raw terminal."""

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence

from runner.adapters.engine.unix import SOCKET

PATIENCE = 5.0  # seconds for the docker command to notice that its command has ended


def is_installed() -> bool:
    """Whether this machine has it."""
    return shutil.which("docker") is not None


def exec_on_terminal(
    container: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    workdir: str,
    end: Callable[[BaseException], None],
) -> int:
    """Run a command inside, on our terminal; returns its exit code, that of a shell where a
    signal ended the docker command. What ends the wait early is handed to `end`, which has to
    end the command inside: then the docker command gives the terminal back as it was."""
    terminal = os.environ.get("TERM", "xterm")
    host = [] if os.environ.get("DOCKER_HOST") else ["--host", f"unix://{SOCKET}"]
    words = ["docker", *host, "exec", "-it", "-e", f"TERM={terminal}", "-w", workdir]
    descriptor = _env_file(env)
    words += ["--env-file", f"/proc/self/fd/{descriptor}", container, *command]
    with subprocess.Popen(words, pass_fds=[descriptor]) as process:
        os.close(descriptor)
        try:
            code = process.wait()
        except BaseException as why:
            end(why)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
    return 128 - code if code < 0 else code


def _env_file(env: Mapping[str, str]) -> int:
    """A descriptor that the docker command reads the environment from: on its command line
    everybody on this machine could read it, and in its own environment it would steer docker.
    Such a file has no place for a value of several lines; that of the container stays."""
    descriptor = os.memfd_create("environment", 0)
    lines = (f"{key}={value}\n" for key, value in env.items() if "\n" not in value)
    os.write(descriptor, "".join(lines).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
