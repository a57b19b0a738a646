"""What a command prints, kept within bounds."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

SHOWN = 2**20  # bytes of a stream that stay in memory: its end
KEPT = 64 * 2**20  # bytes of a stream that go into a file: its start


class Bounded:
    """Gets what is written to it, and keeps the first `limit` bytes: in `file`, or in memory. What
    comes after is dropped, or `refuse` says what is raised."""

    def __init__(
        self,
        limit: int,
        file: BinaryIO | None = None,
        refuse: Callable[[], Exception] | None = None,
    ) -> None:
        self._file = file or io.BytesIO()
        self._remaining = limit
        self._refuse = refuse

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._remaining])
        if len(data) > self._remaining and self._refuse:
            raise self._refuse()
        self._remaining = max(0, self._remaining - len(data))
        return len(data)

    def flush(self) -> None:
        self._file.flush()

    def data(self) -> bytes:
        """What is kept in memory."""
        return cast(io.BytesIO, self._file).getvalue()


class Captured:
    """A file to write to. Its end is kept in memory; where more comes than fits there, its start
    goes into `path`, which is made then. A disk that is full only ends that file."""

    def __init__(self, path: Path, *, shown: int = SHOWN, kept: int = KEPT) -> None:
        self.path = path
        self.size = 0
        self.dropped = 0
        self._shown, self._remaining = shown, kept
        self._end = bytearray()
        self._file: BinaryIO | None = None

    @property
    def truncated(self) -> bool:
        """Whether more came than `text` holds."""
        return self.size > self._shown

    def write(self, data: bytes) -> int:
        self.size += len(data)
        if self._file is None and self.truncated:
            self._open()
            self._keep(bytes(self._end))
        if self.truncated:
            self._keep(data)
        self._end += data
        if len(self._end) > 2 * self._shown:  # not at every write: that copies all of it
            del self._end[: -self._shown]
        return len(data)

    def flush(self) -> None:
        """No reader comes before the end."""

    def text(self) -> str:
        """The end of what came, from the start of a character on; what is no UTF-8 is replaced."""
        end = bytes(self._end[-self._shown :])
        if self.truncated:
            cut = next((at for at, byte in enumerate(end[:4]) if byte & 0xC0 != 0x80), 0)
            end = end[cut:]
        return end.decode(errors="replace")

    def close(self) -> None:
        if self._file:
            self._file.close()

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb", buffering=0)
        except OSError:
            self._remaining = 0

    def _keep(self, data: bytes) -> None:
        kept = data[: self._remaining]
        try:
            written = self._file.write(kept) if self._file and kept else 0
        except OSError:  # a full disk
            written = 0
        self._remaining = self._remaining - written if written == len(kept) else 0
        self.dropped += len(data) - written
