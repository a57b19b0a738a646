"""What of the real engine's adapter can be asked without an engine."""

import io
import itertools
import socket
import struct
import time

import pytest

from runner.adapters.engine.execs import Connection, frames
from runner.domain.errors import EngineFailed


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
