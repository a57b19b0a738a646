"""Ports of this host."""

import http.client
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
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


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
