"""What a command reads from and writes to."""

from typing import BinaryIO, Protocol

from runner.domain.frozen import dataclass


class Sink(Protocol):
    """What output goes into: a file, or what is like one."""

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> object: ...


@dataclass(frozen=True)
class Streams:
    """Without `stdin` there is nothing to read."""

    stdin: BinaryIO | None
    stdout: Sink
    stderr: Sink
