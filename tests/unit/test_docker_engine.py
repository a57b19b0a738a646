"""What of the real engine's adapter can be asked without an engine."""

import io
import itertools
import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from runner.adapters.engine.calls import Connection
from runner.adapters.engine.execs import frames
from runner.adapters.engine.unix import UnixCalls
from runner.domain.errors import EngineFailed, EngineUnavailable


class Flood(io.BytesIO):
    """Frames without an end; the next one is always there."""

    def read(self, size: int | None = -1) -> bytes:
        return struct.pack(">BxxxL", 2, 4) if size == 8 else b"more"


def test_what_never_pauses_ends_at_its_time_limit() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = frames(Connection(ours, Flood()), 0.05)
        begun = time.monotonic()
        with pytest.raises(EngineFailed, match="did not end within"):
            list(itertools.takewhile(lambda _: time.monotonic() < begun + 5, found))


UPGRADED = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
FRAME = struct.pack(">BxxxL", 1, 5)


@pytest.mark.parametrize(
    ("sent", "read_first"),
    [
        (FRAME + b"hello", False),  # what is not read makes the end of the connection a reset
        (FRAME + b"hel", True),
        (FRAME[:3], True),
        (b"", False),
    ],
    ids=["reset", "within a frame", "within a head", "reset at once"],
)
def test_an_engine_that_breaks_off_within_a_command_is_unavailable(
    tmp_path: Path, sent: bytes, read_first: bool
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "engine.sock"))
        server.listen()
        thread = threading.Thread(target=_break_off, args=(server, UPGRADED + sent, read_first))
        thread.start()
        calls = UnixCalls(tmp_path / "engine.sock")
        with pytest.raises(EngineUnavailable), calls.started("made", tty=False) as connection:
            list(frames(connection, None))
        thread.join()


def _break_off(server: socket.socket, answer: bytes, read_first: bool) -> None:
    client, _ = server.accept()
    with client:
        client.recv(2**16 if read_first else 1, 0 if read_first else socket.MSG_PEEK)
        client.sendall(answer)
