"""Ports of this host."""

import socket


def is_free(port: int) -> bool:
    """Whether `port` can be bound now."""
    import portpicker  # late: only `up` needs it

    return bool(portpicker.is_port_free(port))


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
