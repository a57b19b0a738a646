"""Ports of this host."""

import contextlib
import errno
import socket
from pathlib import Path


def listening_tables() -> str:
    """/proc/net/tcp and tcp6 as text; empty where there are none."""
    texts = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            texts.append((Path("/proc/net") / name).read_text(errors="replace"))
    return "\n".join(texts)


def is_free(port: int) -> bool:
    """Whether `port` can be bound now."""
    import portpicker  # late: only `up` needs it

    return bool(portpicker.is_port_free(port))


def is_shadowed(port: int) -> bool:
    """Whether a process listens on ::1 at `port`: browsers that are told `localhost` ask that one
    first. False on a host without IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("::1", port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def any_free() -> int:
    """A port that is free now, picked by portpicker. Raises OSError where there is none."""
    import portpicker

    return int(portpicker.pick_unused_port())


def answers_http(host: str, port: int, path: str, timeout: float) -> int | None:
    """The status that `path` answers with, or None where nothing speaks HTTP there."""
    request = f"GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n"
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(request.encode())
            with connection.makefile("rb") as answer:
                version, status, *_ = answer.readline(64).decode("ascii", "replace").split()
    except (OSError, ValueError):
        return None
    return int(status) if version.startswith("HTTP/") and status.isdecimal() else None


def speaks_tls(host: str, port: int, timeout: float) -> bool:
    """Whether a TLS handshake succeeds there, whatever the certificate says."""
    import ssl  # late: asked only where a service is not ready for seconds

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=timeout) as connection,
            context.wrap_socket(connection, server_hostname="localhost"),
        ):
            return True
    except (OSError, ValueError):
        return False


def answers_tcp(host: str, port: int, timeout: float) -> bool:
    """Whether something accepts and keeps a connection.

    The engine's proxy accepts for a container in which nothing listens, and hangs up at once:
    a connection counts when it is still open, or has been spoken on, after `timeout` seconds.
    """
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            return connection.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False
