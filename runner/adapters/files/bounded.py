"""A file that takes so many bytes and no more, for what a process prints that may never end."""

from collections.abc import Callable
from typing import BinaryIO, cast


def bounded(file: BinaryIO, limit: int, error: Callable[[], Exception] | None = None) -> BinaryIO:
    """A file to write to, whose first `limit` bytes go into `file`. What comes after is dropped,
    or the writer gets the `error`."""
    return cast(BinaryIO, _Bounded(file, limit, error))


class _Bounded:
    def __init__(self, file: BinaryIO, limit: int, error: Callable[[], Exception] | None) -> None:
        self._file, self._remaining, self._error = file, limit, error
        self.flush = file.flush

    def write(self, data: bytes) -> int:
        self._file.write(data[: self._remaining])
        if self._error and len(data) > self._remaining:
            raise self._error()
        self._remaining = max(0, self._remaining - len(data))
        return len(data)
