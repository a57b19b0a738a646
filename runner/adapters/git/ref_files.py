"""Refs read where git keeps them (gitrepository-layout: refs/ and packed-refs): a verb asks often,
and a process for each time takes longer than all else it does."""

import os
import re
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LINKS = 5  # symbolic refs that lead to each other; git follows as many


class Odd(Exception):
    """What only git itself can judge: a link, a file that is no ref, another format."""


class RefFiles:
    """The refs of the repository with this common git directory. Methods raise Odd."""

    def __init__(self, common_dir: Path) -> None:
        self._top = common_dir
        self._packed: tuple[object, list[tuple[str, str]]] = (None, [])

    def below(self, *prefixes: str) -> dict[str, str]:
        """The ids of all refs with these full names or below them, by full name, sorted. A
        symbolic one has the id of what it leads to, and one that leads nowhere is left out."""
        if (self._top / "reftable").exists():
            raise Odd
        asked = [one for one in prefixes if not {"", ".", ".."} & set(one.split("/"))]
        # These first: what `git pack-refs` takes away is packed by then.
        loose = {name: text for prefix in asked for name, text in self._loose(prefix)}
        packed = self._in_packed()
        found = {name: id_ for prefix in asked for name, id_ in _under(packed, prefix)}
        found |= {name: text for name, text in loose.items() if not text.startswith("ref: ")}
        for name, text in loose.items():
            if text.startswith("ref: ") and (id_ := self._led_to(text)):
                found[name] = id_
        return dict(sorted(found.items()))

    def link(self, name: str) -> str | None:
        """The full name of the ref that a symbolic one leads to; None for any other."""
        text = dict(self._loose(name)).get(name, "")
        return text.removeprefix("ref: ") if text.startswith("ref: ") else None

    def _loose(self, name: str) -> Iterator[tuple[str, str]]:
        """(full name, id or 'ref: ...') of a ref, or of all below a folder of them."""
        path = self._top / name
        try:
            if path.is_symlink():
                raise Odd
            if not path.is_dir():
                yield name, _checked(path.read_bytes())
                return
            entries = sorted(entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Odd from error
        for entry in entries:
            if not entry.startswith(".") and not entry.endswith(".lock"):
                yield from self._loose(f"{name}/{entry}")

    def _led_to(self, text: str) -> str:
        """The id that a symbolic ref means in the end, '' for none."""
        for _ in range(_LINKS):
            name = text.removeprefix("ref: ")
            packed = dict(_under(self._in_packed(), name))
            text = dict(self._loose(name)).get(name) or packed.get(name, "")
            if not text.startswith("ref: "):
                return text
        raise Odd

    def _in_packed(self) -> list[tuple[str, str]]:
        """(full name, id), sorted. Kept until git replaces the file."""
        path = self._top / "packed-refs"
        try:
            seen = path.stat()
            stamp = (seen.st_ino, seen.st_mtime_ns, seen.st_size)
            if self._packed[0] != stamp:
                lines = os.fsdecode(path.read_bytes()).split("\n")
                pairs = (line.partition(" ") for line in lines if line and line[0] not in "#^")
                self._packed = (stamp, sorted((name, id_) for id_, _, name in pairs))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Odd from error
        return self._packed[1]


def _checked(data: bytes) -> str:
    """What a loose ref says. Raises Odd where that is neither an id nor the name of a ref."""
    text = os.fsdecode(data).strip()
    if _ID.fullmatch(text) or re.fullmatch(r"ref: refs/\S+", text):
        return text
    raise Odd


def _under(packed: list[tuple[str, str]], prefix: str) -> Iterator[tuple[str, str]]:
    """Those with this full name or below it. Twice, as a-b is sorted between a and a/b."""
    for start in (prefix, f"{prefix}/"):
        for at in range(bisect_left(packed, (start, "")), len(packed)):
            name = packed[at][0]
            if name != start and not (start.endswith("/") and name.startswith(start)):
                break
            yield packed[at]
