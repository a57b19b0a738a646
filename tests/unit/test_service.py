"""When a service is ready, and what is said of one that does not get there."""

import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from runner.adapters.host import sockets
from runner.domain.instance.service import is_failure, is_ready
from runner.domain.text import with_last_lines, without_lines


@pytest.mark.parametrize(
    ("status", "ready", "failure"),
    [
        (200, True, False),
        (404, True, False),
        (500, False, True),
        (501, False, True),
        (503, False, False),  # of a server that waits for another one
        (502, False, False),
        (None, False, False),
    ],
)
def test_an_answer_is_ready_or_a_failure_or_to_be_waited_for(
    status: int | None, ready: bool, failure: bool
) -> None:
    assert (is_ready(status), is_failure(status)) == (ready, failure)


def test_of_last_lines_the_last_stays_behind_the_sentence() -> None:
    assert without_lines(with_last_lines("It failed.", ["a", "b\nc"])) == (
        r"It failed. It ended with: b\x0ac"
    )
    assert without_lines(with_last_lines("It failed.", [])) == "It failed."


def test_tls_is_told_from_what_is_none(tmp_path: Path) -> None:
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "cert")]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(
        [*made, "-nodes", "-subj", "/CN=localhost", *files], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            for answers in (context, None):
                connection, _ = listening.accept()
                with connection:
                    if answers:
                        answers.wrap_socket(connection, server_side=True).close()
                    else:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        serving = threading.Thread(target=serve)
        serving.start()
        assert sockets.speaks_tls("127.0.0.1", port, timeout=10)
        assert not sockets.speaks_tls("127.0.0.1", port, timeout=10)
        serving.join()
    assert not sockets.speaks_tls("127.0.0.1", port, timeout=10)
