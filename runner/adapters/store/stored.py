"""JSON files that treedock keeps: each says the version of its layout, and is read with the type of
every value checked."""

import itertools
import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TypeVar

from runner.adapters.files import disk
from runner.domain.errors import Damaged, OtherVersion
from runner.domain.typed import Document, typed

_T = TypeVar("_T", bound=Document)


def read(path: Path, cls: type[_T]) -> _T | None:
    """The document `cls` from a file, or None where there is none. Raises Damaged, and
    OtherVersion for one that another version of treedock wrote."""
    data = _data(path)
    if data is None:
        return None
    if isinstance(data, dict):
        _require_version(path, data.pop("version", None) if data else None, data, cls.VERSION)
    try:
        return typed(cls, data)
    except TypeError as error:
        raise damaged(path, str(error)) from error


def write(path: Path, document: Document) -> None:
    """Replace the file at once by this document, with the version of its layout."""
    assert is_dataclass(document)
    whole = {"version": document.VERSION, **asdict(document)}
    disk.write_atomically(path, f"{json.dumps(whole, indent=2)}\n".encode())


def set_aside(path: Path) -> Path:
    """Rename a file or folder so that no one reads it any more; returns where it is now."""
    names = (path.with_name(f"{path.name}.damaged-{n}") for n in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    path.rename(aside)
    return aside


def damaged(path: Path, why: str) -> Damaged:
    """The error for a file that says what cannot be."""
    return Damaged(f"{path} is damaged: {why}.", hint="treedock doctor --fix sets it aside.")


def _data(path: Path) -> object:
    """What a file says, whatever it is; None where there is none. Raises Damaged."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError, IsADirectoryError) as error:
        raise damaged(path, str(error)) from error


def _require_version(path: Path, found: object, data: dict[str, object], known: int) -> None:
    """Raises OtherVersion and Damaged. What has no version is older than the first of them."""
    if found is None and data:
        raise OtherVersion(
            f"{path} was written by a treedock from before its first release.",
            hint="Remove what it made with that treedock; this one does not read it.",
        )
    if type(found) is not int or found < 1:
        raise damaged(path, "version is no whole number")
    if found != known:
        age = "a newer" if found > known else "an earlier"
        raise OtherVersion(
            f"{path} was written by {age} treedock: its layout is {found}, and this treedock "
            f"knows {known}.",
            hint="Use that version; to update treedock: pipx upgrade treedock",
        )
