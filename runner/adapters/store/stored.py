"""JSON files that treedock keeps: read with the type of every value checked, and set aside."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from runner.domain.errors import Damaged
from runner.domain.typed import typed

_T = TypeVar("_T")


def read(path: Path, cls: Callable[..., _T]) -> _T | None:
    """The dataclass `cls` from a file, or None where there is none. Raises Damaged."""
    data = read_plain(path)
    if data is None:
        return None
    try:
        return typed(cls, data)
    except TypeError as error:
        raise damaged(path, str(error)) from error


def read_plain(path: Path) -> object:
    """What a file says, whatever it is; None where there is none. Raises Damaged."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise damaged(path, str(error)) from error


def set_aside(path: Path) -> Path:
    """Rename a file or folder so that no one reads it any more; returns where it is now."""
    names = (path.with_name(f"{path.name}.damaged-{n}") for n in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    return aside


def damaged(path: Path, why: str) -> Damaged:
    """The error for a file that says what cannot be."""
    return Damaged(f"{path} is damaged: {why}.", hint="treedock doctor --fix sets it aside.")
